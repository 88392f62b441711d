"""Tokens: signed values that name a session, and the chain of refresh secrets."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from itsdangerous import BadData, Signer, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode

from ..config import settings

ACCESS_LIFETIME = timedelta(minutes=15)
RESET_LIFETIME = timedelta(minutes=30)
SCRIPT_PREFIX = "mov_"


@lru_cache(maxsize=8)
def _access_signer(keys: tuple[str, ...]) -> TimestampSigner:
    return TimestampSigner(list(reversed(keys)), "access", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def _refresh_signer(keys: tuple[str, ...]) -> Signer:
    return Signer(list(reversed(keys)), "refresh", digest_method=hashlib.sha256)


@lru_cache(maxsize=8)
def _reset_signer(keys: tuple[str, ...]) -> TimestampSigner:
    return TimestampSigner(list(reversed(keys)), "reset", digest_method=hashlib.sha256)


def exact(token: str) -> str:
    """Return the token; raise BadData when base64 reads its signature out of another spelling."""
    signature = token.rpartition(".")[2]
    if base64_encode(base64_decode(signature)).decode() != signature:
        raise BadData("The signature is spelt in another way.")
    return token


def access_token(session: UUID) -> str:
    """Return a token that names the session; it is signed and carries its time."""
    return _access_signer(settings().secret_keys).sign(session.hex).decode()


def read_access_token(token: str) -> tuple[UUID, datetime] | None:
    """Return the session and the time of signing, or None for a token that is not ours."""
    try:
        return _verified(token, settings().secret_keys)
    except (BadData, ValueError):
        return None


# The same token comes with every request of a quarter of an hour; only ours take up a place
@lru_cache(maxsize=4096)
def _verified(token: str, keys: tuple[str, ...]) -> tuple[UUID, datetime]:
    session, signed_at = _access_signer(keys).unsign(exact(token), return_timestamp=True)
    return UUID(session.decode()), signed_at


def refresh_token(session: UUID, secret: str) -> str:
    """Return the cookie's value; its signature tells a superseded one from an invented one."""
    return _refresh_signer(settings().secret_keys).sign(f"{session.hex}.{secret}").decode()


def read_refresh_token(token: str) -> tuple[UUID, str] | None:
    """Return the session and the secret, or None for a value that is not ours."""
    try:
        value = _refresh_signer(settings().secret_keys).unsign(exact(token)).decode()
        session, secret = value.split(".")
        return UUID(session), secret
    except (BadData, ValueError):
        return None


def script_token(session: UUID, secret: str) -> str:
    """Return a token for scripts; the prefix lets scanners of leaked secrets find it."""
    return f"{SCRIPT_PREFIX}{session.hex}{secret}"


def read_script_token(token: str) -> tuple[UUID, str] | None:
    """Return the session and the secret, or None for a token of another kind."""
    text = token.removeprefix(SCRIPT_PREFIX)
    try:
        return None if text == token else (UUID(text[:32]), text[32:])
    except ValueError:
        return None


def reset_token(user: UUID, mark: str) -> str:
    """Return a token that resets the password, as long as the mark is the user's."""
    return _reset_signer(settings().secret_keys).sign(f"{user.hex}.{mark}").decode()


def read_reset_token(token: str) -> tuple[UUID, str] | None:
    """Return the user and the mark, or None for a token that is not ours or too old."""
    seconds = int(RESET_LIFETIME.total_seconds())
    try:
        signer = _reset_signer(settings().secret_keys)
        value = signer.unsign(exact(token), max_age=seconds).decode()
        user, mark = value.split(".")
        return UUID(user), mark
    except (BadData, ValueError):
        return None


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what the table keeps of a secret; it is random, so that a plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


def successor_of(secret: str, key: str) -> str:
    """Return the secret that follows; nobody can tell it without the session's key."""
    mac = hmac.digest(key.encode(), secret.encode(), "sha256")
    return urlsafe_b64encode(mac).decode().rstrip("=")
