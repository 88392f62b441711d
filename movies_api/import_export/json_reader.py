"""JSON reader: an array by elements, the arrays in an object, or an object per line.

Elements are parsed one by one: parsed JSON uses 30 times its size in memory.
"""

import mmap
import re
from collections.abc import Generator, Iterator
from functools import partial
from typing import IO, Any

import orjson

from ..api.request_parser import exceeds_body_limit
from ..config import current_config
from .formats import Record, detect_objects
from .request_file import abort_unreadable

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# A flat object, a string, or punctuation; an unclosed quote is a token of its own
TOKEN = re.compile(rb'\{[^]["{}]*+(?:%b[^]["{}]*+)*+\}|%b|[]["{},]' % (STRING, STRING), re.DOTALL)
MAX_TOKENS = 10_000  # of one element
HOW = "such as [{...}, {...}], or one {...} in each line."
DEPTHS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def is_ndjson(file: IO[bytes]) -> bool:
    """Return whether the first line is a whole object, and not one that contains the rows."""
    file.seek(0)
    line = next(filter(bytes.strip, iter(partial(file.readline, _max_element_bytes()), b"")))
    try:
        value = None if exceeds_body_limit(line) else orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and (
        detect_objects([value]) is not None
        or not any(isinstance(each, list) for each in value.values())
    )


def iter_ndjson(file: IO[bytes]) -> Iterator[Record]:
    """Yield the JSON value of each line."""
    file.seek(0)
    number, start, longest = 0, 0, _max_element_bytes()
    while raw := file.readline(longest + 1):
        number += 1
        if len(raw) > longest:
            abort_unreadable(f"Line {number} is too large.")
        value = _parse_json(raw, f"Line {number}") if raw.strip() else None
        yield Record(number, start, start + len(raw), value)
        start += len(raw)


def iter_json(file: IO[bytes]) -> Iterator[Record]:
    """Yield the elements of an array, or of all arrays in an object, or an object without any."""
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    tokens = TOKEN.finditer(data)
    depth, name, around, end = 0, b"", b"", 0
    for number, token in enumerate(tokens):
        if number > MAX_TOKENS:
            abort_unreadable("The file has too much data outside its array.")
        if len(text := token[0]) > 1 and depth:
            name = text
            continue
        depth += DEPTHS.get(text, 0)
        if text == b"[" and depth < 3:
            around += data[end : token.end()]
            part = str(_parse_json(name, "The file")) if depth > 1 else ""
            end = yield from _iter_array(data, tokens, token.end(), part)
            depth -= 1
        if not depth:
            break
    value = _parse_json(around + data[end:], "The file")
    if not end:
        yield Record(1, 0, len(data), value)


def _iter_array(
    data: mmap.mmap, tokens: Iterator[re.Match[bytes]], start: int, part: str
) -> Generator[Record, None, int]:
    """Yield the elements of an array that begins at `start`; return where it ends."""
    number, depth, count, longest = 1, 1, 0, _max_element_bytes()
    while True:
        token, count = next(tokens, None), count + 1
        if token is None:
            abort_unreadable(f"The array is not closed: element {number} is cut off.")
        text = token[0]
        if count > MAX_TOKENS or token.end() - start > longest:
            abort_unreadable(f"Element {number} is too large.")
        if text == b'"':
            abort_unreadable(f"Element {number} is not JSON: a quote is not closed.")
        depth += DEPTHS.get(text, 0)
        if depth > 1 or (depth == 1 and text != b","):
            continue
        raw = data[start : token.start()]
        if depth or number > 1 or raw.strip():
            value = _parse_json(raw, f"Element {number}")
            yield Record(number, start, token.start(), value, part)
        if not depth:
            if text != b"]":
                abort_unreadable(f"The array does not end after element {number}. Send JSON, {HOW}")
            return token.start()
        number, count, start = number + 1, 0, token.end()


def _max_element_bytes() -> int:
    """Return the maximum size of a movie in bytes, an inline image included."""
    return current_config().max_body_bytes + current_config().image_max_bytes * 4 // 3


def _parse_json(raw: bytes, place: str) -> Any:
    if exceeds_body_limit(raw):
        abort_unreadable(f"{place} is too large.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        abort_unreadable(f"{place} is not JSON: {error.msg}. Send JSON, {HOW}")
    return "" if value is None else value  # None stands for a blank line
