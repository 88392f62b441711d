"""Reader: the rows of a file, validated like POST /movies."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from sys import intern
from typing import IO, Any, NamedTuple

from marshmallow import ValidationError

from ..api.errors import Message, flatten_messages
from ..api.fields import CONTROL
from ..config import current_config
from . import schemas
from .csv_reader import DELIMITERS, iter_rows, read_header, split_header
from .formats import (
    JSON,
    KNOWN_FORMATS,
    NDJSON,
    Record,
    Skipped,
    Source,
    column_error,
    detect_objects,
    detect_table,
)
from .json_reader import iter_json_array, iter_ndjson
from .request_file import abort_unreadable

ROW_SCHEMA = schemas.ImportRowSchema()
MAX_REASON_LENGTH = 200  # characters; a response holds one reason per row


@dataclass(slots=True)
class ImportRow:
    """A row of the file and its outcome; `fields` are those of a new movie."""

    line: int
    start: int
    end: int
    fields: dict[str, Any] = field(default_factory=dict)
    action: str = "added"
    reason: str | None = None

    def mark(self, action: str, reason: str) -> None:
        """Record that the row is not added, and why."""
        self.action = action
        self.fields.pop("image_url", None)
        self.reason = CONTROL.sub(
            "", reason[:MAX_REASON_LENGTH]
        )  # JSON takes six bytes for each control character


class ParsedFile(NamedTuple):
    """The rows of a file; `head` is the header row of CSV, None for JSON."""

    source: Source
    head: str | None
    rows: list[ImportRow]


def read_file(file: IO[bytes]) -> ParsedFile:
    """Return the rows of a file, or abort if it cannot be read."""
    start = file.read(1 << 12).lstrip()[:1]
    file.seek(0)
    if start in {b"[", b"{"}:
        return _read_json(file, is_array=start == b"[")
    return _read_csv(file)


def _read_json(file: IO[bytes], *, is_array: bool) -> ParsedFile:
    records = iter_json_array(file) if is_array else iter_ndjson(file)
    first = next((record for record in records if record.value is not None), None)
    own = JSON if is_array else NDJSON
    if first is None:
        return ParsedFile(own, None, [])
    source = detect_objects(first.value, own)
    if source is None:
        names = list(first.value)[:9] if isinstance(first.value, dict) else []
        shown = ", ".join(repr(name)[:40] for name in names) or "No object"
        abort_unreadable(f"{shown}: unknown format. Known are {KNOWN_FORMATS}.")
    return ParsedFile(source, None, list(_iter_import_rows(source, chain([first], records))))


def _read_csv(file: IO[bytes]) -> ParsedFile:
    number, head = read_header(file)
    for delimiter in DELIMITERS:
        names = split_header(head, delimiter)
        if source := detect_table(names):
            break
    else:
        abort_unreadable(
            f"Line {number}: {head.strip()[:80]!r} is not a known header row. "
            f"Known are {KNOWN_FORMATS}."
        )
    if error := column_error(source, names):
        abort_unreadable(f"Line {number}: {error}")
    with closing(iter_rows(file, delimiter)) as records:
        return ParsedFile(source, head, list(_iter_import_rows(source, records)))


def _iter_import_rows(source: Source, records: Iterator[Record]) -> Iterator[ImportRow]:
    limit = current_config().import_max_rows
    for number, record in enumerate(records):
        if number >= limit:
            text = f"The file has more than {limit} rows. Split it."
            abort_unreadable(Message(text, "too_long"))
        if record.value is None:
            continue
        row = ImportRow(record.line, record.start, record.end)
        try:
            _fill_row(row, source, record.value)
        except ValidationError as error:
            row.mark("rejected", _error_reason(error))
        yield row


def _fill_row(row: ImportRow, source: Source, value: Any) -> None:
    if isinstance(value, ValidationError):
        raise value
    taken = source.take(value)
    if isinstance(taken, Skipped):
        row.mark("skipped", taken.reason)
        return
    row.fields = ROW_SCHEMA.load(taken)
    if year := row.fields.get("year"):
        row.fields["year"] = intern(year)


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
