"""CSV reader: find the header row, then rows by the names in it."""

import csv
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from io import TextIOWrapper
from itertools import islice
from typing import IO, NamedTuple

from marshmallow import ValidationError

from ..api.errors import Message
from .formats import GENERIC, KNOWN_FORMATS, Format, Record, detect_format, normalize
from .request_file import abort_unreadable
from .text_encoding import DAMAGED

HINT = "Check for an unclosed quote. Double the quotes inside a cell, and put the cell in quotes."
MAX_ROW_LENGTH = 1 << 18  # characters of one row, of however many lines
MAX_FIRST_ROWS = 30  # that may contain the header row
DELIMITERS = ",;\t|"
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line


class RowTooLong(csv.Error):
    """A row is longer than MAX_ROW_LENGTH."""


class Header(NamedTuple):
    """A header row, from line to last_line and from byte start to end; the highest rank wins."""

    rank: int
    source: Format
    delimiter: str
    names: list[str]
    line: int
    last_line: int
    start: int
    end: int


class LineReader:
    """The lines of a file; `count` lines and `end` bytes have been read."""

    def __init__(self, file: IO[bytes], count: int = 0, end: int = 0) -> None:
        """Start at that byte of the file, which stays open."""
        file.seek(end)
        self.text = TextIOWrapper(file, "utf-8", newline="")
        self.count, self.end, self.size = count, end, 0

    def __iter__(self) -> "LineReader":
        """Return self."""
        return self

    def __next__(self) -> str:
        """Return the next line; raise RowTooLong if the row is too long."""
        line = self.text.readline(MAX_ROW_LENGTH + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.size += len(line)
        self.end += len(line.encode())
        if self.size > MAX_ROW_LENGTH:
            raise RowTooLong("the row is too long")
        return line

    def iter_rows(
        self, delimiter: str, *, strict: bool
    ) -> Generator[tuple[int, int, list[str]], None, None]:
        """Yield the first line, the first byte and the cells of each row."""
        reader = csv.reader(self, delimiter=delimiter, strict=strict)
        try:
            while True:
                line, start, self.size = self.count + 1, self.end, 0
                try:
                    yield line, start, next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if strict:
                        abort_unreadable(f"Line {line}: {error}. {HINT}")
                    return
        finally:
            self.text.detach()


def find_header(file: IO[bytes], file_name: str) -> Header:
    """Return the header row among the first rows, or abort.

    Comment lines may precede it. The columns of a known format take precedence over a title alone.
    """
    number, first = _first_line(file)
    separator = SEPARATOR_LINE.fullmatch(first)
    headers = [
        header
        for delimiter in (separator[1] if separator else DELIMITERS)
        for header in _iter_headers(file, delimiter, file_name)
    ]
    if not headers:
        file.seek(0)
        if DAMAGED.encode() in file.read(1024):
            abort_unreadable("The file is not text. Save it as CSV or JSON in UTF-8.")
        abort_unreadable(
            f"Line {number}: {first.strip()[:80]!r} is not a known header row. The service reads "
            f"{KNOWN_FORMATS}. Add a header row, e.g. title,year."
        )
    return max(headers, key=lambda header: header.rank)


def _first_line(file: IO[bytes]) -> tuple[int, str]:
    """Return the number and the start of the first line that is not blank."""
    file.seek(0)
    lines = enumerate(iter(partial(file.readline, MAX_ROW_LENGTH), b""), 1)
    number, line = next(((number, line) for number, line in lines if line.strip()), (0, b""))
    if not line:
        abort_unreadable(Message("The file is empty.", "required"))
    return number, line[:400].decode(errors="ignore")


def _iter_headers(file: IO[bytes], delimiter: str, file_name: str) -> Iterator[Header]:
    """Yield the first rows that have the columns of a format.

    A title alone is a header only if its row is wider than those above: a film may be called Movie.
    """
    lines, widest = LineReader(file), 0
    with closing(lines.iter_rows(delimiter, strict=False)) as rows:
        for line, start, cells in islice(rows, MAX_FIRST_ROWS):
            names = _column_names(cells)
            columns = dict.fromkeys(map(normalize, names), "")
            source = detect_format([columns], file_name)
            rank = len(source.used & columns.keys()) if source else 0
            if source and (rank > 1 or len(columns) > widest):
                rank += 1000 * (source is not GENERIC)
                yield Header(rank, source, delimiter, names, line, lines.count, start, lines.end)
            if not SEPARATOR_LINE.match(delimiter.join(cells)):
                widest = max(widest, len(columns))


def iter_rows(file: IO[bytes], header: Header) -> Generator[Record, None, None]:
    """Yield the rows below the header by normalized column name."""
    names = [normalize(name) for name in header.names]
    lines = LineReader(file, header.last_line, header.end)
    with closing(lines.iter_rows(header.delimiter, strict=True)) as rows:
        for line, start, cells in rows:
            value = _cells_by_name(names, cells) if any(cells) else None
            yield Record(line, start, lines.end, value)


def _column_names(cells: list[str]) -> list[str]:
    """Return the names without the empty trailing ones of spreadsheets; number unreadable ones."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return [
        name if name and DAMAGED not in name else f"column {number}"
        for number, name in enumerate(names, 1)
    ]


def _cells_by_name(names: list[str], cells: list[str]) -> dict[str, str] | ValidationError:
    """Return the cells, or an error if the row cannot be read."""
    if DAMAGED in "".join(cells):
        return ValidationError("A character is damaged. Correct it and send the row again.")
    if any(cells[len(names) :]):
        return ValidationError(
            "The row has more cells than the header. Put text with commas in quotes."
        )
    return dict(zip(names, [*cells, *[""] * (len(names) - len(cells))], strict=False))
