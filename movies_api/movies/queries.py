"""Queries: SQL statements about movies, built once at import."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    String,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from ..db import autocommit_all, autocommit_one, db, execute_in_transaction, now
from ..db.prepared import Prepared
from ..models import movies
from .titles import order_key, search_key

BATCH = 1000
KEY_LIFETIME = timedelta(days=1)
# Never part of a response
INTERNAL = {"search_key", "title_key", "image_key", "idempotency_key", "version"}


def _wire_column(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column labelled with its wire name; an unknown year becomes null."""
    first, *rest = str(column.key).split("_")
    name = first + "".join(map(str.title, rest))
    value = func.nullif(column, "", type_=String) if name == "year" else column
    return value if value.key == name else value.label(name)


# Without the owner, which a list already knows: parsing 20 UUIDs takes time
LISTED = tuple(
    _wire_column(column) for column in movies.c if column.name not in {*INTERNAL, "owner_id"}
)
WIRE = (*LISTED, movies.c.owner_id.label("ownerId"), movies.c.version)
OWN = movies.c.owner_id == bindparam("owner")
MINE = (movies.c.id == bindparam("movie")) & OWN
AT_VERSION = movies.c.version.in_(bindparam("versions", expanding=True))

ONE = Prepared(select(*WIRE).where(movies.c.id == bindparam("movie")))
# Every column without a server default, so that an added column is in each INSERT
INSERTED = tuple(column.name for column in movies.c if column.server_default is None)
UNKNOWN = {**dict.fromkeys(INSERTED), "year": ""}
INSERT = Prepared(
    insert(movies).values({name: bindparam(name) for name in INSERTED}).returning(*WIRE)
)
EDIT = (
    update(movies)
    .where(MINE)
    .values(version=movies.c.version + 1, updated_at=bindparam("at"))
    .returning(*WIRE)
)
HAS_KEY = OWN & (movies.c.idempotency_key == bindparam("key"))
BY_KEY = select(*WIRE).where(HAS_KEY)
FORGET_KEY = (
    update(movies)
    .where(HAS_KEY, movies.c.created_at <= bindparam("before"))
    .values(idempotency_key=None)
    .returning(movies.c.id)
)
LOCK_ALL = select(movies.c.id).where(OWN).with_for_update()
REMOVE_ALL = delete(movies).where(OWN)
IS_ONE_OF = movies.c.id.in_(bindparam("movies", expanding=True))
# Locked in the order of ids, so that two requests cannot deadlock
LOCKED = (
    select(movies.c.id).where(IS_ONE_OF, OWN).order_by(movies.c.id).with_for_update().cte("locked")
)
REMOVE_MANY = (
    delete(movies)
    .where(
        movies.c.id.in_(select(LOCKED.c.id)),
        select(func.count()).select_from(LOCKED).scalar_subquery() == bindparam("count"),
    )
    .returning(movies.c.image_key)
)
OWNERS = select(movies.c.id, movies.c.owner_id).where(IS_ONE_OF)
REMOVE = delete(movies).where(MINE).returning(movies.c.image_key)
FINGERPRINT = select(
    func.count(), func.max(movies.c.id), func.sum(movies.c.id), func.sum(movies.c.version)
).where(OWN)
# What an import adds to movies that lack it
FILLED = ("rating", "watched_on", "notes")
# Streamed, so that a large collection does not fill the memory
TITLE_KEYS = (
    select(
        movies.c.id,
        movies.c.search_key,
        movies.c.year,
        *(movies.c[name].is_(None).label(name) for name in FILLED),
    )
    .where(OWN)
    .execution_options(yield_per=BATCH)
)


def _unnest(prefix: str, names: Iterable[str], **options: Any) -> Any:
    """Return the rows of arrays, one array for each column."""
    arrays = []
    for name in names:
        kind = movies.c[name].type
        values = ARRAY(Text() if isinstance(kind, String) else kind)
        arrays.append(cast(bindparam(prefix + name, type_=values), values))
    return func.unnest(*arrays).table_valued(*names, name="sent", **options).render_derived()


SHARED_COLUMNS = ("owner_id", "created_at", "updated_at")
SENT_COLUMNS = tuple(name for name in INSERTED if name not in SHARED_COLUMNS)
SENT = _unnest("", SENT_COLUMNS, with_ordinality="place")
INSERT_ALL: dict[str, Any] = {
    # Arrays take 60% of the time of VALUES; ORDER BY assigns the ids in the order of the rows
    "postgresql": insert(movies).from_select(
        [*SHARED_COLUMNS, *SENT_COLUMNS],
        select(
            *(bindparam(name, type_=movies.c[name].type) for name in SHARED_COLUMNS),
            *(SENT.c[name] for name in SENT_COLUMNS),
        ).order_by(SENT.c.place),
    ),
    "sqlite": insert(movies),
}


def _fill(sent: Callable[[str], Any]) -> dict[str, Any]:
    filled = {name: func.coalesce(movies.c[name], sent(name)) for name in FILLED}
    return {**filled, "version": movies.c.version + 1, "updated_at": bindparam("at")}


FILLING = _unnest("new_", ("id", *FILLED))
FILL_ALL: dict[str, Any] = {
    "postgresql": update(movies)
    .where(OWN, movies.c.id == FILLING.c.id)
    .values(_fill(FILLING.c.__getitem__)),
    "sqlite": update(movies)
    .where(OWN, movies.c.id == bindparam("new_id"))
    .values(_fill(lambda name: bindparam(f"new_{name}", type_=movies.c[name].type))),
}


