"""Keeping: how bytes become a picture that a movie shows.

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

from ..auth.limits import spend
from ..config import settings
from ..db import db
from ..errors import ApiError, refuse, refuse_fields, reject_quota
from ..fields import InlineFile
from .models import (
    add_picture,
    add_upload,
    charged_bytes,
    touch_picture,
    type_of,
    upload_from_id,
)
from .pictures import Picture, PictureError, clean_picture, one_of_few, thumbnail
from .storage import storage
from .sweeping import take_along

FOLDER = "/images/"
KEY, UPLOAD = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}")
View = TypeVar("View", bound=Callable[..., Any])
GONE = "There is no such picture (any more): upload it again."


def public_base() -> str:
    """Return what stands in front of /images/ in the URL of a picture."""
    return settings().image_base_url or own_base()


def own_base() -> str:
    """Return the service's own address, as this client calls it."""
    return request.url_root.rstrip("/")


def show_pictures(rows: Iterable[dict[str, Any]], base: str = "") -> None:
    """Make the URLs of our pictures absolute: tables hold none, for the service may move.

    Who has no request any more says what stands in front of them.
    """
    for row in rows:
        url = row["imageUrl"]
        if url is not None and url[0] == "/":
            base = base or public_base()
            row["imageUrl"] = base + url


def keep_picture(owner: UUID, fields: dict[str, Any]) -> None:
    """Put in the place of what was sent as imageUrl what the table holds of it.

    A picture inside the request is stored, and counts as POST /images does; the URL of one of ours
    is known again, and an upload is taken up; any other URL stays what it is, and nobody ever
    fetches it.
    """
    value = fields.get("image_url")
    if isinstance(value, InlineFile):
        check_size(len(value.data))
        spend("image", owner.hex)
        file = BytesIO(value.data)
        fields["image_url"] = FOLDER + store(file, value.media_type, "imageUrl", owner)
    elif value is not None:
        fields["image_url"] = _known(owner, value)


def try_picture(owner: UUID, value: InlineFile | UUID) -> None:
    """Refuse what keep_picture would refuse of a picture or an upload; keep nothing."""
    if isinstance(value, InlineFile):
        check_size(len(value.data))
        _cleaned(BytesIO(value.data), value.media_type, "imageUrl")
        return
    upload = upload_from_id(value)
    is_there = upload is not None and upload.owner_id == owner
    if not is_there and not any(storage().names(_folder_of(owner, value))):
        refuse_fields({"imageUrl": [GONE]})


def check_picture(fields: dict[str, Any]) -> None:
    """Refuse a movie whose picture was removed after keep_picture had seen it."""
    folder, _, key = (fields.get("image_url") or "").rpartition("/")
    if f"{folder}/" == FOLDER and type_of(key) is None:
        refuse_fields({"imageUrl": [GONE]})


def takes_picture(view: View) -> View:
    """Let the body be as large as a picture inside it may be; put it above `arguments`."""

    @wraps(view)
    def with_room(*args: Any, **kwargs: Any) -> Any:
        limits = settings()
        request.max_content_length = limits.max_body_bytes + limits.image_max_bytes * 4 // 3 + 4
        return view(*args, **kwargs)

    return with_room  # type: ignore[return-value]


def check_size(size: int) -> None:
    """Refuse a picture of more bytes than the settings allow."""
    limit = settings().image_max_bytes
    if size > limit:
        refuse(413, message=f"The picture is too large: at most {limit} bytes are taken.")


def check_quota(owner: UUID, size: int, upload: UUID | None = None) -> None:
    """Abort with 403 when so many more bytes exceed what an account may upload.

    An upload that is stored already is not charged twice. Nothing is locked: requests at the same
    time may exceed the limit by what they bring. Who has reached it removes unused images too.
    """
    limit = settings().max_image_bytes_per_user
    if charged_bytes(owner, upload) + size <= limit:
        return
    take_along()
    if charged_bytes(owner, upload) + size > limit:
        reject_quota(
            f"{limit} bytes of images: delete movies with images; the bytes are free a day later."
        )


