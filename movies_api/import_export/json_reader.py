"""JSON reader: an array by elements, or an object per line.

Elements are parsed one by one: in memory JSON takes 30 times its size.
"""

import mmap
import re
from collections.abc import Iterator
from typing import IO, Any

import orjson

from ..api.request_parser import exceeds_body_limit
from ..config import current_config
from .formats import Record
from .request_file import abort_unreadable

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# A flat object, a string, or punctuation; an unclosed quote is a token of its own
TOKEN = re.compile(rb'\{[^]["{}]*+(?:%b[^]["{}]*+)*+\}|%b|[]["{},]' % (STRING, STRING), re.DOTALL)
MAX_TOKENS = 10_000  # of one element
HOW = "such as [{...}, {...}], or one {...} in each line."


def iter_json_array(file: IO[bytes]) -> Iterator[Record]:
    """Yield the elements of a JSON array."""
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    number, depth, tokens, start = 1, 1, 0, data.find(b"[") + 1
    longest = _max_element_bytes()
    for token in TOKEN.finditer(data, start):
        text, tokens = token[0], tokens + 1
        if tokens > MAX_TOKENS or token.end() - start > longest:
            abort_unreadable(f"Element {number} is too large.")
        if text == b'"':
            abort_unreadable(f"Element {number} is not JSON: a quote is not closed.")
        if len(text) > 1:
            continue
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(text, 0)
        if depth > 1 or (depth == 1 and text != b","):
            continue
        raw, is_end = data[start : token.start()], text == b"]"
        if not (is_end and number == 1 and not raw.strip()):
            yield Record(number, start, token.start(), _parse_json(raw, f"Element {number}"))
        if depth == 0:
            if not is_end or data[token.end() :].strip():
                abort_unreadable(f"After element {number} the array does not end. Send JSON, {HOW}")
            return
        number, tokens, start = number + 1, 0, token.end()
    abort_unreadable(f"The array is not closed: element {number} is cut off.")


def iter_ndjson(file: IO[bytes]) -> Iterator[Record]:
    """Yield the JSON value of each line."""
    number, start, longest = 0, 0, _max_element_bytes()
    while raw := file.readline(longest + 1):
        number += 1
        if len(raw) > longest:
            abort_unreadable(f"Line {number} is too large.")
        value = _parse_json(raw, f"Line {number}") if raw.strip() else None
        yield Record(number, start, start + len(raw), value)
        start += len(raw)


def _max_element_bytes() -> int:
    """Return the maximum size of a movie in bytes, an inline image included."""
    return current_config().max_body_bytes + current_config().image_max_bytes * 4 // 3


def _parse_json(raw: bytes, place: str) -> Any:
    if exceeds_body_limit(raw):
        abort_unreadable(f"{place} is too large.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        abort_unreadable(f"{place} is not JSON: {error.msg}. Send JSON {HOW}")
    return "" if value is None else value  # None stands for a blank line
