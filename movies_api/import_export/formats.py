"""Formats: recognize the source of a file and map its rows."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from marshmallow import ValidationError

from ..movies.fields import MovieCreateSchema
from .csv_escape import COLUMNS, unescape_cell

OWN_COLUMNS = {name.lower(): name for name in (*COLUMNS, "ownerId")}
FIELDS = tuple(field.data_key or name for name, field in MovieCreateSchema().load_fields.items())
# IMDb's title types of today, without blanks, and of ten years ago
FILM_TYPES = {"movie", "tvmovie", "short", "tvshort", "video", "tvspecial"}
FILM_TYPES |= {"featurefilm", "shortfilm", "documentary"}
OTHER_TYPES = ("show", "season", "episode", "person", "list")
KNOWN_FORMATS = (
    f"our own ({', '.join(FIELDS)}), Letterboxd (Name, Year, Letterboxd URI), "
    "IMDb (Const, Title, Title Type) and Trakt (JSON with movie)"
)


class Skipped(NamedTuple):
    """A row that is not a movie, and why."""

    reason: str


class Source(NamedTuple):
    """The source of a file; `take` returns the fields of a movie or raises ValidationError.

    `needs` are the columns that identify it.
    """

    name: str
    take: Callable[[Any], Mapping[str, Any] | Skipped]
    needs: frozenset[str] = frozenset()
    is_own: bool = False


def _own_row(cells: dict[str, str]) -> Mapping[str, Any]:
    found = {name: unescape_cell(cells.get(name.lower(), "")) for name in FIELDS}
    return {name: text for name, text in found.items() if text or name == "title"}


def _letterboxd_row(cells: dict[str, str]) -> Mapping[str, Any]:
    return {"title": cells.get("name", ""), "year": cells.get("year", "")}


def _imdb_row(cells: dict[str, str]) -> Mapping[str, Any] | Skipped:
    kind = cells.get("title type", "")
    if kind.strip() and re.sub(r"[^a-z]", "", kind.lower()) not in FILM_TYPES:
        return Skipped(f"Not a film: {kind[:40]}.")
    return {"title": cells.get("title", ""), "year": cells.get("year", "")}


def _own_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValidationError('Must be an object, e.g. {"title": "Alien"}.')
    return value


def _trakt_object(value: Any) -> Mapping[str, Any] | Skipped:
    if not isinstance(value, dict):
        raise ValidationError("Must be an object with a movie.")
    if "movie" not in value:
        return Skipped(
            f"Not a film: {next(filter(value.__contains__, OTHER_TYPES), 'no movie in it')}."
        )
    if not isinstance(movie := value["movie"], dict):
        raise ValidationError("The movie must be an object.")
    return {"title": movie.get("title"), "year": movie.get("year")}


CSV = Source("csv", _own_row, frozenset({"title"}), is_own=True)
# The most specific first
TABLES = (
    Source("letterboxd", _letterboxd_row, frozenset({"name", "year", "letterboxd uri"})),
    Source("imdb", _imdb_row, frozenset({"const", "title", "title type"})),
    CSV,
)
JSON, NDJSON = (Source(name, _own_object, is_own=True) for name in ("json", "ndjson"))
TRAKT = Source("trakt", _trakt_object)


def detect_table(names: list[str]) -> Source | None:
    """Return the source whose columns are all present, or None."""
    return next((source for source in TABLES if source.needs <= set(names)), None)


def column_error(source: Source, names: list[str]) -> str | None:
    """Return an error if a column appears twice, or is unknown in our own format."""
    known = OWN_COLUMNS if source.is_own else source.needs
    unknown = [name for name in names if name not in known] if source.is_own else []
    if unknown:
        return (
            f"Unknown column {unknown[0][:40]!r}. Remove it; the columns are {', '.join(FIELDS)}."
        )
    twice = [name for name in known if names.count(name) > 1]
    return f"The column {twice[0]!r} appears twice." if twice else None


def detect_objects(first: Any, own: Source) -> Source | None:
    """Return the source that the first object identifies, or None."""
    if not isinstance(first, dict):
        return None
    if "title" not in first and {"movie", *OTHER_TYPES} & first.keys():
        return TRAKT
    return own if {*OWN_COLUMNS.values()} & first.keys() else None


class Record(NamedTuple):
    """A row of the file, from byte `start` to byte `end`.

    `line` is its first line, or the number of the array element. `value` is the JSON value, or the
    cells by lower-cased column name; None for a blank line.
    """

    line: int
    start: int
    end: int
    value: Any
