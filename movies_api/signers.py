"""The signers: one purpose and one salt each."""

import hashlib
from datetime import timedelta
from functools import lru_cache

from itsdangerous import BadData, Signer, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

CLOCK_SKEW = timedelta(minutes=1)  # by which the clocks of two servers may differ


@lru_cache(maxsize=8)
def access_signer(keys: tuple[str, ...]) -> TimestampSigner:
    """Return the signer of access tokens."""
    return TimestampSigner(list(reversed(keys)), "access", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def refresh_signer(keys: tuple[str, ...]) -> Signer:
    """Return the signer of refresh cookies."""
    return Signer(list(reversed(keys)), "refresh", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def reset_signer(keys: tuple[str, ...]) -> TimestampSigner:
    """Return the signer of password reset tokens."""
    return TimestampSigner(list(reversed(keys)), "reset", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def revert_signer(keys: tuple[str, ...]) -> Signer:
    """Return the signer of tokens that revert a change of email."""
    return Signer(list(reversed(keys)), "email-revert", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def probe_signer(keys: tuple[str, ...]) -> TimestampSigner:
    """Return the signer of the requests of `flask doctor`."""
    return TimestampSigner(list(reversed(keys)), "probe", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def cursor_signer(keys: tuple[str, ...]) -> Signer:
    """Return the signer of cursors."""
    return Signer(list(reversed(keys)), "cursor")


@lru_cache(maxsize=8)
def upload_signer(keys: tuple[str, ...]) -> URLSafeTimedSerializer:
    """Return the serializer of upload URLs."""
    options = {"digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(list(reversed(keys)), "upload", signer_kwargs=options)


def reject_noncanonical(token: str) -> str:
    """Return the token; raise BadData if its signature is not in canonical base64."""
    signature = token.rpartition(".")[2]
    if base64_encode(base64_decode(signature)).decode() != signature:
        raise BadData("The signature is not canonical base64.")
    return token
