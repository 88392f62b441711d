"""CSV reader: rows by the names in the header row."""

import csv
from collections.abc import Generator
from io import TextIOWrapper
from typing import IO

from marshmallow import ValidationError

from .formats import Record
from .request_file import abort_unreadable

HINT = "Is a quote not closed? One inside of a cell is written twice, and the cell in quotes."
MAX_ROW_LENGTH = 1 << 18  # characters of one row, of however many lines
DELIMITERS = (",", ";", "\t")


class LineReader:
    """The lines of a file; `count` and `end` tell how many, and how many bytes, were read."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin at the start of the file, which stays open."""
        file.seek(0)
        self.text = TextIOWrapper(file, "utf-8", newline="")
        self.count = self.end = self.size = 0

    def __iter__(self) -> "LineReader":
        """Return the iterator that this is."""
        return self

    def __next__(self) -> str:
        """Return the next line, as long as the row is not too long."""
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
    """Return number and text of the first line that is not blank."""
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
    """Return the names that a header has when its cells are divided so; none if they cannot be."""
    try:
        return _normalize_header(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return []


def iter_rows(file: IO[bytes], delimiter: str) -> Generator[Record, None, None]:
    """Give the rows below the header, by its names; a cell that is missing is no fault."""
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
    """Return names as they are compared, without the empty ones that spreadsheets put behind."""
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _cells_by_name(names: list[str], cells: list[str]) -> dict[str, str] | ValidationError:
    """Return the cells, or what is wrong with the row: more cells would be of no column."""
    if any(cells[len(names) :]):
        return ValidationError("It has more cells than the header: put text with commas in quotes.")
    return dict(zip(names, cells, strict=False))
