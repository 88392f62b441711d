"""Sessions: SQL statements for logins and API tokens."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, bindparam, delete, func, insert, select, union_all, update

from ..config import current_config
from ..db import autocommit_all, autocommit_one, execute_in_transaction, now
from ..db.prepared import Prepared
from ..models import sessions, users
from .tokens import RefreshValue, api_token, digest, new_secret

IDLE_TTL = {False: timedelta(days=7), True: timedelta(days=30)}
TOUCH_INTERVAL = timedelta(minutes=15)  # by which last_used_at of an API token may be out of date
PURGE_BATCH = 100  # expired sessions that a login deletes
OF_USER = sessions.c.user_id == bindparam("user")
IS_UNEXPIRED = sessions.c.expires_at > bindparam("now")
IS_ALIVE = (sessions.c.id == bindparam("session")) & IS_UNEXPIRED

# The columns that most views need; others are read where they are used
SELECT_CALLER = (
    select(
        users.c.id,
        users.c.role,
        users.c.movie_count,
        sessions.c.id.label("session_id"),
        sessions.c.kind,
        sessions.c.scope,
        sessions.c.last_used_at,
    )
    .join_from(sessions, users)
    .where(IS_ALIVE)
)
CALLER = Prepared(SELECT_CALLER)
API_TOKEN_CALLER = Prepared(
    SELECT_CALLER.where(sessions.c.refresh_hash == bindparam("held"), sessions.c.kind == "token")
)
TOUCH = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.last_used_at < bindparam("stale"))
    .values(last_used_at=bindparam("now"))
    .returning(sessions.c.id)
)
LISTED = (
    select(
        sessions.c.id,
        sessions.c.kind,
        sessions.c.name,
        sessions.c.scope,
        sessions.c.created_at.label("createdAt"),
        sessions.c.last_used_at.label("lastUsedAt"),
        sessions.c.expires_at.label("expiresAt"),
    )
    .where(OF_USER, IS_UNEXPIRED)
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
)
ADD_SESSION = insert(sessions)
END_ALL = delete(sessions).where(OF_USER)
END = {
    "this": END_ALL.where(sessions.c.id == bindparam("session")),
    "others": END_ALL.where(sessions.c.id != bindparam("session")),
    "all": END_ALL,
}
# Materialized: PostgreSQL may run a subselect once per row, and so delete more than the limit.
# SKIP LOCKED: two logins at the same time do not wait for each other here
EXPIRED = (
    select(sessions.c.id)
    .where(sessions.c.expires_at <= bindparam("now"))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("expired")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
SURPLUS = (
    select(sessions.c.id)
    .where(OF_USER, sessions.c.kind == "login", IS_UNEXPIRED)
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
    .offset(bindparam("kept"))
    .with_for_update(skip_locked=True)
    .cte("surplus")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
PURGE = delete(sessions).where(sessions.c.id.in_(select(EXPIRED.c.id))).returning(sessions.c.id)
MAKE_ROOM = delete(sessions).where(
    sessions.c.id.in_(union_all(select(EXPIRED.c.id), select(SURPLUS.c.id)))
)
TOKENS = select(func.count()).where(OF_USER, sessions.c.kind == "token", IS_UNEXPIRED)


def find_caller(session: UUID) -> Row[Any] | None:
    """Return the user of a live session, or None."""
    return autocommit_one(CALLER, {"session": session, "now": now()})


def is_session_alive(session: UUID) -> bool:
    """Return whether the session has not ended, in the request's transaction."""
    rows = execute_in_transaction(SELECT_CALLER, {"session": session, "now": now()})
    return rows.one_or_none() is not None


def find_api_token_caller(session: UUID, secret: str) -> Row[Any] | None:
    """Return the user of a live API token, or None; record its last use at intervals."""
    at = now()
    caller = autocommit_one(
        API_TOKEN_CALLER, {"session": session, "now": at, "held": digest(secret)}
    )
    if caller is not None and caller.last_used_at < at - TOUCH_INTERVAL:
        autocommit_one(TOUCH, {"session": session, "now": at, "stale": at - TOUCH_INTERVAL})
    return caller


def fetch_sessions(caller: Row[Any]) -> list[dict[str, Any]]:
    """Return the caller's live sessions in wire format, most recently used first."""
    rows = autocommit_all(LISTED, {"user": caller.id, "now": now()})
    return [{**row, "current": row["id"] == caller.session_id} for row in rows]


def end_sessions(user: UUID, session: UUID | None, scope: str) -> int:
    """End the user's session (this), all but it (others), or all; return how many."""
    return execute_in_transaction(END[scope], {"user": user, "session": session}).rowcount


def count_tokens(user: UUID) -> int:
    """Return how many unexpired API tokens the user has, in the request's transaction."""
    return int(execute_in_transaction(TOKENS, {"user": user, "now": now()}).scalar_one())


def create_api_token(user: UUID, name: str, scope: str, days: int) -> dict[str, Any]:
    """Create an API token; return it with its plaintext, which is not stored."""
    secret, started = new_secret(), now()
    values = _new_session_values(user, name, secret, started) | {
        "kind": "token",
        "scope": scope,
        "expires_at": started + timedelta(days=days),
    }
    execute_in_transaction(ADD_SESSION, values)
    shown = {"id": values["id"], "name": name, "token": api_token(values["id"], secret)}
    return {**shown, "scope": scope, "expiresAt": values["expires_at"]}


def add_session(user: UUID, name: str, remember: bool) -> tuple[RefreshValue, datetime]:
    """Add a session; return its first refresh value, whose secret is not stored, and its end.

    Beyond MAX_SESSIONS_PER_USER the user's least recently used logins end in the same transaction.
    Concurrent logins do not see each other; the next login ends the surplus.
    """
    secret, started = new_secret(), now()
    kept = current_config().max_sessions_per_user - 1
    execute_in_transaction(
        MAKE_ROOM, {"user": user, "kept": kept, "now": started, "most": PURGE_BATCH}
    )
    until = started + IDLE_TTL[remember]
    values = _new_session_values(user, name, secret, started) | {
        "remember": remember,
        "expires_at": until,
    }
    execute_in_transaction(ADD_SESSION, values)
    return RefreshValue(values["id"], 0, secret), until


def _new_session_values(user: UUID, name: str, secret: str, started: datetime) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "kind": "login",
        "name": name,
        "user_id": user,
        "refresh_hash": digest(secret),
        "superseded": {},
        "remember": False,
        "created_at": started,
        "last_used_at": started,
    }


def purge_sessions(most: int) -> int:
    """Delete up to `most` expired sessions; return how many were deleted."""
    # SQLite's driver does not count the rows of a statement that begins with WITH
    return len(execute_in_transaction(PURGE, {"now": now(), "most": most}).all())
