"""Users: the table, and what is asked of one."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Row, String, bindparam, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from ..db import UtcDateTime, db, fetch_one, now, write
from .passwords import hash_password, is_password, needs_rehash


class User(db.Model):  # type: ignore[name-defined]
    """An account; movie_count is kept beside it so that no list has to count."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('user', 'admin')", name="role"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(5), server_default="user")
    theme: Mapped[str] = mapped_column(String(6), server_default="system")
    language: Mapped[str] = mapped_column(String(35), server_default="en")
    movie_count: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


users = User.__table__
NOT_SHOWN = {"password_hash", "movie_count"}
PROFILE = tuple(column for column in users.c if column.name not in NOT_SHOWN)
IS_USER = users.c.id == bindparam("user")
USER = select(*PROFILE, users.c.password_hash).where(IS_USER)
LOGIN = select(*PROFILE, users.c.password_hash).where(users.c.email == bindparam("email"))
HOLD = select(users.c.password_hash).where(IS_USER).with_for_update(read=True)
HOLD_COUNT = select(users.c.movie_count).where(IS_USER).with_for_update(key_share=True)
HOLD_ALONE = select(users.c.id).where(IS_USER).with_for_update()
PROMOTE = (
    update(users).where(users.c.email == bindparam("address")).values(role="admin")
).returning(users.c.id)
IS_AS_CHECKED = IS_USER & (users.c.password_hash == bindparam("old"))
REMOVE = delete(users).where(IS_AS_CHECKED)
REHASH = (
    update(users).where(IS_AS_CHECKED).values(password_hash=bindparam("new")).returning(users.c.id)
)
ADD_USER = insert(users).returning(*PROFILE)


def user_answer(user: Row[Any]) -> dict[str, Any]:
    """Return the user as clients see it."""
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "preferences": {"theme": user.theme, "language": user.language},
        "createdAt": user.created_at,
    }


def user_from_email(email: str) -> Row[Any] | None:
    """Return the user with the password hash, or None."""
    return fetch_one(LOGIN, {"email": email})


def add_user(name: str, email: str, password_hash: str) -> Row[Any]:
    """Add a user; an email that is taken raises IntegrityError."""
    values = {"name": name, "email": email, "password_hash": password_hash}
    return write(ADD_USER, {"id": uuid4(), "created_at": now(), **values}).one()


def user_from_id(user: UUID) -> Row[Any] | None:
    """Return the user with the password hash, or None."""
    return fetch_one(USER, {"user": user})


def hold_user(user: UUID) -> str | None:
    """Return the password hash, and keep it as it is until the transaction ends; None if gone."""
    return write(HOLD, {"user": user}).scalar_one_or_none()


def hold_password(user: Row[Any], password: str) -> bool:
    """Keep a password that was right, hashed by today's parameters, until the transaction ends.

    False when it is not right any more, or the user has gone.
    """
    if needs_rehash(user.password_hash) and change_hash(user, hash_password(password)):
        return True
    held = hold_user(user.id)
    # another login may have been faster with the same password's new hash
    return held == user.password_hash or (held is not None and is_password(password, held))


def change_hash(user: Row[Any], password_hash: str) -> bool:
    """Replace the password hash; False when another request was faster."""
    values = {"user": user.id, "old": user.password_hash, "new": password_hash}
    return write(REHASH, values).one_or_none() is not None


def change_user(user: Row[Any], columns: Mapping[str, Any]) -> Row[Any] | None:
    """Change some columns of the user; None when it has gone.

    The email changes only while the password is the one of `user`: else None too. One that is taken
    raises IntegrityError.
    """
    values = {f"new_{name}": value for name, value in columns.items()}
    if "email" in columns:
        values["old"] = user.password_hash
    return fetch_one(_change(tuple(columns)), {"user": user.id, **values})


@lru_cache(maxsize=16)
def _change(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    statement = update(users).where(IS_AS_CHECKED if "email" in names else IS_USER)
    return statement.values({name: bindparam(f"new_{name}") for name in names}).returning(*PROFILE)


def promote_user(email: str) -> bool:
    """Make the user an admin; False when there is none."""
    return fetch_one(PROMOTE, {"address": email}) is not None


def hold_user_alone(user: UUID) -> None:
    """Keep everybody else from the user until the transaction ends."""
    write(HOLD_ALONE, {"user": user})


def hold_count(user: UUID) -> int | None:
    """Return how many movies the user has, and let it stay so until the transaction ends.

    None if the user has gone.

    What only refers to the user, a session or an upload, need not wait.
    """
    count: int | None = write(HOLD_COUNT, {"user": user}).scalar_one_or_none()
    return count


def remove_user(user: Row[Any]) -> bool:
    """Remove the user and what belongs to it; False when it has gone or has another password."""
    return write(REMOVE, {"user": user.id, "old": user.password_hash}).rowcount > 0
