"""Formats: how the files of each source are recognized and their rows mapped.

Column names are compared without case, accents, blanks and punctuation. A name with a dot is a
path into nested JSON.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from marshmallow import ValidationError

from ..movies.fields import MovieCreateSchema, ReadOnlyFields
from . import title_types
from .csv_escape import unescape_cell

SCHEMA = MovieCreateSchema()
FIELDS = tuple(str(field.data_key) for field in SCHEMA.load_fields.values())
READ_ONLY = tuple(str(field.data_key) for field in ReadOnlyFields().dump_fields.values())
KNOWN_FORMATS = (
    "a table with a column such as title, name, movie or film, JSON with such a key, and the "
    "exports of Letterboxd, IMDb, Trakt and TMDB"
)
YEAR = re.compile(r"([0-9]{4})(?:\.0+)?|\(([0-9]{4})\)")
ISO = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")


class Record(NamedTuple):
    """A row of the file, from byte `start` to byte `end`.

    `line` is its first line, or the number of the element of the array `part`. `value` is the JSON
    value, or the cells by column name; None for a blank line.
    """

    line: int
    start: int
    end: int
    value: Any
    part: str = ""


class Skipped(NamedTuple):
    """A row that is not a movie, and why."""

    reason: str


@lru_cache(maxsize=4096)
def normalize(name: str) -> str:
    """Return the letters and digits of a column name, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name.casefold())))


FILMS, OTHERS = (
    frozenset(map(normalize, names.split(","))) for names in (title_types.FILMS, title_types.OTHERS)
)


def _paths(names: str) -> tuple[tuple[str, ...], ...]:
    """Return each of the comma-separated names as the steps of a path."""
    split = (name.split(".") for name in names.split(",") if name)
    return tuple((normalize(first), *rest) for first, *rest in split)


