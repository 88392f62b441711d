"""Insert: find duplicates, insert all other rows together."""

from collections import Counter
from uuid import UUID

from ..api.errors import abort_with
from ..auth.users import lock_movie_count
from ..config import current_config
from ..db import begin_long_transaction
from ..movies.queries import insert_movies, iter_title_keys
from ..movies.titles import search_key
from .reader import ParsedFile
from .row_images import lock_row_images

IN_COLLECTION = "Already in your collection."
EARLIER_IN_FILE = "Duplicate of an earlier row."


def resolve_conflicts(owner: UUID, parsed: ParsedFile, on_duplicate: str) -> None:
    """Mark duplicates, rows whose image was deleted, and rows beyond the quota.

    Lock the owner until the transaction ends, so that concurrent imports of one file add it once.
    """
    begin_long_transaction()
    count = lock_movie_count(owner)
    if count is None:
        abort_with(401, "INVALID_TOKEN", "This account has been deleted.")
    if on_duplicate != "allow":
        _mark_duplicates(owner, parsed, "skipped" if on_duplicate == "skip" else "rejected")
    lock_row_images(parsed.rows)
    _mark_over_quota(parsed, count)


def insert_rows(owner: UUID, parsed: ParsedFile) -> None:
    """Insert the unmarked rows, the first of them as the newest; the caller commits."""
    added = (row for row in reversed(parsed.rows) if row.action == "added")
    insert_movies(owner, (row.fields for row in added))


def _mark_over_quota(parsed: ParsedFile, count: int) -> None:
    """Reject the last rows: those beyond the quota of the account."""
    limit = current_config().max_movies_per_user
    rows = [row for row in parsed.rows if row.action == "added"]
    for row in rows[max(limit - count, 0) :]:
        row.mark("rejected", f"Your account has reached its limit of {limit} movies.")


def _mark_duplicates(owner: UUID, parsed: ParsedFile, action: str) -> None:
    """Mark rows that have the title and year of an existing movie.

    Our own format may hold a movie several times; then as many may exist. In other formats a second
    row is the same movie.
    """
    rows = [row for row in parsed.rows if row.action == "added"]
    keys = [f"{search_key(row.fields['title'])}\n{row.fields.get('year') or ''}" for row in rows]
    there = dict.fromkeys(keys, 0)
    for title, year in iter_title_keys(owner):
        if (key := f"{title}\n{year}") in there:
            there[key] += 1
    seen, is_multiset = Counter[str](), parsed.source.is_own
    for row, key in zip(rows, keys, strict=True):
        seen[key] += 1
        if there[key] >= (seen[key] if is_multiset else 1):
            row.mark(action, IN_COLLECTION)
        elif seen[key] > 1 and not is_multiset:
            row.mark(action, EARLIER_IN_FILE)
