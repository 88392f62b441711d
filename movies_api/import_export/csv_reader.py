"""CSV reader: rows by the names in the header row."""

import csv
from collections.abc import Generator
from io import TextIOWrapper
from typing import IO

from marshmallow import ValidationError

from .formats import Record
from .request_file import abort_unreadable

HINT = "Is a quote not closed? Write quotes inside a cell twice, and the cell in quotes."
MAX_ROW_LENGTH = 1 << 18  # characters of one row, of however many lines
DELIMITERS = (",", ";", "\t")


class LineReader:
    """The lines of a file; `count` lines and `end` bytes have been read."""

    def __init__(self, file: IO[bytes]) -> None:
        """Start at the beginning of the file, which stays open."""
        file.seek(0)
        self.text = TextIOWrapper(file, "utf-8", newline="")
        self.count = self.end = self.size = 0

    def __iter__(self) -> "LineReader":
        """Return self."""
        return self

    def __next__(self) -> str:
        """Return the next line; abort if the row is too long."""
        line = self.text.readline(MAX_ROW_LENGTH + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.size += len(line)
        self.end += len(line.encode())
        if self.size > MAX_ROW_LENGTH:
            abort_unreadable(f"Line {self.count}: the row is too long. Is a quote not closed?")
        return line


def read_header(file: IO[bytes]) -> tuple[int, str]:
    """Return the number and the text of the first non-blank line."""
    lines = LineReader(file)
    try:
        for line in lines:
            lines.size = 0
            if line.strip():
                return lines.count, line
        abort_unreadable("The file is empty.")
    finally:
        lines.text.detach()


def split_header(line: str, delimiter: str) -> list[str]:
    """Return the column names with that delimiter; none if the line cannot be parsed."""
    try:
        return _normalize_header(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return []


def iter_rows(file: IO[bytes], delimiter: str) -> Generator[Record, None, None]:
    """Yield the rows below the header by column name; cells may be missing."""
    lines = LineReader(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        while True:
            line, start, lines.size = lines.count + 1, lines.end, 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                abort_unreadable(f"Line {line}: {error}. {HINT}")
            if names:
                value = _cells_by_name(names, cells) if any(cells) else None
                yield Record(line, start, lines.end, value)
            elif any(cells):
                names = _normalize_header(cells)
    finally:
        lines.text.detach()


def _normalize_header(cells: list[str]) -> list[str]:
    """Return normalized names without the empty trailing ones of spreadsheets."""
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _cells_by_name(names: list[str], cells: list[str]) -> dict[str, str] | ValidationError:
    """Return the cells, or an error if there are more cells than columns."""
    if any(cells[len(names) :]):
        return ValidationError(
            "The row has more cells than the header. Put text with commas in quotes."
        )
    return dict(zip(names, cells, strict=False))
