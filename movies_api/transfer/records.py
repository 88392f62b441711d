"""Records: what a reader of files finds, and where in the file it stands."""

from typing import Any, NamedTuple


class Record(NamedTuple):
    """A row of the file, from byte `start` to byte `end`.

    `line` is the line it begins in, or the number of the element of an array. `value` is what JSON
    holds, or the cells by the lower-cased names of their columns; None where a line is blank.
    """

    line: int
    start: int
    end: int
    value: Any
