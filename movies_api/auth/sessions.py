"""Sessions: what access tokens name and refresh cookies prove."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, ForeignKey, Row, String, bindparam, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from ..db import UtcDateTime, db, fetch_all, fetch_one, now, write
from ..prepared import Prepared
from .models import users
from .tokens import digest, new_secret, script_token

SLIDING = {False: timedelta(days=7), True: timedelta(days=30)}
NOTED = timedelta(minutes=15)  # how old the last use of a script token may look
PURGED = 100  # expired sessions that a login takes along


class Session(db.Model):  # type: ignore[name-defined]
    """A login: what a signed access token names and a refresh cookie proves."""

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(5), server_default="login")
    name: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    refresh_hash: Mapped[str] = mapped_column(String(64))
    rotation_key: Mapped[str] = mapped_column(String(64))
    superseded: Mapped[dict[str, float]] = mapped_column(JSON)
    remember: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


sessions = Session.__table__
IS_ALIVE = (sessions.c.id == bindparam("session")) & (sessions.c.expires_at > bindparam("now"))

# What a view may need to know of who calls; the rest is read by the views that answer it
CALLERS = (
    select(
        users.c.id,
        users.c.role,
        users.c.movie_count,
        sessions.c.id.label("session_id"),
        sessions.c.kind,
        sessions.c.last_used_at,
    )
    .join_from(sessions, users)
    .where(IS_ALIVE)
)
CALLER = Prepared(CALLERS)
SCRIPT = Prepared(
    CALLERS.where(sessions.c.refresh_hash == bindparam("held"), sessions.c.kind == "token")
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
        sessions.c.created_at.label("createdAt"),
        sessions.c.last_used_at.label("lastUsedAt"),
        sessions.c.expires_at.label("expiresAt"),
    )
    .where(sessions.c.user_id == bindparam("user"), sessions.c.expires_at > bindparam("now"))
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
)
ADD_SESSION = insert(sessions)
END_ALL = delete(sessions).where(sessions.c.user_id == bindparam("user"))
END = {
    "this": END_ALL.where(sessions.c.id == bindparam("session")),
    "others": END_ALL.where(sessions.c.id != bindparam("session")),
    "all": END_ALL,
}
# Materialized: PostgreSQL may run a subquery again for each row, with other rows each time
EXPIRED = (
    select(sessions.c.id)
    .where(sessions.c.expires_at <= bindparam("now"))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)  # two logins at once do not wait for each other here
    .cte("expired")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
PURGE = delete(sessions).where(sessions.c.id.in_(select(EXPIRED.c.id))).returning(sessions.c.id)


def caller_of(session: UUID) -> Row[Any] | None:
    """Return the user of a live session, or None."""
    return fetch_one(CALLER, {"session": session, "now": now()})


def is_alive(session: UUID) -> bool:
    """Tell, within the transaction, whether the session has not ended."""
    return write(CALLERS, {"session": session, "now": now()}).one_or_none() is not None


def caller_of_script(session: UUID, secret: str) -> Row[Any] | None:
    """Return the user of a live script token, or None; its last use is noted now and then."""
    at = now()
    caller = fetch_one(SCRIPT, {"session": session, "now": at, "held": digest(secret)})
    if caller is not None and caller.last_used_at < at - NOTED:
        fetch_one(TOUCH, {"session": session, "now": at, "stale": at - NOTED})
    return caller


def sessions_of(caller: Row[Any]) -> list[dict[str, Any]]:
    """Return the caller's live sessions as clients see them, the latest used first."""
    rows = fetch_all(LISTED, {"user": caller.id, "now": now()})
    return [{**row, "current": row["id"] == caller.session_id} for row in rows]


def end_sessions(user: UUID, session: UUID | None, scope: str) -> int:
    """End the user's session (this), all but it (others), or all; return how many."""
    return write(END[scope], {"user": user, "session": session}).rowcount


def add_script_token(user: UUID, name: str, days: int) -> dict[str, Any]:
    """Add a token for scripts; return it as its owner sees it this once."""
    secret, started = new_secret(), now()
    values = _session(user, name, secret, started) | {
        "kind": "token",
        "expires_at": started + timedelta(days=days),
    }
    write(ADD_SESSION, values)
    token = script_token(values["id"], secret)
    return {"id": values["id"], "name": name, "token": token, "expiresAt": values["expires_at"]}


def add_session(user: UUID, name: str, remember: bool) -> tuple[UUID, str, datetime]:
    """Add a session; return its id, its refresh secret (kept only as a hash) and its end."""
    secret, started = new_secret(), now()
    purge_sessions(PURGED)
    until = started + SLIDING[remember]
    values = _session(user, name, secret, started) | {"remember": remember, "expires_at": until}
    write(ADD_SESSION, values)
    return values["id"], secret, until


def _session(user: UUID, name: str, secret: str, started: datetime) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "kind": "login",
        "name": name,
        "user_id": user,
        "refresh_hash": digest(secret),
        "rotation_key": new_secret(),
        "superseded": {},
        "remember": False,
        "created_at": started,
        "last_used_at": started,
    }


def purge_sessions(most: int) -> int:
    """Remove sessions that have expired, so many at most; return how many."""
    # sqlite3 has no rowcount of a statement that begins with WITH
    return len(write(PURGE, {"now": now(), "most": most}).all())
