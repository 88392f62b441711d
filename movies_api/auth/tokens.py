"""Tokens: access and API tokens, refresh cookies, password reset and email revert tokens."""

import hashlib
import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from itsdangerous import BadData
from sqlalchemy import Row

from ..config import current_config
from ..db import now
from ..signers import (
    CLOCK_SKEW,
    access_signer,
    refresh_signer,
    reject_noncanonical,
    reset_signer,
    revert_signer,
)

ACCESS_LIFETIME = timedelta(minutes=15)
RESET_LIFETIME = timedelta(minutes=30)
SCANNABLE_PREFIX = "mov_"


class RefreshValue(NamedTuple):
    """The content of a refresh cookie; the secret is the session's, in every generation."""

    session: UUID
    generation: int
    secret: str


def access_token(session: UUID) -> str:
    """Return a signed token that contains the session and the time of signing."""
    return access_signer(current_config().secret_keys).sign(session.hex).decode()


def read_access_token(token: str) -> tuple[UUID, datetime] | None:
    """Return the session and the time of signing, or None for an invalid token."""
    try:
        return _verify_access_token(token, current_config().secret_keys)
    except (BadData, ValueError):
        return None


# Clients send the same token for 15 minutes; invalid tokens are not cached
@lru_cache(maxsize=4096)
def _verify_access_token(token: str, keys: tuple[str, ...]) -> tuple[UUID, datetime]:
    session, signed_at = access_signer(keys).unsign(
        reject_noncanonical(token), return_timestamp=True
    )
    return UUID(session.decode()), signed_at


def refresh_token(value: RefreshValue) -> str:
    """Return the cookie; its signature distinguishes a superseded one from a forged one."""
    text = f"{value.session.hex}.{value.generation}.{value.secret}"
    return refresh_signer(current_config().secret_keys).sign(text).decode()


def read_refresh_token(token: str) -> RefreshValue | None:
    """Return the content, or None for an invalid cookie."""
    try:
        value = refresh_signer(current_config().secret_keys).unsign(reject_noncanonical(token))
        session, generation, secret = value.decode().split(".")
        return RefreshValue(UUID(session), int(generation), secret)
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


def reset_link(user: Row[Any]) -> str:
    """Return the reset page's URL on FRONTEND_URL; never derived from the Host header.

    The link works while the user's reset_fingerprint stays the same.
    """
    text = f"{user.id.hex}.{reset_fingerprint(user)}"
    token = reset_signer(current_config().secret_keys).sign(text).decode()
    return f"{current_config().frontend_url}/reset-password?token={token}"


def read_reset_token(token: str) -> tuple[UUID, str] | None:
    """Return the user and the fingerprint, or None for an invalid or expired token."""
    try:
        signer = reset_signer(current_config().secret_keys)
        value, signed_at = signer.unsign(reject_noncanonical(token), return_timestamp=True)
        user, fingerprint = value.decode().split(".")
        is_expired = now() - signed_at > RESET_LIFETIME + CLOCK_SKEW
        return None if is_expired else (UUID(user), fingerprint)
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


def reset_fingerprint(user: Row[Any]) -> str:
    """Return what a reset link is bound to: the password hash and the email address."""
    return digest(f"{user.password_hash} {user.email}")[:16]