def movie_from_id(movie: int) -> dict[str, Any] | None:
    """Return the movie of any user with its version, or None."""
    rows = autocommit_all(ONE, {"movie": movie})
    return rows[0] if rows else None


def insert_movie(owner: UUID, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Create a movie, in autocommit.

    Raise IntegrityError if the owner's account no longer exists, or if a movie of the owner has the
    idempotency_key.
    """
    at = now()
    common = {"owner_id": owner, "created_at": at, "updated_at": at}
    return autocommit_all(INSERT, new_row(fields) | common)[0]


def movie_from_key(owner: UUID, key: str) -> dict[str, Any] | None:
    """Return the movie that a request with the key created, or None; delete an expired key."""
    values = {"owner": owner, "key": key}
    rows, before = autocommit_all(BY_KEY, values), now() - KEY_LIFETIME
    if rows and rows[0]["createdAt"] <= before:
        autocommit_all(FORGET_KEY, {**values, "before": before})
        return None
    return rows[0] if rows else None


def edit_movie(
    owner: UUID, movie: int, fields: Mapping[str, Any], versions: Collection[int] | None
) -> dict[str, Any] | None:
    """Update the given fields of the owner's movie; return None if no row matches."""
    columns = movie_columns(fields)
    values: dict[str, Any] = {"owner": owner, "movie": movie, "at": now()}
    values |= {f"new_{name}": value for name, value in columns.items()}
    if versions is not None:
        values["versions"] = list(versions)
    rows = autocommit_all(_edit(tuple(columns), versions is not None), values)
    return rows[0] if rows else None


@lru_cache(maxsize=32)
def _edit(names: tuple[str, ...], checks_version: bool) -> ReturningUpdate[Any] | Prepared:
    statement = EDIT.values({name: bindparam(f"new_{name}") for name in names})
    return statement.where(AT_VERSION) if checks_version else Prepared(statement)


def lock_movies_of(owner: UUID) -> None:
    """Lock all movies of the owner until the transaction ends."""
    execute_in_transaction(LOCK_ALL, {"owner": owner})


def remove_movies_of(owner: UUID) -> None:
    """Delete the whole collection, in the current transaction."""
    execute_in_transaction(REMOVE_ALL, {"owner": owner})


def remove_movie(owner: UUID, movie: int, versions: Collection[int] | None) -> Row[Any] | None:
    """Delete the owner's movie at one of the versions; return its image_key, or None."""
    values: dict[str, Any] = {"owner": owner, "movie": movie}
    statement = REMOVE
    if versions is not None:
        statement, values["versions"] = statement.where(AT_VERSION), list(versions)
    return autocommit_one(statement, values)


def remove_movies(owner: UUID, ids: Collection[int]) -> list[str | None]:
    """Delete the owner's movies, all or none, in autocommit; return the image_key of each."""
    values = {"owner": owner, "movies": list(ids), "count": len(ids)}
    return [row["image_key"] for row in autocommit_all(REMOVE_MANY, values)]


def owners_from_ids(ids: Collection[int]) -> dict[int, UUID]:
    """Return the owner of each movie that exists, in autocommit."""
    return {row["id"]: row["owner_id"] for row in autocommit_all(OWNERS, {"movies": list(ids)})}


def new_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return all columns that an INSERT sets; fields that are missing get their unknown value."""
    row = UNKNOWN | movie_columns(fields)
    assert len(row) == len(UNKNOWN), f"not columns of a movie: {row.keys() - UNKNOWN.keys()}"
    return row


def movie_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that the given fields set."""
    columns = {**fields}
    if "title" in fields:
        columns["search_key"] = search_key(fields["title"])
        columns["title_key"] = order_key(fields["title"])
    if "year" in fields:
        columns["year"] = fields["year"] or ""
    return columns


def collection_fingerprint(owner: UUID) -> str:
    """Return a string that changes with each change of the owner's collection.

    Ids are never reused: the same count and maximum id mean the same movies, and each edit
    increments a version. The sum of ids reveals a lower id that was committed late.
    """
    row: Any = autocommit_one(FINGERPRINT, {"owner": owner})
    return "-".join(str(each or 0) for each in row)


def iter_title_keys(owner: UUID) -> Iterator[Any]:
    """Yield id, search key and year of each movie, and which of FILLED it lacks.

    In the current transaction.
    """
    yield from execute_in_transaction(TITLE_KEYS, {"owner": owner})


def insert_movies(owner: UUID, rows: Iterable[Mapping[str, Any]]) -> None:
    """Create movies from the fields of each, in the current transaction.

    They share one creation time; their ids keep the order of the rows.
    """
    common = dict(zip(SHARED_COLUMNS, (owner, at := now(), at), strict=True))
    _execute_all(INSERT_ALL, common, map(new_row, rows))


def fill_movies(owner: UUID, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Set those of FILLED that the owner's movies lack, in the current transaction."""
    values = (
        {"new_id": movie, **{f"new_{name}": fields.get(name) for name in FILLED}}
        for movie, fields in rows
    )
    _execute_all(FILL_ALL, {"owner": owner, "at": now()}, values)


def _execute_all(
    statements: dict[str, Any], common: dict[str, Any], rows: Iterable[dict[str, Any]]
) -> None:
    """Execute a statement in batches of rows; PostgreSQL gets an array for each column."""
    remaining, dialect = iter(rows), db.engine.dialect.name
    while batch := list(islice(remaining, BATCH)):
        values: Any = [row | common for row in batch]
        if dialect == "postgresql":
            values = {name: [row[name] for row in batch] for name in batch[0]} | common
        execute_in_transaction(statements[dialect], values).close()
