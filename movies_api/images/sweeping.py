"""Sweeping: when pictures go, and what else lies in the storage.

A row is locked while its files go, and the view or command does not commit: see keeping.py.
"""

from collections.abc import Iterable

from ..db import db, now
from .keeping import storage
from .models import GRACE, known_pictures, remove_left, remove_unused
from .pictures import WIDTHS
from .storage import PERMISSION, Stored


def drop_pictures(keys: Iterable[str]) -> None:
    """Remove at once the pictures that nobody shows any more; call it when the movies are gone."""
    for key in keys:
        _drop(key, remove_left(key))


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
    before, known = now() - GRACE, known_pictures()
    strays = [
        stored
        for stored in storage().names("images/")
        if stored.modified_at < before
        and stored.name.removeprefix("images/").partition("-")[0] not in known
    ]
    before = now() - 6 * PERMISSION
    return strays + [each for each in storage().names("uploads/") if each.modified_at < before]
