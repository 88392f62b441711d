"""The signers: one purpose and one salt each."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

from itsdangerous import BadData, Signer, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode

CLOCK_SKEW = timedelta(minutes=1)  # by which the clocks of two servers may differ


Keys = tuple[str, ...]
AnySigner = TypeVar("AnySigner", bound=Signer)


def _signer(
    kind: type[AnySigner], salt: str, digest: Any = hashlib.sha256
) -> Callable[[Keys], AnySigner]:
    """Return a function that returns the signer for the secret keys, the newest of them first."""
    return lru_cache(maxsize=8)(lambda keys: kind(list(reversed(keys)), salt, digest_method=digest))


access_signer = _signer(TimestampSigner, "access")
refresh_signer = _signer(Signer, "refresh")
reset_signer = _signer(TimestampSigner, "reset")
revert_signer = _signer(Signer, "email-revert")
probe_signer = _signer(TimestampSigner, "probe")  # the requests of `flask doctor`
upload_signer = _signer(TimestampSigner, "upload")
cursor_signer = _signer(Signer, "cursor", Signer.default_digest_method)


def reject_noncanonical(token: str) -> str:
    """Return the token; raise BadData if its signature is not in canonical base64."""
    signature = token.rpartition(".")[2]
    if base64_encode(base64_decode(signature)).decode() != signature:
        raise BadData("The signature is not canonical base64.")
    return token
