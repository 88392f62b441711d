"""Queries: statements about images and uploads."""

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
ORPHAN_GRACE = timedelta(
    minutes=1
)  # between a picture's being stored and the movie's that shows it
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # unused since then: removed first, without the grace
CHECK_BATCH = 20  # images that each stored one looks at
IS_SHOWN = exists().where(movies.c.image_key == images.c.key)
IS_UPLOADED = exists().where(uploads.c.key == images.c.key)
ONE = images.c.key == bindparam("image")
AT = bindparam("at", type_=UtcDateTime)  # a CASE tells it no type

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
# Materialized: PostgreSQL may run a subselect once per row, and so lock more than the limit
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
    """Return the statement that adds a picture or touches it; either locks its row."""
    values: dict[str, Any] = {name: bindparam(name) for name in ("key", "media_type", "used_at")}
    statement = dialect.insert(images).values(values)
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"used_at": statement.excluded.used_at, "unused_since": None},
    )


UPSERT = {"postgresql": _upsert(postgresql), "sqlite": _upsert(sqlite)}
UPSERT_UPLOAD = {
    # The update changes nothing; it gives back the row that was there, once nobody else writes it
    name: dialect.insert(uploads)
    .on_conflict_do_update(index_elements=["id"], set_={"id": uploads.c.id})
    .returning(uploads.c.key)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}


def media_type_of(key: str) -> str | None:
    """Return the media type of a picture, or None when there is no such picture."""
    row = autocommit_one(TYPE, {"image": key})
    return row and row.media_type


def upload_from_id(upload: UUID) -> Any:
    """Return owner_id and key of an upload that has come, or None."""
    return autocommit_one(UPLOAD, {"upload": upload})


def touch_image(key: str) -> bool:
    """Note that a movie is about to show the picture; False if it is not there."""
    return bool(touch_images([key]))


def touch_images(keys: Collection[str]) -> set[str]:
    """Note that movies are about to show the pictures; return those that are there."""
    return _keys_in_batches(keys, lambda some: autocommit_all(TOUCH, {"keys": some, "at": now()}))


def existing_keys(keys: Collection[str]) -> set[str]:
    """Return those pictures that are there."""
    return _keys_in_batches(keys, lambda some: autocommit_all(EXISTING, {"keys": some}))


def lock_images(keys: Collection[str]) -> set[str]:
    """Return those that are there, and let nobody remove them until the transaction ends."""
    return _keys_in_batches(
        keys, lambda some: execute_in_transaction(LOCK, {"keys": some}).mappings()
    )


def _keys_in_batches(
    keys: Collection[str], ask: Callable[[list[str]], Iterable[Mapping[Any, Any]]]
) -> set[str]:
    # In one order, so that two who lock the same do not wait for each other
    ordered, found = sorted(keys), set[str]()
    for start in range(0, len(ordered), BATCH):
        found.update(row["key"] for row in ask(ordered[start : start + BATCH]))
    return found


def upsert_image(key: str, media_type: str) -> None:
    """Add a picture, or touch the one that is there; lock it until the commit."""
    values = {"key": key, "media_type": media_type, "used_at": now()}
    execute_in_transaction(UPSERT[db.engine.dialect.name], values)


def add_upload(upload: UUID, owner: UUID, key: str, size: int) -> bool:
    """Name a picture after its upload; False when the upload was another picture.

    IntegrityError when the owner's account has gone.
    """
    values = {"id": upload, "owner_id": owner, "key": key, "size": size}
    return bool(
        execute_in_transaction(UPSERT_UPLOAD[db.engine.dialect.name], values).scalar_one() == key
    )


def image_keys_of_user(user: UUID) -> list[str]:
    """Return the keys of the pictures that the user uploaded or shows."""
    return [key for row in autocommit_all(OF_USER, {"user": user}) for key in row.values()]


def mark_unused() -> None:
    """Note which pictures movies show, and since when the others are not shown."""
    execute_in_transaction(MARK_USED, {})
    execute_in_transaction(MARK_UNUSED, {"at": now()})


def charged_bytes(owner: UUID, but: UUID | None = None) -> int:
    """Return the bytes of the images that the owner uploaded, but for one upload."""
    statement, values = (CHARGED_OTHERS, {"upload": but}) if but else (CHARGED, {})
    row: Any = autocommit_one(statement, {"owner": owner, **values})
    return int(row[0])


def check_oldest() -> None:
    """Note of the images not looked at for longest, a day at least, whether a movie shows them."""
    at = now()
    autocommit_all(CHECK_OLDEST, {"at": at, "before": at - GRACE})


def release_images(keys: Iterable[str], *, at_once: bool = False) -> None:
    """Note that movies have stopped showing these images, unless others still do.

    With at_once those go first and without the grace that nobody else uploaded or has just put
    into a movie. An image that another request holds is left to check_oldest: nothing waits.
    """
    at, ordered = now(), sorted(keys)
    values = {"at": at, "since": LONG_AGO if at_once else at, "recent": at - ORPHAN_GRACE}
    for start in range(0, len(ordered), BATCH):
        autocommit_all(RELEASE, {**values, "keys": ordered[start : start + BATCH]})


def lock_next_unused() -> str | None:
    """Return the key of the image unused for longest whose grace is over, and lock it; or None."""
    key: str | None = execute_in_transaction(
        NEXT_UNUSED, {"before": now() - GRACE}
    ).scalar_one_or_none()
    return key


def mark_used(key: str) -> None:
    """Note that a movie shows the image after all."""
    execute_in_transaction(MARK_ONE_USED, {"image": key})


def all_image_keys() -> set[str]:
    """Return the keys of all pictures."""
    return {row["key"] for row in autocommit_all(ALL_KEYS, {})}


def delete_unused_row(key: str) -> bool:
    """Remove a picture that no movie shows and whose grace is over; lock it until the commit."""
    return (
        execute_in_transaction(REMOVE_UNUSED, {"image": key, "before": now() - GRACE}).rowcount > 0
    )


def delete_orphan_row(key: str) -> bool:
    """Remove a picture at once that nobody shows, uploaded, or is about to show."""
    return (
        execute_in_transaction(
            REMOVE_ORPHAN, {"image": key, "before": now() - ORPHAN_GRACE}
        ).rowcount
        > 0
    )
