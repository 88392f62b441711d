"""Queries: SQL statements about images and uploads."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, exists, func, select, union, update
from sqlalchemy.dialects import postgresql, sqlite

from ..db import UtcDateTime, autocommit_all, autocommit_one, db, execute_in_transaction, now
from ..models import images, movies, uploads

BATCH = 500
GRACE = timedelta(days=1)
ORPHAN_GRACE = timedelta(minutes=1)  # time to create the movie of a stored image
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # unused_since of images to delete first
CHECK_BATCH = 20  # images to check per stored image
IS_SHOWN = exists().where(movies.c.image_key == images.c.key)
IS_UPLOADED = exists().where(uploads.c.key == images.c.key)
ONE = images.c.key == bindparam("image")
AT = bindparam("at", type_=UtcDateTime)  # a CASE does not infer its type

TYPE = select(images.c.media_type).where(ONE)
UPLOAD = select(uploads.c.owner_id, uploads.c.key).where(uploads.c.id == bindparam("upload"))
OF_USER = union(
    select(movies.c.image_key).where(
        movies.c.owner_id == bindparam("user"), movies.c.image_key.is_not(None)
    ),
    select(uploads.c.key).where(uploads.c.owner_id == bindparam("user")),
)
CHARGED = select(func.coalesce(func.sum(uploads.c.size), 0)).where(
    uploads.c.owner_id == bindparam("owner")
)
CHARGED_OTHERS = CHARGED.where(uploads.c.id != bindparam("upload"))
MARK_USED = (
    update(images).where(images.c.unused_since.is_not(None), IS_SHOWN).values(unused_since=None)
)
MARK_ONE_USED = MARK_USED.where(ONE)
MARK_UNUSED = (
    update(images)
    .where(images.c.unused_since.is_(None), ~IS_SHOWN)
    .values(unused_since=bindparam("at"))
)
NEXT_UNUSED = (
    select(images.c.key)
    .where(images.c.unused_since <= bindparam("before"))
    .order_by(images.c.unused_since)
    .limit(1)
    .with_for_update(skip_locked=True)
)
REMOVE_UNUSED = delete(images).where(ONE, images.c.unused_since <= bindparam("before"), ~IS_SHOWN)
REMOVE_ORPHAN = delete(images).where(
    ONE, images.c.used_at <= bindparam("before"), ~IS_SHOWN, ~IS_UPLOADED
)
ALL_KEYS = select(images.c.key)
IS_ONE_OF = images.c.key.in_(bindparam("keys", expanding=True))
EXISTING = ALL_KEYS.where(IS_ONE_OF)
LOCK = EXISTING.with_for_update(read=True, key_share=True)
# Materialized, because PostgreSQL may run a subselect per row and then lock more than the limit
OLDEST = (
    select(images.c.key)
    .where(images.c.unused_since.is_(None), images.c.used_at <= bindparam("before"))
    .order_by(images.c.used_at)
    .limit(CHECK_BATCH)
    .with_for_update(skip_locked=True, key_share=True)
    .cte("oldest")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
CHECK_OLDEST = (
    update(images)
    .where(images.c.key.in_(select(OLDEST.c.key)))
    .values(used_at=AT, unused_since=case((~IS_SHOWN, AT), else_=None))
    .returning(images.c.key)
)
FREE = (
    select(images.c.key)
    .where(IS_ONE_OF, images.c.unused_since.is_(None), ~IS_SHOWN)
    .with_for_update(skip_locked=True, key_share=True)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
RELEASE = (
    update(images)
    .where(images.c.key.in_(select(FREE.c.key)))
    .values(
        unused_since=case(
            (IS_UPLOADED | (images.c.used_at > bindparam("recent")), AT),
            else_=bindparam("since", type_=UtcDateTime),
        )
    )
    .returning(images.c.key)
)
TOUCH = (
    update(images)
    .where(IS_ONE_OF)
    .values(used_at=bindparam("at"), unused_since=None)
    .returning(images.c.key)
)


def _upsert(dialect: Any) -> Any:
    """Return the statement that inserts or touches an image; both lock its row."""
    values: dict[str, Any] = {name: bindparam(name) for name in ("key", "media_type", "used_at")}
    statement = dialect.insert(images).values(values)
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"used_at": statement.excluded.used_at, "unused_since": None},
    )


UPSERT = {"postgresql": _upsert(postgresql), "sqlite": _upsert(sqlite)}
UPSERT_UPLOAD = {
    # The update changes nothing: it waits for concurrent writers and returns the existing row
    name: dialect.insert(uploads)
    .on_conflict_do_update(index_elements=["id"], set_={"id": uploads.c.id})
    .returning(uploads.c.key)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}


def media_type_of(key: str) -> str | None:
    """Return the media type of an image, or None if it does not exist."""
    row = autocommit_one(TYPE, {"image": key})
    return row and row.media_type


def upload_from_id(upload: UUID) -> Any:
    """Return owner_id and key of a stored upload, or None."""
    return autocommit_one(UPLOAD, {"upload": upload})


def touch_image(key: str) -> bool:
    """Mark the image as used by a movie; return False if it does not exist."""
    return bool(touch_images([key]))


def touch_images(keys: Collection[str]) -> set[str]:
    """Mark the images as used by movies; return those that exist."""
    return _keys_in_batches(keys, lambda batch: autocommit_all(TOUCH, {"keys": batch, "at": now()}))


def existing_keys(keys: Collection[str]) -> set[str]:
    """Return those keys whose images exist."""
    return _keys_in_batches(keys, lambda batch: autocommit_all(EXISTING, {"keys": batch}))


def lock_images(keys: Collection[str]) -> set[str]:
    """Lock the images against deletion until the transaction ends; return those that exist."""
    return _keys_in_batches(
        keys, lambda batch: execute_in_transaction(LOCK, {"keys": batch}).mappings()
    )


def _keys_in_batches(
    keys: Collection[str], fetch: Callable[[list[str]], Iterable[Mapping[Any, Any]]]
) -> set[str]:
    # Sorted, so that concurrent transactions do not deadlock
    ordered, found = sorted(keys), set[str]()
    for start in range(0, len(ordered), BATCH):
        found.update(row["key"] for row in fetch(ordered[start : start + BATCH]))
    return found


def upsert_image(key: str, media_type: str) -> None:
    """Insert or touch an image; lock it until the transaction ends."""
    values = {"key": key, "media_type": media_type, "used_at": now()}
    execute_in_transaction(UPSERT[db.engine.dialect.name], values)


def add_upload(upload: UUID, owner: UUID, key: str, size: int) -> bool:
    """Link the upload to its image; return False if it already has another image.

    Raise IntegrityError if the owner's account no longer exists.
    """
    values = {"id": upload, "owner_id": owner, "key": key, "size": size}
    stored = execute_in_transaction(UPSERT_UPLOAD[db.engine.dialect.name], values).scalar_one()
    return bool(stored == key)


def image_keys_of_user(user: UUID) -> list[str]:
    """Return the keys of the images that the user uploaded or that the user's movies show."""
    return [key for row in autocommit_all(OF_USER, {"user": user}) for key in row.values()]


