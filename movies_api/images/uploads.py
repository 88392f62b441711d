"""Upload URLs, each valid for one user, type and size and for ten minutes."""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

from itsdangerous import BadData

from ..config import current_config
from ..db import now
from ..signers import CLOCK_SKEW, reject_noncanonical, upload_signer
from .ingest import FOLDER, own_base, public_base
from .storage import UPLOAD_TTL, current_storage


class UploadClaim(NamedTuple):
    """The signed content of an upload URL."""

    upload: UUID
    owner: UUID
    media_type: str
    size: int


def create_upload_url(owner: UUID, media_type: str, size: int) -> dict[str, Any]:
    """Return the fields of UploadUrlSchema; unused upload URLs leave no data behind."""
    upload, expires_at = uuid4(), now() + UPLOAD_TTL
    subtype = media_type.partition("/")[2]
    response = current_storage().presign_upload(
        f"uploads/{owner.hex}/{upload.hex}/{subtype}/{size}", media_type, size
    )
    name = FOLDER + upload.hex
    if response is None:
        claim = f"{upload.hex}.{owner.hex}.{media_type}.{size}"
        signature = upload_signer(current_config().secret_keys).sign(claim).decode()
        response = {
            "uploadUrl": f"{own_base()}{name}?signature={signature}",
            "method": "PUT",
            "headers": {"Content-Type": media_type},
        }
        base = public_base()
    else:
        base = own_base()  # the bucket has no object with an upload ID
    return {**response, "imageUrl": base + name, "expiresAt": expires_at}


def read_upload_claim(token: str) -> UploadClaim | None:
    """Return the claim, or None if the token is invalid or expired."""
    signer = upload_signer(current_config().secret_keys)
    try:
        value, signed_at = signer.unsign(reject_noncanonical(token), return_timestamp=True)
        upload, owner, media_type, size = value.decode().split(".")
        claim = UploadClaim(UUID(upload), UUID(owner), media_type, int(size))
    except (BadData, ValueError):
        return None
    return None if now() - signed_at > UPLOAD_TTL + CLOCK_SKEW else claim
