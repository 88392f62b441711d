"""Row images: store the images of rows before the transaction."""

from time import monotonic
from uuid import UUID

from ..api.errors import ApiError
from ..api.fields import InlineFile
from ..images.ingest import (
    FOLDER,
    IMAGE_NOT_FOUND,
    KEY_PATTERN,
    UPLOAD_PATTERN,
    parse_image_url,
    store_image,
    validate_image,
)
from ..images.queries import existing_keys, lock_images, touch_images
from .reader import ImportRow

MAX_NEW_IMAGES = 50  # each is decoded and encoded while the client waits
MAX_SECONDS = 20  # for all images; routers give up on a response after 30
TOO_SLOW = f"Earlier images took over {MAX_SECONDS} seconds. Send this row in another file."
TOO_MANY_IMAGES = f"A file may contain {MAX_NEW_IMAGES} new images. Send this row in another file."


def store_row_images(owner: UUID, rows: list[ImportRow], *, is_dry: bool) -> None:
    """Replace each row's image by its stored form; drop images that do not exist."""
    names = [parse_image_url(_row_url(row)) for row in rows]
    keys = {name for name in names if name and KEY_PATTERN.fullmatch(name)}
    existing = (existing_keys if is_dry else touch_images)(keys)
    new: list[tuple[ImportRow, InlineFile | UUID]] = []
    for row, name in zip(rows, names, strict=True):
        if isinstance(image := row.fields.get("image_url"), InlineFile):
            new.append((row, image))
        elif name is None:
            continue
        elif name in existing:
            row.fields["image_url"] = FOLDER + name
        elif UPLOAD_PATTERN.fullmatch(name):
            new.append((row, UUID(name)))
        else:
            _drop_image(row)
    end = monotonic() + MAX_SECONDS
    for row, value in new[:MAX_NEW_IMAGES]:
        if monotonic() < end:
            _store_or_reject(owner, row, value, is_dry=is_dry)
        else:
            row.mark("rejected", f"imageUrl: {TOO_SLOW}")
    for row, _ in new[MAX_NEW_IMAGES:]:
        row.mark("rejected", f"imageUrl: {TOO_MANY_IMAGES}")


def lock_row_images(rows: list[ImportRow]) -> None:
    """Lock the images of the rows; drop those that were deleted meanwhile."""
    shown = [(row, path) for row in rows if (path := _row_url(row)).startswith(FOLDER)]
    existing = lock_images({path.removeprefix(FOLDER) for _, path in shown})
    for row, path in shown:
        if path.removeprefix(FOLDER) not in existing:
            _drop_image(row)


def _drop_image(row: ImportRow) -> None:
    """Add the row without its image, which no longer exists."""
    del row.fields["image_url"]
    row.note("Added without its image, which no longer exists.")


def _row_url(row: ImportRow) -> str:
    url = row.fields.get("image_url")
    return url if isinstance(url, str) else ""


def _store_or_reject(
    owner: UUID, row: ImportRow, value: InlineFile | UUID, *, is_dry: bool
) -> None:
    """Store a new image; in a dry run only validate it."""
    try:
        if is_dry:
            validate_image(owner, value)
        else:
            store_image(owner, row.fields)
    except ApiError as error:
        if error.code not in {400, 403, 413, 429}:  # a limit rejects the row, not the import
            raise
        if error.details == {"imageUrl": [IMAGE_NOT_FOUND]}:
            _drop_image(row)
        else:
            row.mark("rejected", error.description or IMAGE_NOT_FOUND)
