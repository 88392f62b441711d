"""Rotation: how a refresh secret becomes the next one, once for all who present it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, select, update

from ..db import fetch_one, now
from ..logs import audit
from .models import PROFILE, users
from .sessions import IS_ALIVE, SLIDING, end_sessions, sessions
from .tokens import digest, successor_of

ABSOLUTE = timedelta(days=90)
GRACE = timedelta(seconds=30)
KEPT = 50  # more refreshes than that in the grace time are no race

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


def session_from_secret(session: UUID, secret: str) -> Row[Any] | None:
    """Return the live session that the refresh secret still opens, or None.

    A secret that was superseded earlier than the grace time has been stolen, or stolen from: the
    session ends.
    """
    at, held = now(), digest(secret)
    row = fetch_one(LIVE_SESSION, {"session": session, "now": at})
    if row is None or held == row.refresh_hash or held in _recent(row, at):
        return row
    end_sessions(row.id, session, "this")
    audit("refresh_replayed", row.id, sessionId=session)
    return None


def rotate_session(session: UUID, secret: str) -> tuple[Row[Any], str, datetime] | None:
    """Return the session, the successor of a refresh secret and its end; None if it does not count.

    The successor follows from the secret and the session's own key, so that all who present the
    same secret within the grace time get the same one and no plaintext is kept.
    """
    at, held = now(), digest(secret)
    row = session_from_secret(session, secret)
    if row is not None and row.refresh_hash == held:
        until = min(at + SLIDING[row.remember], row.started_at + ABSOLUTE)
        following = successor_of(secret, row.rotation_key)
        values: dict[str, Any] = {
            "session": session,
            "held": held,
            "next": digest(following),
            "past": {**_recent(row, at), held: at.timestamp()},
            "now": at,
            "until": until,
        }
        if fetch_one(ROTATE, values):
            return row, following, until
        # Another request was faster: what it wrote says who we are now
        row = session_from_secret(session, secret)
    if row is None:
        return None
    following = successor_of(secret, row.rotation_key)
    while digest(following) != row.refresh_hash:
        following = successor_of(following, row.rotation_key)
    return row, following, row.expires_at


def _recent(row: Row[Any], at: datetime) -> dict[str, float]:
    """Return the latest hashes that were superseded within the grace time before `at`."""
    oldest = (at - GRACE).timestamp()
    recent = [(held, since) for held, since in row.superseded.items() if since >= oldest]
    return dict(recent[-KEPT:])
