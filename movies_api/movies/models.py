"""Movies: the table, and the statements of one row, built once at import."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Row,
    String,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from ..db import UtcDateTime, db, fetch_all, fetch_one, now, write
from ..prepared import Prepared
from .titles import KEY_LENGTH, fold, order_key


class Movie(db.Model):  # type: ignore[name-defined]
    """A movie of its owner; an unknown year is '' so that one index orders all rows alike."""

    __tablename__ = "movies"
    __table_args__ = (
        Index("ix_movies_owner_created", "owner_id", "created_at", "id"),
        Index("ix_movies_owner_updated", "owner_id", "updated_at", "id"),
        Index("ix_movies_owner_title", "owner_id", "title_key", "id"),
        Index("ix_movies_owner_year", "owner_id", "year", "id"),
        Index(
            "ix_movies_picture",
            "picture_key",
            sqlite_where=text("picture_key IS NOT NULL"),
            postgresql_where=text("picture_key IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},  # an id is never given twice
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True
    )
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(255))
    year: Mapped[str] = mapped_column(String(4))
    image_url: Mapped[str | None] = mapped_column(String(2048))
    search_key: Mapped[str] = mapped_column(Text)
    title_key: Mapped[str] = mapped_column(
        String(KEY_LENGTH).with_variant(String(KEY_LENGTH, collation="C"), "postgresql")
    )
    # Follows from image_url; the database refuses a picture that is not there, or not any more
    picture_key: Mapped[str | None] = mapped_column(
        ForeignKey("pictures.key"),
        Computed("CASE WHEN substr(image_url, 1, 8) = '/images/' THEN substr(image_url, 9) END"),
    )
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


movies = Movie.__table__
# All but the owner: who lists knows whose movies they are, and 20 UUIDs take time to parse
LISTED = (
    movies.c.id,
    movies.c.title,
    func.nullif(movies.c.year, "", type_=String).label("year"),
    movies.c.image_url.label("imageUrl"),
    movies.c.created_at.label("createdAt"),
    movies.c.updated_at.label("updatedAt"),
)
WIRE = (*LISTED, movies.c.owner_id.label("ownerId"), movies.c.version)
MINE = (movies.c.id == bindparam("movie")) & (movies.c.owner_id == bindparam("owner"))
AT_VERSION = movies.c.version.in_(bindparam("versions", expanding=True))

ONE = Prepared(select(*WIRE).where(movies.c.id == bindparam("movie")))
# What the database does not supply itself: a column added to the table is in each INSERT
ADDED = tuple(column.name for column in movies.c if column.server_default is None)
UNKNOWN = {**dict.fromkeys(ADDED), "year": ""}
ADD = Prepared(insert(movies).values({name: bindparam(name) for name in ADDED}).returning(*WIRE))
EDIT = (
    update(movies)
    .where(MINE)
    .values(version=movies.c.version + 1, updated_at=bindparam("at"))
    .returning(*WIRE)
)
HOLD_ALL = select(movies.c.id).where(movies.c.owner_id == bindparam("owner")).with_for_update()
REMOVE_ALL = delete(movies).where(movies.c.owner_id == bindparam("owner"))
REMOVE = delete(movies).where(MINE).returning(movies.c.picture_key)


def movie_from_id(movie: int) -> dict[str, Any] | None:
    """Return anybody's movie with its version, or None."""
    rows = fetch_all(ONE, {"movie": movie})
    return rows[0] if rows else None


def add_movie(owner: UUID, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Add a movie; IntegrityError when the owner's account has gone meanwhile."""
    at = now()
    common = {"owner_id": owner, "created_at": at, "updated_at": at}
    return fetch_all(ADD, new_row(fields) | common)[0]


def edit_movie(
    owner: UUID, movie: int, fields: Mapping[str, Any], versions: Collection[int] | None
) -> dict[str, Any] | None:
    """Change the given fields of the owner's movie; None when no row has id, owner and version."""
    columns = columns_of(fields)
    values: dict[str, Any] = {"owner": owner, "movie": movie, "at": now()}
    values |= {f"new_{name}": value for name, value in columns.items()}
    if versions is not None:
        values["versions"] = list(versions)
    rows = fetch_all(_edit(tuple(columns), versions is not None), values)
    return rows[0] if rows else None


@lru_cache(maxsize=32)
def _edit(names: tuple[str, ...], checks_version: bool) -> ReturningUpdate[Any] | Prepared:
    statement = EDIT.values({name: bindparam(f"new_{name}") for name in names})
    return statement.where(AT_VERSION) if checks_version else Prepared(statement)


def hold_movies_of(owner: UUID) -> None:
    """Keep everybody else from the collection until the transaction ends."""
    write(HOLD_ALL, {"owner": owner})


def remove_movies_of(owner: UUID) -> None:
    """Remove the whole collection, in the caller's transaction."""
    write(REMOVE_ALL, {"owner": owner})


def remove_movie(owner: UUID, movie: int, versions: Collection[int] | None) -> Row[Any] | None:
    """Remove the owner's movie; return its picture_key, or None when there is no such movie.

    The movie has the id, the owner and one of the versions.
    """
    values: dict[str, Any] = {"owner": owner, "movie": movie}
    statement = REMOVE
    if versions is not None:
        statement, values["versions"] = statement.where(AT_VERSION), list(versions)
    return fetch_one(statement, values)


def new_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return all columns that an INSERT sets, those that were not sent at their unknown value."""
    row = UNKNOWN | columns_of(fields)
    assert len(row) == len(UNKNOWN), f"not columns of a movie: {row.keys() - UNKNOWN.keys()}"
    return row


def columns_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that follow from what was sent."""
    columns = {**fields}
    if "title" in fields:
        columns["search_key"] = fold(fields["title"])
        columns["title_key"] = order_key(fields["title"])
    if "year" in fields:
        columns["year"] = fields["year"] or ""
    return columns
