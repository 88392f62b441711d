"""Picturing: the pictures of rows, kept before there is a transaction, as POST /movies does."""

from time import monotonic
from typing import Any
from uuid import UUID

from ..errors import ApiError
from ..fields import InlineFile
from ..images.keeping import FOLDER, GONE, KEY, UPLOAD, keep_picture, name_in, try_picture
from ..images.models import hold_pictures, pictures_among, touch_pictures
from .rows import Row

MOST_PICTURES = 50  # each is decoded and encoded, while the client waits for the response
MAX_SECONDS = 20  # for all of them: routers give up on a response after 30
SLOW = f"The images before it took {MAX_SECONDS} seconds: send this row in another file."
MANY = f"A file may bring {MOST_PICTURES} new pictures: send this row in another one."


def place_pictures(owner: UUID, rows: list[Row], *, is_dry: bool) -> None:
    """Put in the place of each row's picture what the table holds; reject a row that has none."""
    names = [name_in(url) if FOLDER in (url := _url_of(row)) else ("", False) for row in rows]
    keys = {name for name, _ in names if KEY.fullmatch(name)}
    there = (pictures_among if is_dry else touch_pictures)(keys)
    new: list[tuple[Row, InlineFile | UUID]] = []
    for row, (name, is_ours) in zip(rows, names, strict=True):
        if isinstance(row.image, InlineFile):
            new.append((row, row.image))
        elif name in there:
            row.image = FOLDER + name
        elif is_ours and UPLOAD.fullmatch(name):
            new.append((row, UUID(name)))
        elif is_ours:
            row.settle("rejected", f"imageUrl: {GONE}")
    end = monotonic() + MAX_SECONDS
    for row, value in new[:MOST_PICTURES]:
        if monotonic() < end:
            _keep(owner, row, value, is_dry=is_dry)
        else:
            row.settle("rejected", f"imageUrl: {SLOW}")
    for row, _ in new[MOST_PICTURES:]:
        row.settle("rejected", f"imageUrl: {MANY}")


def hold_places(rows: list[Row]) -> None:
    """Reject rows whose picture has gone meanwhile; the others' stay until the transaction ends."""
    shown = [(row, path) for row in rows if (path := _url_of(row)).startswith(FOLDER)]
    there = hold_pictures({path.removeprefix(FOLDER) for _, path in shown})
    for row, path in shown:
        if path.removeprefix(FOLDER) not in there:
            row.settle("rejected", f"imageUrl: {GONE}")


def _url_of(row: Row) -> str:
    return row.image if isinstance(row.image, str) else ""


def _keep(owner: UUID, row: Row, value: InlineFile | UUID, *, is_dry: bool) -> None:
    """Keep a new picture; only look at it in a dry run, where the row goes nowhere."""
    fields: dict[str, Any] = {"image_url": row.image}
    try:
        if is_dry:
            try_picture(owner, value)
        else:
            keep_picture(owner, fields)
    except ApiError as error:
        if error.code not in {400, 403, 413, 429}:  # beyond a limit: the row, not the import
            raise
        row.settle("rejected", error.description or GONE)
    else:
        row.image = fields["image_url"]
