"""Sweeping: when pictures go, and what else lies in the storage.

A row is locked while its files go, and the view or command does not commit: see keeping.py.
"""

import re
from collections.abc import Iterable

from ..db import db, now
from ..errors import ApiError
from .keeping import storage
from .models import GRACE, known_pictures, remove_left, remove_unused
from .pictures import WIDTHS
from .storage import PERMISSION, Stored

OURS = re.compile(
    r"images/((?P<key>[0-9a-f]{64})(-(160|320|640)\.webp)?|\.draft-\w+)"
    r"|uploads/[0-9a-f]{32}/[0-9a-f]{32}/[a-z]+/[0-9]+"
)


def drop_pictures(keys: Iterable[str]) -> None:
    """Remove at once the pictures that nobody shows any more; call it when the movies are gone.

    What the storage does not let go now is left to the sweep.
    """
    for key in keys:
        try:
            _drop(key, remove_left(key))
        except ApiError:  # the log has it
            db.session.rollback()
            return


def sweep_picture(key: str) -> bool:
    """Remove a picture whose grace is over; False if a movie has come to show it."""
    return _drop(key, remove_unused(key))


def _drop(key: str, is_removed: bool) -> bool:
    if is_removed:
        widths = (f"images/{key}-{width}.webp" for width in WIDTHS)
        storage().remove([*widths, f"images/{key}"])
    db.session.commit()
    return is_removed


def stray_files() -> list[Stored]:
    """Return what lies in the storage and belongs to no picture: uploads never used, drafts."""
    ages = {"images/": GRACE, "uploads/": 6 * PERMISSION}
    known = known_pictures()
    return [
        stored
        for prefix, age in ages.items()
        for stored in storage().names(prefix)
        if stored.modified_at < now() - age
        # Others may keep their files there, too
        and (found := OURS.fullmatch(stored.name))
        and found["key"] not in known
    ]
