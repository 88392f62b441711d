"""Adding: which rows are there already, and all others at once."""

from collections import Counter
from uuid import UUID

from ..auth.models import hold_count
from ..config import settings
from ..db import begin_long_transaction
from ..errors import refuse
from ..movies.bulk import add_movies, keys_of
from ..movies.titles import fold
from .picturing import hold_places
from .rows import Reading

THERE = "It is in the collection already."
BEFORE = "It stands in this file before."


def settle_rows(owner: UUID, reading: Reading, on_duplicate: str) -> None:
    """Settle the rows that are there already, or whose picture is not there any more, or too many.

    From here to the end of the transaction another import of the owner waits, so that none adds
    what both have.
    """
    begin_long_transaction()
    count = hold_count(owner)
    if count is None:
        refuse(401, "INVALID_TOKEN", "This account has been deleted.")
    if on_duplicate != "allow":
        _settle_duplicates(owner, reading, "skipped" if on_duplicate == "skip" else "rejected")
    hold_places(reading.rows)
    _settle_quota(reading, count)


def add_rows(owner: UUID, reading: Reading) -> None:
    """Add the rows that are not settled, the first of them the newest; the caller commits."""
    added = (row for row in reversed(reading.rows) if row.action == "added")
    add_movies(
        owner, ({"title": row.title, "year": row.year, "image_url": row.image} for row in added)
    )


def _settle_quota(reading: Reading, count: int) -> None:
    """Reject the last rows, those beyond the movies that the account may have."""
    limit = settings().max_movies_per_user
    rows = [row for row in reading.rows if row.action == "added"]
    for row in rows[max(limit - count, 0) :]:
        row.settle("rejected", f"Your account has reached its limit of {limit} movies.")


def _settle_duplicates(owner: UUID, reading: Reading, action: str) -> None:
    """Settle rows that have title and year of a movie that is there.

    A file of ours may hold a movie twice: as many as it holds may be there. In others a second row
    is the same movie, seen again.
    """
    rows = [row for row in reading.rows if row.action == "added"]
    keys = [f"{fold(row.title)}\n{row.year}" for row in rows]
    there = dict.fromkeys(keys, 0)
    for title, year in keys_of(owner):
        if (key := f"{title}\n{year}") in there:
            there[key] += 1
    seen, is_multiset = Counter[str](), reading.source.is_own
    for row, key in zip(rows, keys, strict=True):
        seen[key] += 1
        if there[key] >= (seen[key] if is_multiset else 1):
            row.settle(action, THERE)
        elif seen[key] > 1 and not is_multiset:
            row.settle(action, BEFORE)
