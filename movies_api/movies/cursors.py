"""Cursors: signed positions in a list; the signature detects modified ones."""

from datetime import date, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson
from itsdangerous import BadData
from itsdangerous.encoding import base64_decode, base64_encode

from ..config import current_config
from ..signers import cursor_signer, reject_noncanonical
from .pagination import FILTERS


def cursor_from_position(query: dict[str, Any], position: list[Any]) -> str:
    """Return a cursor for the rows after a position in the list of a query."""
    value = base64_encode(orjson.dumps([_list_hash(_list_of(query)), position]))
    return cursor_signer(current_config().secret_keys).sign(value).decode()


def position_from_cursor(query: dict[str, Any], cursor: str) -> list[Any] | None:
    """Return the position, or None if the cursor is invalid or for another sort or filter."""
    try:
        value = base64_decode(
            cursor_signer(current_config().secret_keys).unsign(reject_noncanonical(cursor))
        )
    except (BadData, UnicodeEncodeError):
        return None
    list_hash, position = orjson.loads(value)
    if list_hash != _list_hash(_list_of(query)):
        return None
    for number, (name, _) in enumerate(query["sort"]):
        if name.endswith("At"):
            position[number] = datetime.fromisoformat(position[number])
        elif name.endswith("On"):
            position[number] = date.fromisoformat(position[number])
    return list(position)


def _list_of(query: dict[str, Any]) -> tuple[Any, ...]:
    return tuple([query[name] for name in ("sort", *FILTERS)])


@lru_cache(maxsize=256)
def _list_hash(values: tuple[Any, ...]) -> str:
    return sha256(orjson.dumps(values)).hexdigest()[:16]
