"""Permissions to upload: bound to a user, a type, a size and ten minutes."""

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from itsdangerous import BadData, URLSafeTimedSerializer

from ..auth.tokens import exact
from ..config import settings
from ..db import now
from .keeping import FOLDER, own_base, public_base
from .storage import PERMISSION, storage


class Promise(NamedTuple):
    """What a signed permission of ours says."""

    upload: UUID
    owner: UUID
    media_type: str
    size: int


@lru_cache(maxsize=8)
def _signer(keys: tuple[str, ...]) -> URLSafeTimedSerializer:
    options = {"digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(list(reversed(keys)), "upload", signer_kwargs=options)


def permit_upload(owner: UUID, media_type: str, size: int) -> dict[str, Any]:
    """Return the permission as clients see it; nothing is kept of one that is never used."""
    upload, until = uuid4(), now() + PERMISSION
    subtype = media_type.partition("/")[2]
    answer = storage().permission(
        f"uploads/{owner.hex}/{upload.hex}/{subtype}/{size}", media_type, size
    )
    name = FOLDER + upload.hex
    if answer is None:
        signed = _signer(settings().secret_keys).dumps([upload.hex, owner.hex, media_type, size])
        answer = {
            "uploadUrl": f"{own_base()}{name}?permission={signed}",
            "method": "PUT",
            "headers": {"Content-Type": media_type},
        }
        base = public_base()
    else:
        base = own_base()  # a bucket does not know the picture by this name
    return {**answer, "imageUrl": base + name, "expiresAt": until}


def read_permission(permission: str) -> Promise | None:
    """Return what the permission says, or None for one that is altered or too old."""
    signer = _signer(settings().secret_keys)
    try:
        upload, owner, media_type, size = signer.loads(
            exact(permission), max_age=round(PERMISSION.total_seconds())
        )
    except BadData:
        return None
    return Promise(UUID(upload), UUID(owner), media_type, size)
