"""Refresh: replace a refresh secret, once for all requests that present it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, select, update

from ..db import autocommit_one, now
from ..logs import audit
from ..models import sessions, users
from .sessions import IDLE_TTL, IS_ALIVE, end_sessions
from .tokens import digest, next_refresh_secret
from .users import PROFILE

MAX_AGE = timedelta(days=90)
GRACE = timedelta(seconds=30)
MAX_SUPERSEDED = 50  # more refreshes within the grace time are no race

LIVE_SESSION = (
    select(
        *PROFILE,
        sessions.c.id.label("session_id"),
        sessions.c.kind,
        sessions.c.refresh_hash,
        sessions.c.rotation_key,
        sessions.c.superseded,
        sessions.c.remember,
        sessions.c.created_at.label("started_at"),
        sessions.c.expires_at,
    )
    .join_from(sessions, users)
    .where(IS_ALIVE)
)
ROTATE = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.refresh_hash == bindparam("held"))
    .values(
        refresh_hash=bindparam("next"),
        superseded=bindparam("past"),
        last_used_at=bindparam("now"),
        expires_at=bindparam("until"),
    )
    .returning(sessions.c.id)
)


def find_session_by_secret(session: UUID, secret: str) -> Row[Any] | None:
    """Return the live session of a valid refresh secret, or None.

    A secret that was superseded before the grace time counts as stolen: the session ends.
    """
    at, held = now(), digest(secret)
    row = autocommit_one(LIVE_SESSION, {"session": session, "now": at})
    if row is None or held == row.refresh_hash or held in _recently_superseded(row, at):
        return row
    end_sessions(row.id, session, "this")
    audit("refresh_replayed", row.id, sessionId=session)
    return None


def rotate_session(session: UUID, secret: str) -> tuple[Row[Any], str, datetime] | None:
    """Return the session, the successor of a refresh secret and its expiry; None if invalid.

    The successor follows from the secret and the session's own key, so that every request with
    the same secret within the grace time gets the same one, and no plaintext is stored.
    """
    at, held = now(), digest(secret)
    row = find_session_by_secret(session, secret)
    if row is not None and row.refresh_hash == held:
        until = min(at + IDLE_TTL[row.remember], row.started_at + MAX_AGE)
        following = next_refresh_secret(secret, row.rotation_key)
        values: dict[str, Any] = {
            "session": session,
            "held": held,
            "next": digest(following),
            "past": {**_recently_superseded(row, at), held: at.timestamp()},
            "now": at,
            "until": until,
        }
        if autocommit_one(ROTATE, values):
            return row, following, until
        # Another request was faster: read what it wrote
        row = find_session_by_secret(session, secret)
    if row is None:
        return None
    following = next_refresh_secret(secret, row.rotation_key)
    while digest(following) != row.refresh_hash:
        following = next_refresh_secret(following, row.rotation_key)
    return row, following, row.expires_at


def _recently_superseded(row: Row[Any], at: datetime) -> dict[str, float]:
    """Return the latest hashes that were superseded within the grace time before `at`."""
    oldest = (at - GRACE).timestamp()
    recent = [(held, since) for held, since in row.superseded.items() if since >= oldest]
    return dict(recent[-MAX_SUPERSEDED:])