@dataclass(frozen=True, eq=False)
class Format:
    """A source: it has all columns of `needs`, and a file name that the pattern `file` finds.

    `fields` maps our fields to its columns; of several, the first one with a value is used.
    """

    name: str
    needs: str
    fields: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1
    """Half stars per point of its rating."""
    id: str = ""
    """Identifies a film within the source."""
    at: str = ""
    """When an entry was written, as an ISO date: the latest rating and notes are used."""
    kind: str = ""
    """Title type of a row; unless it is a film, the row is not imported."""
    others: tuple[str, ...] = ()
    """Keys of entries that are not films."""
    file: str = ""

    @cached_property
    def paths(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Return the columns of each field, of the id, the time and the title type."""
        every = {"title": "title", "year": "year", **self.fields}
        every |= {"_id": self.id, "_at": self.at, "_kind": self.kind}
        return {name: _paths(columns) for name, columns in every.items()}

    @cached_property
    def used(self) -> frozenset[str]:
        """Return the columns that are read; the others are reported as ignored."""
        read = (paths for name, paths in self.paths.items() if name != "_at")
        return frozenset(path[0] for paths in read for path in paths) | {*self.others}


OWN = dict(zip(FIELDS, FIELDS, strict=True)) | {
    "title": "title,name,movie,film,primaryTitle,movieTitle,filmTitle,movieName,Filmtitel,Titel,"
    "Titre,Título,Titolo",
    "year": "year,releaseYear,releaseDate,startYear,yearReleased,movieYear,filmYear,Jahr,"
    "Erscheinungsjahr,Année,Año,Ano,Anno",
    "watchedOn": "watchedOn,watchedDate,dateWatched",
    "notes": "notes,review",
}
LETTERBOXD = {"title": "Name", "rating": "Rating", "notes": "Review", "watchedOn": "Watched Date"}
URI = "Letterboxd URI"
IMDB = {"rating": "Your Rating,You rated", "notes": "Description"}
TRAKT = {
    "watchedOn": "watched_at,last_watched_at",
    "rating": "rating",
    "notes": "comment.comment,notes",
}
TRAKT_AT = "rated_at,watched_at,last_watched_at"
TRAKT_IDS = "{0}ids.trakt,{0}ids.imdb,{0}ids.tmdb,{0}ids.slug"
TRAKT_OTHERS = ("show", "season", "episode", "person", "list")
# Most specific first. A table has all columns of `needs`; in JSON, the first objects have them
FORMATS = (
    # The URI of diary and reviews names the entry, not the film
    Format("letterboxd", "Name,Year,Letterboxd URI,Watched Date", LETTERBOXD, scale=2, at="Date"),
    Format("letterboxd", "Name,Year,Letterboxd URI,Rating", LETTERBOXD, scale=2, id=URI, at="Date"),
    # The Date of watched.csv is when a film was watched; that of watchlist.csv, with the same
    # columns, is not
    Format(
        "letterboxd",
        "Date,Name,Year,Letterboxd URI",
        LETTERBOXD | {"watchedOn": "Date"},
        id=URI,
        file=r"(?<![a-z])watched(?![a-z])[^/]*$",
    ),
    Format("letterboxd", "Name,Year,Letterboxd URI", LETTERBOXD, id=URI),
    Format("letterboxd", "Position,Name,Year,URL", LETTERBOXD | {"notes": "Description"}, id="URL"),
    Format(  # what Letterboxd imports, as other programs write it
        "letterboxd",
        "Title,Rating10",
        {"rating": "Rating10", "watchedOn": "WatchedDate", "notes": "Review"},
        id="tmdbID,imdbID",
        at="WatchedDate",
    ),
    Format("imdb", "Const,Title,Title Type", IMDB, id="Const", at="Date Rated", kind="Title Type"),
    Format(
        "tmdb",
        "TMDb ID,Name,Release Date",
        {"title": "Name", "year": "Release Date", "rating": "Your Rating"},
        id="TMDb ID",
        at="Date Rated",
        kind="Type",
    ),
    *(
        Format(
            "trakt",
            needs,
            {"title": "movie.title", "year": "movie.year", **TRAKT},
            id=TRAKT_IDS.format("movie."),
            at=TRAKT_AT,
            others=TRAKT_OTHERS,
        )
        for needs in ("movie.title", "show.title", "person.name", "list.name")
    ),
    Format("trakt", "title,ids.trakt", TRAKT, id=TRAKT_IDS.format("")),
)
# Our own format, and any other with a title
GENERIC = Format("csv", "", OWN, id="id")
NAMES = tuple(dict.fromkeys(each.name for each in (GENERIC, *FORMATS)))


def detect_format(records: Sequence[Mapping[str, Any]], file_name: str = "") -> Format | None:
    """Return the format whose columns are in the records, or GENERIC if there is a title, or None.

    Several records, because some may be incomplete.
    """

    def has(path: tuple[str, ...]) -> bool:
        return any(_value_at(record, path) is not ABSENT for record in records)

    for each in FORMATS:
        if all(map(has, _paths(each.needs))) and re.search(each.file, file_name.lower()):
            return each
    return GENERIC if any(map(has, GENERIC.paths["title"])) else None


def detect_objects(values: Iterable[Any]) -> Format | None:
    """Return the format of JSON objects, or None."""
    return detect_format([normalize_keys(value) for value in values if isinstance(value, dict)])


def normalize_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object by normalized keys; of equal keys, the first one is used."""
    return dict(zip(_normalized(tuple(value))[::-1], [*value.values()][::-1], strict=True))


@lru_cache(maxsize=64)
def _normalized(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normalize, names))


@lru_cache(maxsize=64)
def ignored_columns(source: Format, names: tuple[str, ...]) -> list[str]:
    """Return those of the original names that the format does not use.

    Raise ValidationError if it uses a column that appears twice.
    """
    normalized = _normalized(names)
    for name in source.used:
        if normalized.count(name) > 1:
            raise ValidationError(f"The column {name!r} appears twice.")
    known = source.used | {normalize(name) for name in READ_ONLY if source is GENERIC}
    return [name for name in names if normalize(name) not in known]


