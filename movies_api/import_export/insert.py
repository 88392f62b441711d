"""Insert: find duplicates, insert all other rows together."""

from itertools import compress
from uuid import UUID

from ..api.errors import abort_with
from ..auth.users import lock_movie_count
from ..config import current_config
from ..db import begin_long_transaction
from ..movies.queries import (
    FILLED,
    fill_movies,
    insert_movies,
    iter_title_keys,
    lock_movies_of,
)
from ..movies.titles import search_key
from .reader import ImportRow, ParsedFile
from .row_images import lock_row_images

IN_COLLECTION = "Already in your collection."
EARLIER_IN_FILE = "Duplicate of an earlier row."


def resolve_conflicts(owner: UUID, parsed: ParsedFile, on_duplicate: str) -> None:
    """Mark duplicates, rows whose image was deleted, and rows beyond the quota.

    Lock the owner until the transaction ends, so that concurrent imports of one file add it once.
    Movies that may be updated are locked first.
    """
    begin_long_transaction()
    if on_duplicate == "update":
        lock_movies_of(owner)
    count = lock_movie_count(owner)
    if count is None:
        abort_with(401, "INVALID_TOKEN", "This account has been deleted.")
    if parsed.is_bundle or on_duplicate != "allow":
        is_error = on_duplicate == "error" and not parsed.is_bundle
        _merge_entries(parsed, "rejected" if is_error else "skipped")
    if on_duplicate != "allow":
        _mark_existing(owner, parsed, on_duplicate)
    lock_row_images(parsed.rows)
    _mark_over_quota(parsed, count)


def insert_rows(owner: UUID, parsed: ParsedFile) -> None:
    """Insert the unmarked rows, the first of them as the newest, and fill movies.

    The caller commits.
    """
    insert_movies(owner, (row.fields for row in reversed(parsed.rows) if row.action == "added"))
    fill_movies(owner, ((row.movie, row.fields) for row in parsed.rows if row.movie))


def _merge_entries(parsed: ParsedFile, action: str) -> None:
    """Mark further entries of a film in the file, and merge them into the first.

    Rows with different ids are different films; a row without an id is the film of its title and
    year.
    """
    by_id: dict[object, ImportRow] = {}
    by_title: dict[str, ImportRow] = {}
    latest: dict[tuple[int, str], str] = {}
    for row in parsed.rows:
        if row.action != "added":
            continue
        key = _title_key(row)
        first = by_id.get(row.id) if row.id else None
        if first is None and (first := by_title.get(key)) and first.id and row.id:
            first = None  # another film of that title and year
        if first is None:
            by_title.setdefault(key, row)
        elif action == "skipped":
            _merge(first, row, latest)
        if first is not None:
            place = f"Merged into {first.part.name}, line {first.line}."
            row.mark(action, place if parsed.is_bundle else EARLIER_IN_FILE)
        if row.id:
            target = first or row
            by_id[row.id] = target
            target.id = target.id or row.id


def _merge(first: ImportRow, row: ImportRow, times: dict[tuple[int, str], str]) -> None:
    """Merge the latest date, rating and notes into the first entry."""
    for name in ("rating", "notes"):
        if row.fields.get(name) is None:
            continue
        if first.fields.get(name) is None or row.at >= times.get((id(first), name), first.at):
            first.fields[name], times[id(first), name] = row.fields[name], row.at
    days = [each.fields.get("watched_on") for each in (first, row)]
    if any(days):
        first.fields["watched_on"] = max(filter(None, days))


def _title_key(row: ImportRow) -> str:
    return f"{search_key(row.fields['title'])}\n{row.fields.get('year') or ''}"


def _mark_existing(owner: UUID, parsed: ParsedFile, on_duplicate: str) -> None:
    """Mark as many rows of a title and year as there are movies, the newest first."""
    rows = [row for row in parsed.rows if row.action == "added"]
    existing: dict[str, list[tuple[int, tuple[bool, ...]]]] = {_title_key(row): [] for row in rows}
    for movie, title, year, *lacks in iter_title_keys(owner):
        if (same := existing.get(f"{title}\n{year}")) is not None:
            same.append((movie, tuple(lacks)))
    for same in existing.values():
        same.sort()
    for row in rows:
        if not (same := existing[_title_key(row)]):
            continue
        movie, empty = same.pop()
        filled = [name for name in compress(FILLED, empty) if row.fields.get(name)]
        if filled and on_duplicate == "update":
            row.movie = movie
            row.mark("updated", f"Filled {', '.join(filled)}.".replace("watched_on", "watchedOn"))
        else:
            row.mark("rejected" if on_duplicate == "error" else "skipped", IN_COLLECTION)


def _mark_over_quota(parsed: ParsedFile, count: int) -> None:
    """Reject the last rows: those beyond the quota of the account."""
    limit = current_config().max_movies_per_user
    rows = [row for row in parsed.rows if row.action == "added"]
    for row in rows[max(limit - count, 0) :]:
        row.mark("rejected", f"Your account has reached its limit of {limit} movies.")
