"""Cursors: signed positions in a sort order; the signature detects altered ones."""

from datetime import date, datetime
from typing import Any

import orjson
from itsdangerous import BadData
from itsdangerous.encoding import base64_decode, base64_encode

from ..config import current_config
from ..signers import cursor_signer, reject_noncanonical
from .pagination import Sort


def cursor_from_position(sort: Sort, position: list[Any]) -> str:
    """Return a cursor for the rows after a position."""
    value = base64_encode(orjson.dumps([sort, position]))
    return cursor_signer(current_config().secret_keys).sign(value).decode()


def position_from_cursor(sort: Sort, cursor: str) -> list[Any] | None:
    """Return the position, or None if the cursor is invalid or has another sort order."""
    try:
        value = base64_decode(
            cursor_signer(current_config().secret_keys).unsign(reject_noncanonical(cursor))
        )
    except (BadData, UnicodeEncodeError):
        return None
    cursor_sort, position = orjson.loads(value)
    if cursor_sort != [list(key) for key in sort]:
        return None
    for number, (name, _) in enumerate(sort):
        if name.endswith("At"):
            position[number] = datetime.fromisoformat(position[number])
        elif name.endswith("On"):
            position[number] = date.fromisoformat(position[number])
    return list(position)
