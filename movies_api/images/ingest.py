"""Ingest: how bytes become an image that a movie shows.

What touches the storage commits here and not in a view: a row is locked while its bytes come or
go, so that nobody removes what another has just been told is there.
"""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from io import BytesIO
from typing import Any, BinaryIO, TypeVar
from uuid import UUID, uuid5

from flask import request
from sqlalchemy.exc import IntegrityError

from ..api.errors import ApiError, abort_quota, abort_validation, abort_with
from ..api.fields import InlineFile
from ..auth.rate_limits import hit
from ..config import current_config
from ..db import db
from .cleanup import cleanup_some
from .codec import ImageError, SanitizedImage, decode_slot, make_thumbnail, sanitize_image
from .queries import (
    add_upload,
    charged_bytes,
    media_type_of,
    touch_image,
    upload_from_id,
    upsert_image,
)
from .storage import current_storage

FOLDER = "/images/"
KEY_PATTERN, UPLOAD_PATTERN = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}")
View = TypeVar("View", bound=Callable[..., Any])
IMAGE_NOT_FOUND = "Image not found. Upload it again."


def public_base() -> str:
    """Return what stands in front of /images/ in the URL of a picture."""
    return current_config().image_base_url or own_base()


def own_base() -> str:
    """Return the service's own address, as this client calls it."""
    return request.url_root.rstrip("/")


def absolutize_urls(rows: Iterable[dict[str, Any]], base: str = "") -> None:
    """Make the URLs of our pictures absolute: tables hold none, for the service may move.

    Who has no request any more says what stands in front of them.
    """
    for row in rows:
        url = row["imageUrl"]
        if url is not None and url[0] == "/":
            base = base or public_base()
            row["imageUrl"] = base + url


def store_image(owner: UUID, fields: dict[str, Any]) -> None:
    """Put in the place of what was sent as imageUrl what the table holds of it.

    A picture inside the request is stored, and counts as POST /images does; the URL of one of ours
    is known again, and an upload is taken up; any other URL stays what it is, and nobody ever
    fetches it.
    """
    value = fields.get("image_url")
    if isinstance(value, InlineFile):
        check_file_size(len(value.data))
        hit("image", owner.hex)
        file = BytesIO(value.data)
        fields["image_url"] = FOLDER + store_file(file, value.media_type, "imageUrl", owner)
    elif value is not None:
        fields["image_url"] = _resolve_own_url(owner, value)


def validate_image(owner: UUID, value: InlineFile | UUID) -> None:
    """Refuse what store_image would refuse of a picture or an upload; keep nothing."""
    if isinstance(value, InlineFile):
        check_file_size(len(value.data))
        _sanitize_or_abort(BytesIO(value.data), value.media_type, "imageUrl")
        return
    upload = upload_from_id(value)
    is_there = upload is not None and upload.owner_id == owner
    if not is_there and not any(current_storage().names(_upload_prefix(owner, value))):
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})


def assert_image_exists(fields: dict[str, Any]) -> None:
    """Refuse a movie whose picture was removed after store_image had seen it."""
    folder, _, key = (fields.get("image_url") or "").rpartition("/")
    if f"{folder}/" == FOLDER and media_type_of(key) is None:
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})


def allow_image_body(view: View) -> View:
    """Let the body be as large as a picture inside it may be; put it above `arguments`."""

    @wraps(view)
    def with_room(*args: Any, **kwargs: Any) -> Any:
        limits = current_config()
        request.max_content_length = limits.max_body_bytes + limits.image_max_bytes * 4 // 3 + 4
        return view(*args, **kwargs)

    return with_room  # type: ignore[return-value]


def check_file_size(size: int) -> None:
    """Refuse a picture of more bytes than the settings allow."""
    limit = current_config().image_max_bytes
    if size > limit:
        abort_with(413, message=f"The image is too large. The limit is {limit} bytes.")


def check_quota(owner: UUID, size: int, upload: UUID | None = None) -> None:
    """Abort with 403 when so many more bytes exceed what an account may upload.

    An upload that is stored already is not charged twice. Nothing is locked: requests at the same
    time may exceed the limit by what they bring. Who has reached it removes unused images too.
    """
    limit = current_config().max_image_bytes_per_user
    if charged_bytes(owner, upload) + size <= limit:
        return
    cleanup_some()
    if charged_bytes(owner, upload) + size > limit:
        abort_quota(
            f"{limit} bytes of images: delete movies with images; the bytes are free a day later."
        )


