"""Tokens: signed values that name a session, and the chain of refresh secrets."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from itsdangerous import BadData
from sqlalchemy import Row

from ..config import current_config
from ..signers import (
    access_signer,
    refresh_signer,
    reject_noncanonical,
    reset_signer,
    revert_signer,
)

ACCESS_LIFETIME = timedelta(minutes=15)
RESET_LIFETIME = timedelta(minutes=30)
SCANNABLE_PREFIX = "mov_"


def access_token(session: UUID) -> str:
    """Return a token that names the session; it is signed and carries its time."""
    return access_signer(current_config().secret_keys).sign(session.hex).decode()


def read_access_token(token: str) -> tuple[UUID, datetime] | None:
    """Return the session and the time of signing, or None for an invalid token."""
    try:
        return _verify_access_token(token, current_config().secret_keys)
    except (BadData, ValueError):
        return None


# The same token comes with every request for 15 minutes; invalid ones are not cached
@lru_cache(maxsize=4096)
def _verify_access_token(token: str, keys: tuple[str, ...]) -> tuple[UUID, datetime]:
    session, signed_at = access_signer(keys).unsign(
        reject_noncanonical(token), return_timestamp=True
    )
    return UUID(session.decode()), signed_at


def refresh_token(session: UUID, secret: str) -> str:
    """Return the cookie value; its signature tells a superseded one from a forged one."""
    return refresh_signer(current_config().secret_keys).sign(f"{session.hex}.{secret}").decode()


def read_refresh_token(token: str) -> tuple[UUID, str] | None:
    """Return the session and the secret, or None for an invalid value."""
    try:
        value = (
            refresh_signer(current_config().secret_keys).unsign(reject_noncanonical(token)).decode()
        )
        session, secret = value.split(".")
        return UUID(session), secret
    except (BadData, ValueError):
        return None


def api_token(session: UUID, secret: str) -> str:
    """Return an API token; its prefix lets secret scanners find leaked ones."""
    return f"{SCANNABLE_PREFIX}{session.hex}{secret}"


def read_api_token(token: str) -> tuple[UUID, str] | None:
    """Return the session and the secret, or None for a token of another kind."""
    text = token.removeprefix(SCANNABLE_PREFIX)
    try:
        return None if text == token else (UUID(text[:32]), text[32:])
    except ValueError:
        return None


def reset_token(user: UUID, mark: str) -> str:
    """Return a password reset token, valid while the fingerprint is the user's."""
    return reset_signer(current_config().secret_keys).sign(f"{user.hex}.{mark}").decode()


def read_reset_token(token: str) -> tuple[UUID, str] | None:
    """Return the user and the fingerprint, or None for an invalid or expired token."""
    seconds = int(RESET_LIFETIME.total_seconds())
    try:
        signer = reset_signer(current_config().secret_keys)
        value = signer.unsign(reject_noncanonical(token), max_age=seconds).decode()
        user, mark = value.split(".")
        return UUID(user), mark
    except (BadData, ValueError):
        return None


def revert_link(user: UUID, change: int) -> str:
    """Return the URL of the page on FRONTEND_URL that reverts a change of email."""
    token = revert_signer(current_config().secret_keys).sign(f"{user.hex}.{change}").decode()
    return f"{current_config().frontend_url}/revert-email?token={token}"


def read_revert_token(token: str) -> tuple[UUID, int] | None:
    """Return the user and the id of the change, or None for an invalid token."""
    try:
        value = revert_signer(current_config().secret_keys).unsign(reject_noncanonical(token))
        user, change = value.decode().split(".")
        return UUID(user), int(change)
    except (BadData, ValueError):
        return None


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the hash that is stored; secrets are random, so a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


def next_refresh_secret(secret: str, key: str) -> str:
    """Return the next secret; it cannot be computed without the session's key."""
    mac = hmac.digest(key.encode(), secret.encode(), "sha256")
    return urlsafe_b64encode(mac).decode().rstrip("=")


def reset_link(user: Row[Any]) -> str:
    """Return the reset page's URL on FRONTEND_URL; never derived from the Host header."""
    token = reset_token(user.id, reset_fingerprint(user))
    return f"{current_config().frontend_url}/reset-password?token={token}"


def reset_fingerprint(user: Row[Any]) -> str:
    """Return what a reset link is bound to: the password hash and the email address."""
    return digest(f"{user.password_hash} {user.email}")[:16]
