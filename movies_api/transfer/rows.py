"""Rows: what a file says of movies, each row held against the same rules as POST /movies."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from sys import intern
from typing import IO, Any, NamedTuple

from marshmallow import ValidationError

from ..config import settings
from ..fields import CONTROL, InlineFile
from ..wire import flat
from . import schemas
from .objects import elements_of, lines_of
from .receiving import unreadable
from .records import Record
from .sources import (
    JSON,
    KNOWN,
    NDJSON,
    Skipped,
    Source,
    fault_of_columns,
    source_of_objects,
    source_of_table,
)
from .tables import DELIMITERS, head_of, names_in, rows_of

ROW = schemas.RowFields()
LONGEST_REASON = 200  # of which a response holds one for each row


@dataclass(slots=True)
class Row:
    """A row of the file, and what becomes of it."""

    line: int
    start: int
    end: int
    title: str = ""
    year: str = ""
    image: str | InlineFile | None = None
    action: str = "added"
    reason: str | None = None

    def settle(self, action: str, reason: str) -> None:
        """Say that the row is not added, and why."""
        self.action, self.image = action, None
        self.reason = CONTROL.sub("", reason[:LONGEST_REASON])  # JSON takes six bytes for each


class Reading(NamedTuple):
    """A file that was read; `head` is the header of a table, None of JSON."""

    source: Source
    head: str | None
    rows: list[Row]


def read_file(file: IO[bytes]) -> Reading:
    """Return the rows of a file, or abort: it is none that can be read."""
    start = file.read(1 << 12).lstrip()[:1]
    file.seek(0)
    if start in {b"[", b"{"}:
        return _read_objects(file, is_array=start == b"[")
    return _read_table(file)


def _read_objects(file: IO[bytes], *, is_array: bool) -> Reading:
    records = elements_of(file) if is_array else lines_of(file)
    first = next((record for record in records if record.value is not None), None)
    own = JSON if is_array else NDJSON
    if first is None:
        return Reading(own, None, [])
    source = source_of_objects(first.value, own)
    if source is None:
        names = list(first.value)[:9] if isinstance(first.value, dict) else []
        shown = ", ".join(repr(name)[:40] for name in names) or "No object"
        unreadable(f"{shown}: nobody's export begins like this. Known are {KNOWN}.")
    return Reading(source, None, list(_rows(source, chain([first], records))))


def _read_table(file: IO[bytes]) -> Reading:
    number, head = head_of(file)
    for delimiter in DELIMITERS:
        names = names_in(head, delimiter)
        if source := source_of_table(names):
            break
    else:
        unreadable(f"Line {number}: {head.strip()[:80]!r} is nobody's header. Known are {KNOWN}.")
    if fault := fault_of_columns(source, names):
        unreadable(f"Line {number}: {fault}")
    with closing(rows_of(file, delimiter)) as records:
        return Reading(source, head, list(_rows(source, records)))


def _rows(source: Source, records: Iterator[Record]) -> Iterator[Row]:
    limit = settings().import_max_rows
    for number, record in enumerate(records):
        if number >= limit:
            unreadable(f"The file has more than {limit} rows. Divide it.")
        if record.value is None:
            continue
        row = Row(record.line, record.start, record.end)
        try:
            _take(row, source, record.value)
        except ValidationError as error:
            row.settle("rejected", _reason(error))
        yield row


def _take(row: Row, source: Source, value: Any) -> None:
    if isinstance(value, ValidationError):
        raise value
    taken = source.take(value)
    if isinstance(taken, Skipped):
        row.settle("skipped", taken.reason)
        return
    fields = ROW.load(taken)
    row.title, row.year = fields["title"], intern(fields.get("year") or "")
    row.image = fields.get("image_url")


def _reason(error: ValidationError) -> str:
    if not isinstance(error.messages, dict):
        return " ".join(error.messages)
    named = list(error.messages.items())[:3]
    return " ".join(
        " ".join(flat(texts)) if name == "_schema" else f"{name[:20]}: {' '.join(flat(texts))}"
        for name, texts in named
    )