def store(
    file: BinaryIO, media_type: str, field: str, owner: UUID, upload: UUID | None = None
) -> str:
    """Verify and keep a picture of the owner's; return its key. The field is the one to blame.

    From then on the picture goes by the id of its upload too; one that came in a request has an id
    that follows from it, so that the account takes it along. The owner is charged the bytes that
    are stored.
    """
    picture = _cleaned(file, media_type, field)
    key, size = picture.key, len(picture.data)
    upload_id = upload or uuid5(owner, key)
    check_quota(owner, size, upload_id)
    try:
        add_picture(key, picture.media_type)
        if not add_upload(upload_id, owner, key, size):
            refuse(403, message="This permission has been used: ask for a new one.")
        storage().put(f"images/{key}", picture.data, picture.media_type)
    except IntegrityError:
        refuse(403 if upload else 401, message="This account has been deleted.")
    db.session.commit()
    take_along()
    return key


def _cleaned(file: BinaryIO, media_type: str, field: str) -> Picture:
    try:
        return clean_picture(file, media_type)
    except PictureError as error:
        refuse_fields({field: [str(error)]})


def name_in(url: str) -> tuple[str, bool]:
    """Return the name a URL would have for a picture, and whether it surely is a URL of ours."""
    base, _, name = url.rpartition(FOLDER)
    is_ours = base in {settings().image_base_url, own_base()}
    return (name.partition("?")[0], True) if is_ours else (name, False)


def _known(owner: UUID, url: str) -> str:
    """Return the path of a picture of ours, or the URL as it is."""
    if FOLDER not in url:
        return url
    name, is_ours = name_in(url)
    key: str | None = None
    if KEY.fullmatch(name):
        key = name if touch_picture(name) else None
    elif is_ours and UPLOAD.fullmatch(name):
        key = _key_of_upload(owner, UUID(name))
    if key is None and is_ours:
        refuse_fields({"imageUrl": [GONE]})
    return FOLDER + key if key else url


def _key_of_upload(owner: UUID, upload: UUID) -> str | None:
    """Return the picture of the owner's upload, verifying one that waits, or None."""
    row = upload_from_id(upload)
    if row is None:
        if key := _take_up(owner, upload):
            return key
        row = upload_from_id(upload)  # another request may have taken it up meanwhile
    is_there = row is not None and row.owner_id == owner and touch_picture(row.key)
    return row.key if is_there else None


def _take_up(owner: UUID, upload: UUID) -> str | None:
    """Keep the upload that waits, and let it wait no longer; None if there is none."""
    folder = _folder_of(owner, upload)
    for waiting in storage().names(folder):
        subtype, size = waiting.name.removeprefix(folder).split("/")
        file = storage().open(waiting.name)
        if file is None:
            continue
        with file:
            try:
                # A store that does not hold uploads to their permission must not make us read them
                if waiting.size != int(size):
                    refuse_fields({"imageUrl": [f"{waiting.size} bytes came instead of {size}."]})
                key = store(file, f"image/{subtype}", "imageUrl", owner, upload)
            except ApiError as error:
                if error.code in {400, 403}:  # any other may be retried
                    storage().remove([waiting.name])
                raise
        storage().remove([waiting.name])
        return key
    return None


def _folder_of(owner: UUID, upload: UUID) -> str:
    """Return where an upload waits in the storage."""
    return f"uploads/{owner.hex}/{upload.hex}/"


def thumbnail_of(key: str, width: int) -> str:
    """Return the name of the thumbnail in the storage; it is made once."""
    name = f"images/{key}-{width}.webp"
    if _is_there(name):
        return name
    with one_of_few():
        if not _is_there(name):
            file = storage().open(f"images/{key}")
            if file is None:
                refuse(404, message=GONE)
            with file:
                data = thumbnail(file, width)
            storage().put(name, data, "image/webp")
    return name


def _is_there(name: str) -> bool:
    file = storage().open(name)
    if file is not None:
        file.close()
    return file is not None
