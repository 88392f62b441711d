"""Many movies at once: what an export and an import ask."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select

from ..db import db, fetch_one, now, write
from .models import columns_of, movies

BATCH = 1000
OWN = movies.c.owner_id == bindparam("owner")
STATE = select(
    func.count(), func.max(movies.c.id), func.sum(movies.c.id), func.sum(movies.c.version)
).where(OWN)
# A large collection is not held in memory to be looked through
KEYS = select(movies.c.search_key, movies.c.year).where(OWN).execution_options(yield_per=BATCH)
ADD_ALL: dict[str, Any] = {
    # Without an ORDER BY, which this makes, PostgreSQL may number the rows as it likes
    "postgresql": insert(movies).returning(movies.c.id, sort_by_parameter_order=True),
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
    at, left = now(), iter(films)
    common = {"owner_id": owner, "created_at": at, "updated_at": at}
    while batch := [{**columns_of(film), **common} for film in islice(left, BATCH)]:
        write(ADD_ALL[db.engine.dialect.name], batch).close()