def store_file(
    file: BinaryIO, media_type: str, field: str, owner: UUID, upload: UUID | None = None
) -> str:
    """Verify and keep a picture of the owner's; return its key. The field is the one to blame.

    From then on the picture goes by the id of its upload too; one that came in a request has an id
    that follows from it, so that the account takes it along. The owner is charged the bytes that
    are stored.
    """
    image = _sanitize_or_abort(file, media_type, field)
    key, size = image.key, len(image.data)
    upload_id = upload or uuid5(owner, key)
    check_quota(owner, size, upload_id)
    try:
        upsert_image(key, image.media_type)
        if not add_upload(upload_id, owner, key, size):
            abort_with(403, message="The upload URL has already been used. Request a new one.")
        current_storage().put(f"images/{key}", image.data, image.media_type)
    except IntegrityError:
        abort_with(403 if upload else 401, message="This account has been deleted.")
    db.session.commit()
    cleanup_some()
    return key


def _sanitize_or_abort(file: BinaryIO, media_type: str, field: str) -> SanitizedImage:
    try:
        return sanitize_image(file, media_type)
    except ImageError as error:
        abort_validation({field: [str(error)]})


def parse_image_url(url: str) -> tuple[str, bool]:
    """Return the name a URL would have for a picture, and whether it surely is a URL of ours."""
    base, _, name = url.rpartition(FOLDER)
    is_ours = base in {current_config().image_base_url, own_base()}
    return (name.partition("?")[0], True) if is_ours else (name, False)


def _resolve_own_url(owner: UUID, url: str) -> str:
    """Return the path of a picture of ours, or the URL as it is."""
    if FOLDER not in url:
        return url
    name, is_ours = parse_image_url(url)
    key: str | None = None
    if KEY_PATTERN.fullmatch(name):
        key = name if touch_image(name) else None
    elif is_ours and UPLOAD_PATTERN.fullmatch(name):
        key = _resolve_upload(owner, UUID(name))
    if key is None and is_ours:
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})
    return FOLDER + key if key else url


def _resolve_upload(owner: UUID, upload: UUID) -> str | None:
    """Return the picture of the owner's upload, verifying one that waits, or None."""
    row = upload_from_id(upload)
    if row is None:
        if key := _claim_upload(owner, upload):
            return key
        row = upload_from_id(upload)  # another request may have taken it up meanwhile
    is_there = row is not None and row.owner_id == owner and touch_image(row.key)
    return row.key if is_there else None


def _claim_upload(owner: UUID, upload: UUID) -> str | None:
    """Keep the upload that waits, and let it wait no longer; None if there is none."""
    folder = _upload_prefix(owner, upload)
    for waiting in current_storage().names(folder):
        subtype, size = waiting.name.removeprefix(folder).split("/")
        file = current_storage().open(waiting.name)
        if file is None:
            continue
        with file:
            try:
                # A store that does not hold uploads to their permission must not make us read them
                if waiting.size != int(size):
                    abort_validation(
                        {"imageUrl": [f"{waiting.size} bytes were received instead of {size}."]}
                    )
                key = store_file(file, f"image/{subtype}", "imageUrl", owner, upload)
            except ApiError as error:
                if error.code in {400, 403}:  # any other may be retried
                    current_storage().remove([waiting.name])
                raise
        current_storage().remove([waiting.name])
        return key
    return None


def _upload_prefix(owner: UUID, upload: UUID) -> str:
    """Return where an upload waits in the storage."""
    return f"uploads/{owner.hex}/{upload.hex}/"


def ensure_thumbnail(key: str, width: int) -> str:
    """Return the name of the thumbnail in the storage; it is made once."""
    name = f"images/{key}-{width}.webp"
    if _is_stored(name):
        return name
    with decode_slot():
        if not _is_stored(name):
            file = current_storage().open(f"images/{key}")
            if file is None:
                abort_with(404, message=IMAGE_NOT_FOUND)
            with file:
                data = make_thumbnail(file, width)
            current_storage().put(name, data, "image/webp")
    return name


def _is_stored(name: str) -> bool:
    file = current_storage().open(name)
    if file is not None:
        file.close()
    return file is not None
