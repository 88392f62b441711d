"""Ingest: turn uploaded bytes into an image that a movie can show.

Functions that change the storage commit here and not in a view. The row stays locked while its
bytes are written or deleted, so that no request deletes an image that another one has just found.
"""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from io import BytesIO
from typing import Any, BinaryIO, TypeVar
from uuid import UUID, uuid5

from flask import request
from sqlalchemy.exc import IntegrityError

from ..api.errors import ApiError, Message, abort_quota, abort_validation, abort_with
from ..api.fields import InlineFile
from ..auth.rate_limits import hit
from ..config import current_config
from ..db import db
from .cleanup import delete_some_unused
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
SMALLER = "Resize it, or save it as JPEG."
IMAGE_NOT_FOUND = Message("Image not found. Upload it again.", "not_found")


def public_base() -> str:
    """Return the part of an image URL before /images/."""
    return current_config().image_base_url or own_base()


def own_base() -> str:
    """Return the public address of the service, without a trailing slash."""
    return current_config().public_url or _request_base()


def _request_base() -> str:
    """Return the address of the request; request.url_root takes 20 µs, on every list."""
    return f"{request.scheme}://{request.host}{request.root_path}"


def absolutize_urls(rows: Iterable[dict[str, Any]], base: str = "") -> None:
    """Make the URLs of stored images absolute; the tables store paths, because hosts change.

    Pass the base outside of a request.
    """
    for row in rows:
        url = row["imageUrl"]
        if url is not None and url[0] == "/":
            base = base or public_base()
            row["imageUrl"] = base + url


def store_image(owner: UUID, fields: dict[str, Any]) -> None:
    """Replace image_url by the value to store in the table.

    Store an inline image, which counts towards the rate limit of POST /images. Replace the URL of a
    stored image by its path, and verify and store a pending upload. Keep any other URL; the service
    never fetches it.
    """
    value = fields.get("image_url")
    if isinstance(value, InlineFile):
        check_file_size(len(value.data))
        hit("image", owner.hex)
        file = BytesIO(value.data)
        fields["image_url"] = FOLDER + store_file(file, "imageUrl", owner)
    elif value is not None:
        fields["image_url"] = _resolve_own_url(owner, value)


def validate_image(owner: UUID, value: InlineFile | UUID) -> None:
    """Reject any image or upload that store_image would reject; store nothing."""
    if isinstance(value, InlineFile):
        check_file_size(len(value.data))
        _sanitize_or_abort(BytesIO(value.data), "imageUrl")
        return
    upload = upload_from_id(value)
    is_stored = upload is not None and upload.owner_id == owner
    if not is_stored and not any(current_storage().names(_upload_prefix(owner, value))):
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})


def assert_image_exists(fields: dict[str, Any]) -> None:
    """Reject a movie whose image was deleted after store_image found it."""
    folder, _, key = (fields.get("image_url") or "").rpartition("/")
    if f"{folder}/" == FOLDER and media_type_of(key) is None:
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})


def allow_image_body(view: View) -> View:
    """Raise the body limit to fit an inline image; apply it above `arguments`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        config = current_config()
        request.max_content_length = config.max_body_bytes + config.image_max_bytes * 4 // 3 + 4
        return view(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def check_file_size(size: int) -> None:
    """Abort with 413 if an image of that many bytes is too large."""
    limit = current_config().image_max_bytes
    if size > limit:
        abort_with(413, message=f"The image is too large. The limit is {limit} bytes. {SMALLER}")


def check_quota(owner: UUID, size: int, upload: UUID | None = None) -> None:
    """Abort with 403 if that many more bytes exceed the quota of the account.

    An upload that is already stored is not charged twice. Without a lock, concurrent requests may
    exceed the quota by their own sizes. Clean up unused images before aborting.
    """
    limit = current_config().max_image_bytes_per_user
    if charged_bytes(owner, upload) + size <= limit:
        return
    delete_some_unused()
    if charged_bytes(owner, upload) + size > limit:
        abort_quota(
            "image bytes",
            f"{limit} bytes of images. Delete movies with images; the space is freed a day later.",
        )


def store_file(file: BinaryIO, field: str, owner: UUID, upload: UUID | None = None) -> str:
    """Sanitize and store an image of the owner; return its key. Errors name the field.

    The image is also available under its upload id. An inline image gets an id derived from owner
    and key, so that deleting the account finds it. The owner is charged for the stored bytes.
    """
    image = _sanitize_or_abort(file, field)
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
    delete_some_unused()
    return key


def _sanitize_or_abort(file: BinaryIO, field: str) -> SanitizedImage:
    try:
        return sanitize_image(file)
    except ImageError as error:
        abort_validation({field: [error.args[0]]})


def parse_image_url(url: str) -> str | None:
    """Return the image name in a URL of this service, or None for any other URL."""
    base, _, name = url.rpartition(FOLDER)
    config = current_config()
    bases = [config.public_url, config.image_base_url, _request_base(), *config.former_urls]
    is_ours = base.lower() in [each.lower().rstrip("/") for each in bases if each]
    return name.partition("?")[0] if is_ours else None


def _resolve_own_url(owner: UUID, url: str) -> str:
    """Return the path of a stored image, or the unchanged URL."""
    if (name := parse_image_url(url)) is None:
        return url
    key: str | None = None
    if KEY_PATTERN.fullmatch(name):
        key = name if touch_image(name) else None
    elif UPLOAD_PATTERN.fullmatch(name):
        key = _resolve_upload(owner, UUID(name))
    if key is None:
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})
    return FOLDER + key


def _resolve_upload(owner: UUID, upload: UUID) -> str | None:
    """Return the image key of the owner's upload, storing a pending one, or None."""
    row = upload_from_id(upload)
    if row is None:
        if key := _claim_upload(owner, upload):
            return key
        row = upload_from_id(upload)  # another request may have stored it meanwhile
    is_stored = row is not None and row.owner_id == owner and touch_image(row.key)
    return row.key if is_stored else None


def _claim_upload(owner: UUID, upload: UUID) -> str | None:
    """Store the pending upload and return its key, or None if there is none."""
    folder = _upload_prefix(owner, upload)
    for pending in current_storage().names(folder):
        size = pending.name.rpartition("/")[2]
        file = current_storage().open(pending.name)
        if file is None:
            continue
        with file:
            try:
                # Some stores do not enforce the size of an upload URL; do not read such files
                if pending.size != int(size):
                    abort_validation(
                        {"imageUrl": [f"{pending.size} bytes were received instead of {size}."]}
                    )
                key = store_file(file, "imageUrl", owner, upload)
            except ApiError as error:
                if error.code in {400, 403}:  # clients may retry after other errors
                    current_storage().remove([pending.name])
                raise
        current_storage().remove([pending.name])
        return key
    return None


def _upload_prefix(owner: UUID, upload: UUID) -> str:
    """Return the folder of a pending upload in the storage."""
    return f"uploads/{owner.hex}/{upload.hex}/"


def ensure_thumbnail(key: str, width: int) -> str:
    """Return the storage name of the thumbnail, creating it on first use."""
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
