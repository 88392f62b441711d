"""Refresh: rotate the refresh cookie; concurrent requests with one cookie get the same new one.

Each value contains its generation, which each rotation increases by one.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update

from ..db import UtcDateTime, autocommit_one, now
from ..logs import audit
from ..models import sessions, users
from .sessions import IDLE_TTL, IS_ALIVE, end_sessions
from .tokens import RefreshValue, digest
from .users import PROFILE

MAX_AGE = timedelta(days=90)
GRACE = timedelta(seconds=30)
MAX_SUPERSEDED = 50  # more within the grace period are not a race

LIVE_SESSION = (
    select(
        *PROFILE,
        sessions.c.id.label("session_id"),
        sessions.c.kind,
        sessions.c.scope,
        sessions.c.refresh_hash,
        sessions.c.generation,
        sessions.c.superseded,
        sessions.c.remember,
        sessions.c.created_at.label("started_at"),
        sessions.c.expires_at,
        # The database's clock: those of two servers may differ by more than the grace period
        func.current_timestamp(type_=UtcDateTime).label("database_time"),
    )
    .join_from(sessions, users)
    .where(IS_ALIVE, sessions.c.kind == "login")
)
ROTATE = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.generation == bindparam("held"))
    .values(
        generation=bindparam("next"),
        superseded=bindparam("past"),
        last_used_at=bindparam("now"),
        expires_at=bindparam("until"),
    )
    .returning(sessions.c.id)
)


def find_session(value: RefreshValue) -> Row[Any] | None:
    """Return the live session of a refresh cookie, or None.

    The current and the previous value are valid; so is a later one, because the database may have
    been restored from a backup. An older value past its grace period is treated as stolen:
    the session ends.
    """
    row = autocommit_one(LIVE_SESSION, {"session": value.session, "now": now()})
    if row is None or row.refresh_hash != digest(value.secret):
        return None
    if value.generation >= row.generation - 1:
        return row
    if str(value.generation) in _recently_superseded(row):
        return row
    end_sessions(row.id, value.session, "this")
    audit("refresh_replayed", row.id, sessionId=value.session)
    return None


def rotate_session(value: RefreshValue) -> tuple[Row[Any], RefreshValue, datetime] | None:
    """Return the session, the value that replaces this one and its expiry; None if invalid."""
    at, row = now(), find_session(value)
    if row is not None and value.generation >= row.generation:
        until = min(at + IDLE_TTL[row.remember], row.started_at + MAX_AGE)
        following = value._replace(generation=value.generation + 1)
        # From now on, the value before this one is valid for the grace period only
        superseded = {str(value.generation - 1): row.database_time.timestamp()}
        values: dict[str, Any] = {
            "session": value.session,
            "held": row.generation,
            "next": following.generation,
            "past": {**_recently_superseded(row), **superseded},
            "now": at,
            "until": until,
        }
        if autocommit_one(ROTATE, values):
            return row, following, until
        # A concurrent request has rotated the session: read the result
        row = find_session(value)
    if row is None:
        return None
    return row, value._replace(generation=row.generation), row.expires_at


def _recently_superseded(row: Row[Any]) -> dict[str, float]:
    """Return the generations before the previous one that are within the grace period."""
    oldest = (row.database_time - GRACE).timestamp()
    recent = [(past, since) for past, since in row.superseded.items() if since >= oldest]
    return dict(recent[-MAX_SUPERSEDED:])
