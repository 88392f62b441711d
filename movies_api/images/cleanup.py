"""Cleanup: delete unused images and stray files.

No cron job is needed: storing an image also deletes a few unused ones. Deleting a movie or
replacing its image marks the image as unused. To find others (never used by a movie, or replaced by
a URL), storing an image also checks the images whose last check is the oldest. Unused images are
deleted a day later; those of deleted accounts first and without a grace period. `images cleanup`
does the same for all images, and deletes stray files.

A row stays locked while its files are deleted, so commits happen here, not in views: see ingest.py.
"""

import re
from collections.abc import Collection
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from ..api.errors import ApiError
from ..db import db, now
from ..logs import log
from .codec import WIDTHS
from .queries import (
    GRACE,
    all_image_keys,
    check_oldest,
    delete_orphan_row,
    delete_unused_row,
    lock_next_unused,
    mark_used,
    release_images,
)
from .storage import UPLOAD_TTL, StoredFile, current_storage

CLEANED_PER_UPLOAD = 3  # unused images to delete per stored image
MAX_SECONDS = 1  # for these: the client waits for the response
MAX_SECONDS_AT_END = 5  # for the images of a deleted account

OWN_NAMES = re.compile(
    r"images/((?P<key>[0-9a-f]{64})(-(160|320|640)\.webp)?|\.draft-\w+)"
    r"|uploads/[0-9a-f]{32}/[0-9a-f]{32}/[a-z]+/[0-9]+"
)


def delete_orphans(keys: Collection[str]) -> None:
    """Delete those images that no movie shows, without the grace period.

    Call it after deleting the movies. Later uploads delete what fails or takes too long here.
    """
    end = monotonic() + MAX_SECONDS_AT_END
    try:
        release_images(keys, skip_grace=True)
        for key in keys:
            if monotonic() > end:
                return
            _delete_files(key, delete_orphan_row(key))
    except (ApiError, SQLAlchemyError) as error:
        _log_and_rollback(error)


def delete_some_unused() -> None:
    """Delete a few unused images and check for more; log errors instead of raising them."""
    end = monotonic() + MAX_SECONDS
    try:
        check_oldest()
        for _ in range(CLEANED_PER_UPLOAD):
            if monotonic() > end or delete_next_unused() is None:
                return
    except (ApiError, SQLAlchemyError) as error:
        _log_and_rollback(error)


def _log_and_rollback(error: Exception) -> None:
    db.session.rollback()
    if not isinstance(error, ApiError):  # the storage logs its own errors
        log.error("image cleanup failed: %s", type(getattr(error, "orig", error)).__name__)


def delete_next_unused() -> bool | None:
    """Delete the image that has been unused longest, if its grace period is over.

    Return False if a movie shows it again, and None if no unlocked image is due.
    """
    key = lock_next_unused()
    if key is None:
        db.session.rollback()
        return None
    is_deleted = delete_unused_row(key)
    if not is_deleted:
        mark_used(key)
    _delete_files(key, is_deleted)
    return is_deleted


def _delete_files(key: str, is_deleted: bool) -> None:
    if is_deleted:
        widths = (f"images/{key}-{width}.webp" for width in WIDTHS)
        current_storage().remove([*widths, f"images/{key}"])
    db.session.commit()


def find_stray_files() -> list[StoredFile]:
    """Return stored files that belong to no image: unused uploads and temporary files."""
    ages = {"images/": GRACE, "uploads/": 6 * UPLOAD_TTL}
    known = all_image_keys()
    return [
        stored
        for prefix, age in ages.items()
        for stored in current_storage().names(prefix)
        if stored.modified_at < now() - age
        # Other applications may share the storage
        and (found := OWN_NAMES.fullmatch(stored.name))
        and found["key"] not in known
    ]