def map_row(source: Format, record: Mapping[str, Any], *, is_csv: bool) -> dict[str, Any] | Skipped:
    """Return the values of the row by field, as SCHEMA expects them, with _id, _at and _note."""
    if source.others:
        if (film := source.paths["title"][0][0]) not in record:
            kind = next(filter(record.__contains__, source.others), "no movie in it")
            return Skipped(f"Not a film: {kind}.")
        if not isinstance(record[film], dict):
            raise ValidationError(f"The {film} must be an object.")
    values = {
        name: value
        for name, paths in source.paths.items()
        if (value := _first_value(record, paths, name)) is not ABSENT
    }
    if reason := _reason_to_skip(values.pop("_kind", "")):
        return Skipped(reason)
    if is_csv and source is GENERIC:
        values |= {name: unescape_cell(values[name]) for name in FIELDS if name in values}
    for name, read in READERS.items():
        if name in values:
            values[name] = read(values[name])
    if "rating" in values:
        _convert_rating(values, source)
    return values


ABSENT = object()


def _first_value(record: Mapping[str, Any], paths: Sequence[tuple[str, ...]], name: str) -> Any:
    """Return the first value that is not empty; an id is prefixed with the number of its path."""
    found = ABSENT
    for number, path in enumerate(paths):
        value = _value_at(record, path)
        if name == "_id" and not isinstance(value, str | int):
            continue
        if value not in ("", None, ABSENT):
            return f"{number} {value}" if name == "_id" else value
        found = value if found is ABSENT else found
    return found if name in FIELDS else ABSENT


def _value_at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value at the path, None if the key is missing, or ABSENT if the column is."""
    value: Any = record.get(path[0], ABSENT)
    for name in path[1:]:
        value = value.get(name) if isinstance(value, dict) else ABSENT
    return value


def _convert_rating(values: dict[str, Any], source: Format) -> None:
    """Convert a number to half stars; leave anything else to the schema."""
    try:
        number = float(str(values["rating"]).replace(",", ".")) * source.scale
    except ValueError:
        return
    if number.is_integer():
        values["rating"] = int(number)
    elif math.isfinite(number) and source is not GENERIC:
        values["_note"] = f"rating: {values['rating']} was rounded."
        values["rating"] = max(1, int(number + 0.5))


def _reason_to_skip(kind: Any) -> str:
    """Return why a title type is not a film; raise ValidationError if it is unknown."""
    name = normalize(str(kind))
    if not name or name in FILMS:
        return ""
    if name not in OTHERS:
        raise ValidationError(f"Unknown title type: {str(kind)[:40]}. Use Movie for a film.")
    return f"Not a film: {str(kind)[:40]}."


def read_year(value: Any) -> Any:
    """Return the year of 1999.0, (1999) or a date; anything else unchanged, for the schema."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if found := YEAR.fullmatch(text):
        return found[1] or found[2]
    return str(day)[:4] if (day := _parse_date(text)) else value


def read_date(value: Any) -> Any:
    """Return the day in UTC as YYYY-MM-DD; anything else unchanged, for the schema."""
    day = _parse_date(value.strip()) if isinstance(value, str) else None
    return str(day) if day else value


def _parse_date(text: str) -> date | None:
    """Return the date of an ISO date or time, or of D.M.YYYY; None of any other text."""
    try:
        if found := DAY_FIRST.fullmatch(text):
            return date(int(found[3]), int(found[2]), int(found[1]))
        if not ISO.match(text):
            return None
        at = datetime.fromisoformat(text)
        return (at.astimezone(UTC) if at.tzinfo else at).date()
    except (ValueError, OverflowError):
        return None


READERS: dict[str, Callable[[Any], Any]] = {"year": read_year, "watchedOn": read_date}
