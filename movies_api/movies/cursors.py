"""Cursors: a position in an order, signed, so that an altered one is told from a real one."""

from datetime import datetime
from typing import Any

import orjson
from itsdangerous import BadData
from itsdangerous.encoding import base64_decode, base64_encode

from ..config import current_config
from ..signers import cursor_signer, reject_noncanonical
from .pagination import Sort


def cursor_from_position(sort: Sort, position: list[Any]) -> str:
    """Return a cursor for the rows behind a position."""
    value = base64_encode(orjson.dumps([sort, position]))
    return cursor_signer(current_config().secret_keys).sign(value).decode()


def position_from_cursor(sort: Sort, cursor: str) -> list[Any] | None:
    """Return the position, or None when the cursor is not ours or belongs to another order."""
    try:
        value = base64_decode(
            cursor_signer(current_config().secret_keys).unsign(reject_noncanonical(cursor))
        )
    except (BadData, UnicodeEncodeError):
        return None
    made_for, position = orjson.loads(value)
    if made_for != [list(key) for key in sort]:
        return None
    for number, (name, _) in enumerate(sort):
        if name.endswith("At"):
            position[number] = datetime.fromisoformat(position[number])
    return list(position)