def mark_unused() -> None:
    """Update unused_since of all images, in the current transaction."""
    execute_in_transaction(MARK_USED, {})
    execute_in_transaction(MARK_UNUSED, {"at": now()})


def charged_bytes(owner: UUID, excluded: UUID | None = None) -> int:
    """Return the total bytes of the owner's uploads, except for one upload."""
    statement, values = (CHARGED_OTHERS, {"upload": excluded}) if excluded else (CHARGED, {})
    row: Any = autocommit_one(statement, {"owner": owner, **values})
    return int(row[0])


def check_oldest() -> None:
    """Check whether movies show the images whose last check is the oldest, at least a day ago."""
    at = now()
    autocommit_all(CHECK_OLDEST, {"at": at, "before": at - GRACE})


def release_images(keys: Iterable[str], *, skip_grace: bool = False) -> None:
    """Mark those images as unused that no movie shows.

    With skip_grace, images that have no upload and were not used recently are deleted first and
    without the grace period. Skip locked images without waiting; check_oldest finds them later.
    """
    at, ordered = now(), sorted(keys)
    values = {"at": at, "since": LONG_AGO if skip_grace else at, "recent": at - ORPHAN_GRACE}
    for start in range(0, len(ordered), BATCH):
        autocommit_all(RELEASE, {**values, "keys": ordered[start : start + BATCH]})


def lock_next_unused() -> str | None:
    """Lock the image that has been unused longest, past its grace period; return its key."""
    locked = execute_in_transaction(NEXT_UNUSED, {"before": now() - GRACE})
    key: str | None = locked.scalar_one_or_none()
    return key


def mark_used(key: str) -> None:
    """Mark the image as used if a movie shows it."""
    execute_in_transaction(MARK_ONE_USED, {"image": key})


def all_image_keys() -> set[str]:
    """Return the keys of all images."""
    return {row["key"] for row in autocommit_all(ALL_KEYS, {})}


def delete_unused_row(key: str) -> bool:
    """Delete an unused image past its grace period; lock it until the transaction ends."""
    values = {"image": key, "before": now() - GRACE}
    return execute_in_transaction(REMOVE_UNUSED, values).rowcount > 0


def delete_orphan_row(key: str) -> bool:
    """Delete an image that no movie shows, no upload has and no request used recently."""
    values = {"image": key, "before": now() - ORPHAN_GRACE}
    return execute_in_transaction(REMOVE_ORPHAN, values).rowcount > 0
