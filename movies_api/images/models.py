"""Pictures: the tables, and which of them no movie shows."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from ..db import UtcDateTime, db, fetch_all, fetch_one, now, write
from ..movies.models import movies

BATCH = 500
GRACE = timedelta(days=1)
IN_USE = timedelta(minutes=1)  # between a picture's being stored and the movie's that shows it
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # unused since then: removed first, without the grace
LOOKED_AT = 20  # images that each stored one looks at


class Picture(db.Model):  # type: ignore[name-defined]
    """A picture in the storage: when it was added, last put into a movie, or last looked at.

    unused_since is when it was first known that no movie shows it, and None before.
    """

    __tablename__ = "pictures"
    __table_args__ = (
        Index(
            "ix_pictures_used_at",
            "used_at",
            sqlite_where=text("unused_since IS NULL"),
            postgresql_where=text("unused_since IS NULL"),
        ),
    )

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(10))
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    unused_since: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class Upload(db.Model):  # type: ignore[name-defined]
    """An upload that was permitted, has come and is a picture; its id is a name of the picture.

    size is the bytes that are stored, as the owner is charged for them; 0 for uploads older than
    the column.
    """

    __tablename__ = "uploads"
    # With the size, so that the sum reads the index alone
    __table_args__ = (Index("ix_uploads_owner_size", "owner_id", "size"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(ForeignKey("pictures.key", ondelete="CASCADE"), index=True)
    size: Mapped[int] = mapped_column(server_default="0")


pictures, uploads = Picture.__table__, Upload.__table__
IS_SHOWN = exists().where(movies.c.picture_key == pictures.c.key)
IS_UPLOADED = exists().where(uploads.c.key == pictures.c.key)
ONE = pictures.c.key == bindparam("picture")
AT = bindparam("at", type_=UtcDateTime)  # a CASE tells it no type

TYPE = select(pictures.c.media_type).where(ONE)
UPLOAD = select(uploads.c.owner_id, uploads.c.key).where(uploads.c.id == bindparam("upload"))
OF_USER = union(
    select(movies.c.picture_key).where(
        movies.c.owner_id == bindparam("user"), movies.c.picture_key.is_not(None)
    ),
    select(uploads.c.key).where(uploads.c.owner_id == bindparam("user")),
)
CHARGED = select(func.coalesce(func.sum(uploads.c.size), 0)).where(
    uploads.c.owner_id == bindparam("owner")
)
CHARGED_OTHERS = CHARGED.where(uploads.c.id != bindparam("upload"))
NOTE_SHOWN = (
    update(pictures).where(pictures.c.unused_since.is_not(None), IS_SHOWN).values(unused_since=None)
)
NOTE_ONE_SHOWN = NOTE_SHOWN.where(ONE)
NOTE_UNUSED = (
    update(pictures)
    .where(pictures.c.unused_since.is_(None), ~IS_SHOWN)
    .values(unused_since=bindparam("at"))
)
NEXT_UNUSED = (
    select(pictures.c.key)
    .where(pictures.c.unused_since <= bindparam("before"))
    .order_by(pictures.c.unused_since)
    .limit(1)
    .with_for_update(skip_locked=True)
)
REMOVE_UNUSED = delete(pictures).where(
    ONE, pictures.c.unused_since <= bindparam("before"), ~IS_SHOWN
)
REMOVE_LEFT = delete(pictures).where(
    ONE, pictures.c.used_at <= bindparam("before"), ~IS_SHOWN, ~IS_UPLOADED
)
KNOWN = select(pictures.c.key)
SOME = pictures.c.key.in_(bindparam("keys", expanding=True))
AMONG = KNOWN.where(SOME)
HOLD = AMONG.with_for_update(read=True, key_share=True)
# Materialized: PostgreSQL may run a subselect once per row, and so lock more than the limit
OLDEST = (
    select(pictures.c.key)
    .where(pictures.c.unused_since.is_(None), pictures.c.used_at <= bindparam("before"))
    .order_by(pictures.c.used_at)
    .limit(LOOKED_AT)
    .with_for_update(skip_locked=True, key_share=True)
    .cte("oldest")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
LOOK = (
    update(pictures)
    .where(pictures.c.key.in_(select(OLDEST.c.key)))
    .values(used_at=AT, unused_since=case((~IS_SHOWN, AT), else_=None))
    .returning(pictures.c.key)
)
FREE = (
    select(pictures.c.key)
    .where(SOME, pictures.c.unused_since.is_(None), ~IS_SHOWN)
    .with_for_update(skip_locked=True, key_share=True)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
LET_GO = (
    update(pictures)
    .where(pictures.c.key.in_(select(FREE.c.key)))
    .values(
        unused_since=case(
            (IS_UPLOADED | (pictures.c.used_at > bindparam("recent")), AT),
            else_=bindparam("since", type_=UtcDateTime),
        )
    )
    .returning(pictures.c.key)
)
TOUCH = (
    update(pictures)
    .where(SOME)
    .values(used_at=bindparam("at"), unused_since=None)
    .returning(pictures.c.key)
)


def _adder(dialect: Any) -> Any:
    """Return the statement that adds a picture or touches it; either locks its row."""
    values: dict[str, Any] = {name: bindparam(name) for name in ("key", "media_type", "used_at")}
    statement = dialect.insert(pictures).values(values)
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"used_at": statement.excluded.used_at, "unused_since": None},
    )


ADD = {"postgresql": _adder(postgresql), "sqlite": _adder(sqlite)}
ADD_UPLOAD = {
    # The update changes nothing; it gives back the row that was there, once nobody else writes it
    name: dialect.insert(uploads)
    .on_conflict_do_update(index_elements=["id"], set_={"id": uploads.c.id})
    .returning(uploads.c.key)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}


def type_of(key: str) -> str | None:
    """Return the media type of a picture, or None when there is no such picture."""
    row = fetch_one(TYPE, {"picture": key})
    return row and row.media_type


def upload_from_id(upload: UUID) -> Any:
    """Return owner_id and key of an upload that has come, or None."""
    return fetch_one(UPLOAD, {"upload": upload})


def touch_picture(key: str) -> bool:
    """Note that a movie is about to show the picture; False if it is not there."""
    return bool(touch_pictures([key]))


def touch_pictures(keys: Collection[str]) -> set[str]:
    """Note that movies are about to show the pictures; return those that are there."""
    return _of_some(keys, lambda some: fetch_all(TOUCH, {"keys": some, "at": now()}))


def pictures_among(keys: Collection[str]) -> set[str]:
    """Return those pictures that are there."""
    return _of_some(keys, lambda some: fetch_all(AMONG, {"keys": some}))


def hold_pictures(keys: Collection[str]) -> set[str]:
    """Return those that are there, and let nobody remove them until the transaction ends."""
    return _of_some(keys, lambda some: write(HOLD, {"keys": some}).mappings())


def _of_some(
    keys: Collection[str], ask: Callable[[list[str]], Iterable[Mapping[Any, Any]]]
) -> set[str]:
    # In one order, so that two who lock the same do not wait for each other
    ordered, found = sorted(keys), set[str]()
    for start in range(0, len(ordered), BATCH):
        found.update(row["key"] for row in ask(ordered[start : start + BATCH]))
    return found


def add_picture(key: str, media_type: str) -> None:
    """Add a picture, or touch the one that is there; lock it until the commit."""
    values = {"key": key, "media_type": media_type, "used_at": now()}
    write(ADD[db.engine.dialect.name], values)


def add_upload(upload: UUID, owner: UUID, key: str, size: int) -> bool:
    """Name a picture after its upload; False when the upload was another picture.

    IntegrityError when the owner's account has gone.
    """
    values = {"id": upload, "owner_id": owner, "key": key, "size": size}
    return bool(write(ADD_UPLOAD[db.engine.dialect.name], values).scalar_one() == key)


def pictures_of(user: UUID) -> list[str]:
    """Return the keys of the pictures that the user uploaded or shows."""
    return [key for row in fetch_all(OF_USER, {"user": user}) for key in row.values()]


def note_use() -> None:
    """Note which pictures movies show, and since when the others are not shown."""
    write(NOTE_SHOWN, {})
    write(NOTE_UNUSED, {"at": now()})


def charged_bytes(owner: UUID, but: UUID | None = None) -> int:
    """Return the bytes of the images that the owner uploaded, but for one upload."""
    statement, values = (CHARGED_OTHERS, {"upload": but}) if but else (CHARGED, {})
    row: Any = fetch_one(statement, {"owner": owner, **values})
    return int(row[0])


def look_at_oldest() -> None:
    """Note of the images not looked at for longest, a day at least, whether a movie shows them."""
    at = now()
    fetch_all(LOOK, {"at": at, "before": at - GRACE})


def let_go(keys: Iterable[str], *, at_once: bool = False) -> None:
    """Note that movies have stopped showing these images, unless others still do.

    With at_once those go first and without the grace that nobody else uploaded or has just put
    into a movie. An image that another request holds is left to look_at_oldest: nothing waits.
    """
    at, ordered = now(), sorted(keys)
    values = {"at": at, "since": LONG_AGO if at_once else at, "recent": at - IN_USE}
    for start in range(0, len(ordered), BATCH):
        fetch_all(LET_GO, {**values, "keys": ordered[start : start + BATCH]})


def lock_next_unused() -> str | None:
    """Return the key of the image unused for longest whose grace is over, and lock it; or None."""
    key: str | None = write(NEXT_UNUSED, {"before": now() - GRACE}).scalar_one_or_none()
    return key


def note_shown(key: str) -> None:
    """Note that a movie shows the image after all."""
    write(NOTE_ONE_SHOWN, {"picture": key})


def known_pictures() -> set[str]:
    """Return the keys of all pictures."""
    return {row["key"] for row in fetch_all(KNOWN, {})}


def remove_unused(key: str) -> bool:
    """Remove a picture that no movie shows and whose grace is over; lock it until the commit."""
    return write(REMOVE_UNUSED, {"picture": key, "before": now() - GRACE}).rowcount > 0


def remove_left(key: str) -> bool:
    """Remove a picture at once that nobody shows, uploaded, or is about to show."""
    return write(REMOVE_LEFT, {"picture": key, "before": now() - IN_USE}).rowcount > 0
