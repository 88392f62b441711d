"""Reader: the rows of a file, validated like POST /movies."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain, count, groupby, islice
from sys import intern
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from marshmallow import ValidationError

from ..api.errors import ApiError, Message, flatten_messages
from ..api.fields import CONTROL
from ..config import current_config
from .archives import IN_MEMORY, is_archive, iter_members
from .csv_reader import find_header, iter_rows
from .formats import (
    GENERIC,
    KNOWN_FORMATS,
    SCHEMA,
    Format,
    Record,
    Skipped,
    detect_objects,
    ignored_columns,
    map_row,
    normalize_keys,
)
from .json_reader import is_ndjson, iter_json, iter_ndjson
from .request_file import abort_unreadable
from .text_encoding import decode_text

MAX_REASON_LENGTH = 200  # characters; a response contains one reason per row
MAX_FIRST_OBJECTS = 20  # that identify the format
MAX_IGNORED = 1000  # names of columns in a response
Progress = Callable[[int], object]


@dataclass(slots=True)
class Part:
    """A file, or an array in a JSON object, that has rows; only CSV has a header row."""

    name: str
    file: IO[bytes]
    encoding: str
    source: Format = GENERIC
    format: str = ""
    header_row: str | None = None


@dataclass(slots=True)
class ImportRow:
    """A row of the file and its outcome; `fields` are those of a new movie.

    `id` is what the source calls the film, `at` when the entry was written, `movie` which movie it
    updates.
    """

    part: Part
    line: int
    start: int
    end: int
    fields: dict[str, Any] = field(default_factory=dict)
    id: Any = None
    at: str = ""
    movie: int | None = None
    action: str = "added"
    reason: str | None = None

    def mark(self, action: str, reason: str) -> None:
        """Record that the row is not added, and why."""
        self.action = action
        self.fields.pop("image_url", None)
        self.note(reason)

    def note(self, reason: str) -> None:
        """Record what the user should know about the row."""
        # JSON takes six bytes for each control character
        self.reason = CONTROL.sub("", reason[:MAX_REASON_LENGTH])


class ParsedFile:
    """The rows of a file in all its parts; a bundle has several, whose entries are merged."""

    def __init__(self, progress: Progress) -> None:
        """Start empty; `progress` is called with the number of bytes of each row."""
        self.progress = progress
        self.parts: list[Part] = []
        self.rows: list[ImportRow] = []
        self.ignored_columns: dict[str, None] = {}
        self.ignored_files: list[dict[str, str]] = []
        self.is_archive = False
        self.numbers = count()

    @property
    def is_bundle(self) -> bool:
        """Return whether one film may have entries in several parts."""
        return self.is_archive or len(self.parts) > 1

    def read(self, part: Part, records: Iterable[Record]) -> None:
        """Add the rows of a part, or none if it cannot be read."""
        if self.is_archive and part.source is GENERIC:
            abort_unreadable("Not a file of Letterboxd or Trakt.")
        limit, rows = current_config().import_max_rows, []
        for record in records:
            if next(self.numbers) >= limit:
                text = f"The file has more than {limit} rows. Split it."
                abort_unreadable(Message(text, "too_long"))
            self.progress(record.end - record.start)
            if record.value is not None:
                rows.append(row := ImportRow(part, record.line, record.start, record.end))
                try:
                    self._fill_row(row, record.value)
                except ValidationError as error:
                    row.mark("rejected", _error_reason(error))
        self.parts.append(part)
        self.rows += rows

    def ignore_columns(self, names: Iterable[str]) -> None:
        """Record columns that are not imported."""
        for name in names:
            if len(self.ignored_columns) < MAX_IGNORED:
                self.ignored_columns[name[:100]] = None

    def _fill_row(self, row: ImportRow, value: Any) -> None:
        if isinstance(value, ValidationError):
            raise value
        source, is_csv = row.part.source, row.part.header_row is not None
        if not is_csv:
            if not isinstance(value, dict):
                like = " with a movie" if source.others else ', e.g. {"title": "Alien"}'
                raise ValidationError(f"Must be an object{like}.")
            self.ignore_columns(ignored_columns(source, tuple(value)))
            value = normalize_keys(value)
        values = map_row(source, value, is_csv=is_csv)
        if isinstance(values, Skipped):
            row.mark("skipped", values.reason)
            return
        row.id, row.at = values.pop("_id", None), intern(str(values.pop("_at", ""))[:32])
        note = values.pop("_note", None)
        loaded = SCHEMA.load(values)
        # Keep the dicts small: there may be 150,000
        row.fields = {name: value for name, value in loaded.items() if value is not None}
        if note:
            row.note(note)
        if year := row.fields.get("year"):
            row.fields["year"] = intern(year)


def read_file(raw: IO[bytes], file_name: str, files: ExitStack, progress: Progress) -> ParsedFile:
    """Return the rows of a file, or abort if it cannot be read; `files` closes temporary files."""
    parsed = ParsedFile(progress)
    if not is_archive(raw):
        _read_text(parsed, raw, file_name, files)
        return parsed
    parsed.is_archive = True
    for name, member in iter_members(raw):
        reason = "Does not contain your movies."
        if member is not None:
            try:
                _read_text(parsed, member, name, files)
                continue
            except ApiError as error:
                reason = error.details["file"][0]
        parsed.ignored_files.append({"file": name, "reason": reason})
    if not parsed.parts:
        abort_unreadable(
            "The ZIP contains no file that the service recognizes. Send the unchanged ZIP of "
            "Letterboxd or Trakt, or a single file."
        )
    return parsed


def _read_text(parsed: ParsedFile, raw: IO[bytes], file_name: str, files: ExitStack) -> None:
    text = files.enter_context(SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115  as the stack closes it
    part = Part(file_name, text, decode_text(raw, text))
    start = text.read(1 << 12).lstrip()[:1]
    if start not in {b"[", b"{"}:
        _read_csv(parsed, part)
    elif start == b"{" and is_ndjson(text):
        _read_json(parsed, part, "ndjson", iter_ndjson(text))
    else:
        _read_json(parsed, part, "json", iter_json(text))


def _read_csv(parsed: ParsedFile, part: Part) -> None:
    header = find_header(part.file, part.name)
    part.source, part.format = header.source, header.source.name
    part.file.seek(header.start)
    part.header_row = part.file.read(header.end - header.start).decode()
    try:
        ignored = ignored_columns(part.source, tuple(header.names))
    except ValidationError as error:
        abort_unreadable(f"Line {header.line}: {_error_reason(error)}")
    with closing(iter_rows(part.file, header)) as records:
        parsed.read(part, records)
    parsed.ignore_columns(ignored)


def _read_json(parsed: ParsedFile, part: Part, own: str, records: Iterator[Record]) -> None:
    """Read the array of the file, or each array of its object that has movies."""
    unknown: list[str] = []
    found, is_empty = len(parsed.parts), True
    for name, group in groupby(records, key=lambda record: record.part):
        first, is_empty = list(islice(rest := iter(group), MAX_FIRST_OBJECTS)), False
        if source := detect_objects(record.value for record in first):
            label = source.name if source is not GENERIC else own
            array = replace(part, source=source, format=label, name=name or part.name)
            parsed.read(array, chain(first, rest))
        else:
            value = first[0].value
            unknown += [name] if name else value if isinstance(value, dict) else []
    if is_empty:
        parsed.read(replace(part, format=own), [])
    elif len(parsed.parts) == found:
        shown = ", ".join(repr(name)[:40] for name in unknown[:9]) or "No object"
        abort_unreadable(f"{shown}: unknown format. The service reads {KNOWN_FORMATS}.")
    parsed.ignore_columns(unknown)


def _error_reason(error: ValidationError) -> str:
    if not isinstance(error.messages, dict):
        return " ".join(error.messages)
    named = list(error.messages.items())[:3]
    return " ".join(
        " ".join(text for _, text in flatten_messages(texts))
        if name == "_schema"
        else f"{name[:20]}: {' '.join(text for _, text in flatten_messages(texts))}"
        for name, texts in named
    )
