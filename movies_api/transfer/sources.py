"""Sources: whose export a file is, told by its names, and what it says of a movie."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from marshmallow import ValidationError

from .cells import COLUMNS, unguarded

OWN = {name.lower(): name for name in (*COLUMNS, "ownerId")}
WRITTEN = ("title", "year", "imageUrl")
# As IMDb spells them today, without blanks, and as it did ten years ago
FILMS = {"movie", "tvmovie", "short", "tvshort", "video", "tvspecial"}
FILMS |= {"featurefilm", "shortfilm", "documentary"}
OTHERS = ("show", "season", "episode", "person", "list")
KNOWN = (
    "our own (title, year, imageUrl), Letterboxd (Name, Year, Letterboxd URI), "
    "IMDb (Const, Title, Title Type) and Trakt (JSON with movie)"
)


class Skipped(NamedTuple):
    """A row that is no movie, and why."""

    reason: str


class Source(NamedTuple):
    """Where a file is from; `take` returns the fields of a movie, or raises ValidationError.

    `needs` are the columns of a table that tell it.
    """

    name: str
    take: Callable[[Any], Mapping[str, Any] | Skipped]
    needs: frozenset[str] = frozenset()
    is_own: bool = False


def _own_row(cells: dict[str, str]) -> Mapping[str, Any]:
    return {name: unguarded(cells.get(name.lower(), "")) for name in WRITTEN}


def _letterboxd_row(cells: dict[str, str]) -> Mapping[str, Any]:
    return {"title": cells.get("name", ""), "year": cells.get("year", "")}


def _imdb_row(cells: dict[str, str]) -> Mapping[str, Any] | Skipped:
    kind = cells.get("title type", "")
    if kind.strip() and re.sub(r"[^a-z]", "", kind.lower()) not in FILMS:
        return Skipped(f"Not a film: {kind[:40]}.")
    return {"title": cells.get("title", ""), "year": cells.get("year", "")}


def _own_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValidationError('Give an object, such as {"title": "Alien"}.')
    return value


def _trakt_object(value: Any) -> Mapping[str, Any] | Skipped:
    if not isinstance(value, dict):
        raise ValidationError("Give an object with a movie.")
    if "movie" not in value:
        return Skipped(f"Not a film: {next(filter(value.__contains__, OTHERS), 'no movie in it')}.")
    if not isinstance(movie := value["movie"], dict):
        raise ValidationError("The movie is no object.")
    return {"title": movie.get("title"), "year": movie.get("year")}


CSV = Source("csv", _own_row, frozenset({"title"}), is_own=True)
# What has the most of its own comes first
TABLES = (
    Source("letterboxd", _letterboxd_row, frozenset({"name", "year", "letterboxd uri"})),
    Source("imdb", _imdb_row, frozenset({"const", "title", "title type"})),
    CSV,
)
JSON, NDJSON = (Source(name, _own_object, is_own=True) for name in ("json", "ndjson"))
TRAKT = Source("trakt", _trakt_object)


def source_of_table(names: list[str]) -> Source | None:
    """Return the source whose columns are all there, or None."""
    return next((source for source in TABLES if source.needs <= set(names)), None)


def fault_of_columns(source: Source, names: list[str]) -> str | None:
    """Return what is wrong with the columns: one stands there twice, or is unknown in ours."""
    known = OWN if source.is_own else source.needs
    unknown = [name for name in names if name not in known] if source.is_own else []
    if unknown:
        return f"There is no column {unknown[0][:40]!r}: remove it; there are {', '.join(WRITTEN)}."
    twice = [name for name in known if names.count(name) > 1]
    return f"The column {twice[0]!r} is there twice." if twice else None


def source_of_objects(first: Any, own: Source) -> Source | None:
    """Return the source that the first object tells, or None."""
    if not isinstance(first, dict):
        return None
    if "title" not in first and {"movie", *OTHERS} & first.keys():
        return TRAKT
    return own if {*OWN.values()} & first.keys() else None
