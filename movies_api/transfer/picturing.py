"""Picturing: the pictures of rows, kept before there is a transaction, as POST /movies does."""

from typing import Any
from uuid import UUID

from ..errors import ApiError
from ..fields import InlineFile
from ..images.keeping import FOLDER, GONE, KEY, UPLOAD, keep_picture, name_in, try_picture
from ..images.models import hold_pictures, pictures_among, touch_pictures
from .rows import Row

MOST_PICTURES = 50  # each is decoded and written anew, and somebody waits for the answer
MANY = f"A file may bring {MOST_PICTURES} new pictures: send this row in another one."


def place_pictures(owner: UUID, rows: list[Row], *, is_dry: bool) -> None:
    """Put in the place of each row's picture what the table holds; reject a row that has none."""
    named = [row for row in rows if isinstance(row.image, str) and FOLDER in row.image]
    keys = {key for row in named if KEY.fullmatch(key := name_in(str(row.image))[0])}
    there = (pictures_among if is_dry else touch_pictures)(keys)
    for row in named:
        _place(row, there)
    new = [(row, value) for row in rows if (value := _new_in(row)) is not None]
    for row, value in new[:MOST_PICTURES]:
        _keep(owner, row, value, is_dry=is_dry)
    for row, _ in new[MOST_PICTURES:]:
        row.settle("rejected", f"imageUrl: {MANY}")


def hold_places(rows: list[Row]) -> None:
    """Reject rows whose picture has gone meanwhile; the others' stay until the transaction ends."""
    shown = [row for row in rows if row.action == "added" and _path_of(row).startswith(FOLDER)]
    there = hold_pictures({_path_of(row).removeprefix(FOLDER) for row in shown})
    for row in shown:
        if _path_of(row).removeprefix(FOLDER) not in there:
            row.settle("rejected", f"imageUrl: {GONE}")


def _path_of(row: Row) -> str:
    return row.image if isinstance(row.image, str) else ""


def _place(row: Row, there: set[str]) -> None:
    name, is_ours = name_in(_path_of(row))
    if name in there:
        row.image = FOLDER + name
    elif is_ours and not UPLOAD.fullmatch(name):
        row.settle("rejected", f"imageUrl: {GONE}")


def _new_in(row: Row) -> InlineFile | UUID | None:
    """Return the picture inside of a row, or the upload of ours that its URL names."""
    if isinstance(row.image, InlineFile):
        return row.image
    if FOLDER not in _path_of(row):
        return None
    name, is_ours = name_in(_path_of(row))
    return UUID(name) if is_ours and UPLOAD.fullmatch(name) else None


def _keep(owner: UUID, row: Row, value: InlineFile | UUID, *, is_dry: bool) -> None:
    """Keep a new picture; only look at it in a dry run, where the row goes nowhere."""
    fields: dict[str, Any] = {"image_url": row.image}
    try:
        if is_dry:
            try_picture(owner, value)
        else:
            keep_picture(owner, fields)
    except ApiError as error:
        if error.code not in {400, 403, 413}:
            raise
        row.settle("rejected", error.description or GONE)
    else:
        row.image = fields["image_url"]
