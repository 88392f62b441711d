"""Many movies at once: what an export and an import ask."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    String,
    Text,
    bindparam,
    cast,
    func,
    insert,
    select,
)

from ..db import db, fetch_one, now, write
from .models import ADDED, movies, new_row

BATCH = 1000
OWN = movies.c.owner_id == bindparam("owner")
STATE = select(
    func.count(), func.max(movies.c.id), func.sum(movies.c.id), func.sum(movies.c.version)
).where(OWN)
# A large collection is not held in memory to be looked through
KEYS = select(movies.c.search_key, movies.c.year).where(OWN).execution_options(yield_per=BATCH)
COMMON = ("owner_id", "created_at", "updated_at")
SENT = tuple(name for name in ADDED if name not in COMMON)


def _array(name: str) -> ColumnElement[Any]:
    kind = movies.c[name].type
    values = ARRAY(Text() if isinstance(kind, String) else kind)
    return cast(bindparam(name, type_=values), values)


SENT_ROWS = (
    func.unnest(*map(_array, SENT))
    .table_valued(*SENT, with_ordinality="place", name="sent")
    .render_derived()
)
ADD_ALL: dict[str, Any] = {
    # By arrays it takes 60% of the time of VALUES; by the ORDER BY ids are given in that order
    "postgresql": insert(movies).from_select(
        [*COMMON, *SENT],
        select(
            *(bindparam(name, type_=movies.c[name].type) for name in COMMON),
            *(SENT_ROWS.c[name] for name in SENT),
        ).order_by(SENT_ROWS.c.place),
    ),
    "sqlite": insert(movies),  # one after the other
}


def state_of(owner: UUID) -> str:
    """Return a text that is another one after each change of the owner's collection.

    Ids are never given again: with as many movies and the same greatest id they are the same
    movies, and each edit adds to the versions. The sum of ids tells of one that was added late.
    """
    row: Any = fetch_one(STATE, {"owner": owner})
    return "-".join(str(each or 0) for each in row)


def keys_of(owner: UUID) -> Iterator[tuple[str, str]]:
    """Give the folded title and the year of each movie, in the caller's transaction."""
    for row in write(KEYS, {"owner": owner}):
        yield row.search_key, row.year


def add_movies(owner: UUID, films: Iterable[Mapping[str, Any]]) -> None:
    """Add movies of title, year ('' if unknown) and image_url, each newer than the one before.

    In the caller's transaction; they share one time, and their ids tell the order.
    """
    at, left, kind = now(), iter(films), db.engine.dialect.name
    common = dict(zip(COMMON, (owner, at, at), strict=True))
    while batch := [new_row(film) | common for film in islice(left, BATCH)]:
        values: Any = batch
        if kind == "postgresql":
            values = {**common, **{name: [film[name] for film in batch] for name in SENT}}
        write(ADD_ALL[kind], values).close()
