"""Cleanup: delete unused images and stray files.

No cron job is needed: each stored image takes a few others along. Deleting a movie, or putting
another image into one, notes that its image is unused; what that misses (an image that no movie
ever showed, one that an edit replaced by a URL) is found because each stored image also looks at
those not looked at for longest. A day later they go; images of deleted accounts go first and
without that day. `images cleanup` does the same for all of them, and removes stray files.

A row is locked while its files go, and the view or command does not commit: see ingest.py.
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

CLEANED_PER_UPLOAD = 3  # images that each stored one removes
MAX_SECONDS = 1  # for these: somebody waits for the response
MAX_SECONDS_AT_END = 5  # for the images of a deleted account

OWN_NAMES = re.compile(
    r"images/((?P<key>[0-9a-f]{64})(-(160|320|640)\.webp)?|\.draft-\w+)"
    r"|uploads/[0-9a-f]{32}/[0-9a-f]{32}/[a-z]+/[0-9]+"
)


def delete_orphans(keys: Collection[str]) -> None:
    """Remove at once the pictures that nobody shows any more; call it when the movies are gone.

    What the storage does not let go now, or takes too long, is taken along by later uploads.
    """
    end = monotonic() + MAX_SECONDS_AT_END
    try:
        release_images(keys, at_once=True)
        for key in keys:
            if monotonic() > end:
                return
            _delete_files(key, delete_orphan_row(key))
    except (ApiError, SQLAlchemyError) as error:
        _log_and_rollback(error)


def cleanup_some() -> None:
    """Remove a few unused images and look for more; never fail because of them."""
    end = monotonic() + MAX_SECONDS
    try:
        check_oldest()
        for _ in range(CLEANED_PER_UPLOAD):
            if monotonic() > end or cleanup_next() is None:
                return
    except (ApiError, SQLAlchemyError) as error:
        _log_and_rollback(error)


def _log_and_rollback(error: Exception) -> None:
    db.session.rollback()
    if not isinstance(error, ApiError):  # the storage has logged its own
        log.error("unused images stay: %s", type(getattr(error, "orig", error)).__name__)


def cleanup_next() -> bool | None:
    """Remove the image unused for longest whose grace is over.

    Return False if a movie has come to show it, and None if there is no such image, or only such as
    another request is removing.
    """
    key = lock_next_unused()
    if key is None:
        db.session.rollback()
        return None
    is_removed = delete_unused_row(key)
    if not is_removed:
        mark_used(key)
    _delete_files(key, is_removed)
    return is_removed


def _delete_files(key: str, is_removed: bool) -> None:
    if is_removed:
        widths = (f"images/{key}-{width}.webp" for width in WIDTHS)
        current_storage().remove([*widths, f"images/{key}"])
    db.session.commit()


def stray_files() -> list[StoredFile]:
    """Return what lies in the storage and belongs to no picture: uploads never used, drafts."""
    ages = {"images/": GRACE, "uploads/": 6 * UPLOAD_TTL}
    known = all_image_keys()
    return [
        stored
        for prefix, age in ages.items()
        for stored in current_storage().names(prefix)
        if stored.modified_at < now() - age
        # Others may keep their files there, too
        and (found := OWN_NAMES.fullmatch(stored.name))
        and found["key"] not in known
    ]
