"""Users: SQL statements for accounts."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, bindparam, delete, insert, select, union_all, update
from sqlalchemy.sql.dml import ReturningUpdate

from ..db import autocommit_all, autocommit_one, execute_in_transaction, now
from ..models import email_changes, users
from .passwords import hash_password, needs_rehash, verify_password

REVERT_LIFETIME = timedelta(days=7)
NOT_SHOWN = {"password_hash", "movie_count", "disabled_at"}
PROFILE = tuple(column for column in users.c if column.name not in NOT_SHOWN)
IS_USER = users.c.id == bindparam("user")
IS_ENABLED = users.c.disabled_at.is_(None)
USER = select(*PROFILE, users.c.password_hash).where(IS_USER, IS_ENABLED)
HAS_EMAIL = users.c.email == bindparam("email")
ACCOUNT = select(users).where(HAS_EMAIL)
ACCOUNTS = (
    select(users).where(users.c.email > bindparam("after")).order_by(users.c.email).limit(500)
)
LOGIN = select(*PROFILE, users.c.password_hash).where(HAS_EMAIL, IS_ENABLED)
LOCK_SHARED = select(users.c.password_hash).where(IS_USER, IS_ENABLED).with_for_update(read=True)
LOCK_MOVIE_COUNT = select(users.c.movie_count).where(IS_USER).with_for_update(key_share=True)
LOCK = select(users.c.id).where(IS_USER).with_for_update()
DISABLE = update(users).where(IS_USER).values(disabled_at=bindparam("at"))
HASH_UNCHANGED = IS_USER & (users.c.password_hash == bindparam("old"))
REMOVE = delete(users).where(HASH_UNCHANGED)
REHASH = (
    update(users)
    .where(HASH_UNCHANGED, IS_ENABLED)
    .values(password_hash=bindparam("new"))
    .returning(users.c.id)
)
ADD_USER = insert(users).returning(*PROFILE)
IS_REVERTIBLE = email_changes.c.changed_at > bindparam("since")
CHANGE_OF_USER = (email_changes.c.user_id == bindparam("user")) & IS_REVERTIBLE
TAKEN = union_all(
    select(users.c.id).where(users.c.email == bindparam("address")),
    select(email_changes.c.user_id).where(
        email_changes.c.email == bindparam("address"),
        email_changes.c.user_id.is_distinct_from(bindparam("user")),
        IS_REVERTIBLE,
    ),
)
ADD_EMAIL_CHANGE = insert(email_changes).returning(email_changes.c.id)
PURGE_EMAIL_CHANGES = delete(email_changes).where(~IS_REVERTIBLE)
EMAIL_CHANGE = (
    select(email_changes.c.id)
    .join(users)
    .where(CHANGE_OF_USER, email_changes.c.id == bindparam("change"), IS_ENABLED)
)
END_EMAIL_CHANGES = (
    delete(email_changes)
    .where(CHANGE_OF_USER, email_changes.c.id >= bindparam("change"))
    .returning(email_changes.c.id, email_changes.c.email)
)
RESTORE = (
    update(users)
    .where(IS_USER, IS_ENABLED)
    .values(email=bindparam("new_email"), password_hash=bindparam("new_password_hash"))
    .returning(users.c.email)
)


def user_to_dict(user: Row[Any]) -> dict[str, Any]:
    """Return the user in wire format."""
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "preferences": {"theme": user.theme, "language": user.language},
        "createdAt": user.created_at,
    }


def user_from_email(email: str) -> Row[Any] | None:
    """Return the user with the password hash, or None if unknown or disabled."""
    return autocommit_one(LOGIN, {"email": email})


def account_from_email(email: str) -> Row[Any] | None:
    """Return all columns of the user, disabled or not, or None."""
    return autocommit_one(ACCOUNT, {"email": email})


def iter_accounts() -> Iterator[Mapping[str, Any]]:
    """Yield all columns of every user, by email."""
    after = ""
    while page := autocommit_all(ACCOUNTS, {"after": after}):
        yield from page
        after = page[-1]["email"]


def add_user(name: str, email: str, password_hash: str) -> Row[Any]:
    """Add a user; raise IntegrityError if the email is taken."""
    values = {"name": name, "email": email, "password_hash": password_hash}
    return execute_in_transaction(ADD_USER, {"id": uuid4(), "created_at": now(), **values}).one()


def user_from_id(user: UUID) -> Row[Any] | None:
    """Return the user with the password hash, or None if unknown or disabled."""
    return autocommit_one(USER, {"user": user})


def lock_user_shared(user: UUID) -> str | None:
    """Lock the row against updates; return the password hash, or None if deleted or disabled."""
    return execute_in_transaction(LOCK_SHARED, {"user": user}).scalar_one_or_none()


def recheck_password(user: Row[Any], password: str) -> bool:
    """Lock the user if the password is still correct; rehash it if parameters changed.

    Return False if the password has changed or the user was deleted.
    """
    if needs_rehash(user.password_hash) and set_password_hash(user, hash_password(password)):
        return True
    held = lock_user_shared(user.id)
    # another login may have rehashed the same password
    return held == user.password_hash or (held is not None and verify_password(password, held))


def set_password_hash(user: Row[Any], password_hash: str) -> bool:
    """Replace the password hash; return False if it changed or the user is deleted or disabled."""
    values = {"user": user.id, "old": user.password_hash, "new": password_hash}
    return execute_in_transaction(REHASH, values).one_or_none() is not None


def change_user(user: Row[Any], columns: Mapping[str, Any]) -> Row[Any] | None:
    """Update columns other than the email, in autocommit; return None if the user was deleted."""
    values = {f"new_{name}": value for name, value in columns.items()}
    return autocommit_one(_change(tuple(columns)), {"user": user.id, **values})


def change_email(user: Row[Any], columns: Mapping[str, Any]) -> tuple[Row[Any], int] | None:
    """Update the email and other columns, in the request's transaction; reserve the old address.

    Return the user and the id of the change; None if email or password has changed meanwhile, or
    the user was deleted. Raise IntegrityError if the email is taken.
    """
    at, values = now(), {f"new_{name}": value for name, value in columns.items()}
    values |= {"user": user.id, "old": user.password_hash, "old_email": user.email}
    changed = execute_in_transaction(_change(tuple(columns)), values).one_or_none()
    if changed is None:
        return None
    execute_in_transaction(PURGE_EMAIL_CHANGES, {"since": at - REVERT_LIFETIME})
    change = {"user_id": user.id, "email": user.email, "changed_at": at}
    return changed, execute_in_transaction(ADD_EMAIL_CHANGE, change).scalar_one()


def is_email_taken(email: str, user: UUID | None = None) -> bool:
    """Return whether another user has the address, or can still revert to it; in autocommit."""
    values = {"address": email, "user": user, "since": now() - REVERT_LIFETIME}
    return autocommit_one(TAKEN, values) is not None


def is_email_revertible(user: UUID, change: int) -> bool:
    """Return whether a change of email can be reverted; in autocommit."""
    values = {"user": user, "change": change, "since": now() - REVERT_LIFETIME}
    return autocommit_one(EMAIL_CHANGE, values) is not None


def revert_email(user: UUID, change: int, password_hash: str) -> str | None:
    """Undo a change of email and all later ones, in the request's transaction.

    Return the address, or None if the change is too old or reverted already, or the user is
    disabled. The caller ends the sessions: an attacker must lose access.
    """
    lock_user(user)  # first, so that no change is added meanwhile
    values = {"user": user, "change": change, "since": now() - REVERT_LIFETIME}
    ended = {row.id: row.email for row in execute_in_transaction(END_EMAIL_CHANGES, values)}
    if change not in ended:
        return None
    restored = {"user": user, "new_email": ended[change], "new_password_hash": password_hash}
    email: str | None = execute_in_transaction(RESTORE, restored).scalar_one_or_none()
    return email


@lru_cache(maxsize=16)
def _change(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    is_same = HASH_UNCHANGED & IS_ENABLED & (users.c.email == bindparam("old_email"))
    statement = update(users).where(is_same if "email" in names else IS_USER)
    return statement.values({name: bindparam(f"new_{name}") for name in names}).returning(*PROFILE)


def set_disabled(user: UUID, at: datetime | None) -> None:
    """Disable the user, or enable it with None; the caller ends the sessions."""
    execute_in_transaction(DISABLE, {"user": user, "at": at})


def lock_user(user: UUID) -> None:
    """Lock the user exclusively until the transaction ends."""
    execute_in_transaction(LOCK, {"user": user})


def lock_movie_count(user: UUID) -> int | None:
    """Lock movie_count until the transaction ends; return it, or None if the user was deleted.

    Inserts of rows that only refer to the user, such as sessions and uploads, do not wait.
    """
    locked = execute_in_transaction(LOCK_MOVIE_COUNT, {"user": user})
    count: int | None = locked.scalar_one_or_none()
    return count


def remove_user(user: Row[Any]) -> bool:
    """Delete the user; return False if it is deleted already or the password changed."""
    return execute_in_transaction(REMOVE, {"user": user.id, "old": user.password_hash}).rowcount > 0
