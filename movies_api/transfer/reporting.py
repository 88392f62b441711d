"""Reporting: what became of each row, and the rejected ones as they came."""

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import orjson

from .rows import Reading, Row

ACTIONS = ("added", "skipped", "rejected")
BATCH = 1000


def report_of(reading: Reading, file: IO[bytes], *, is_dry: bool) -> dict[str, Any]:
    """Return the answer to an import."""
    counts = Counter(row.action for row in reading.rows)
    return {
        "format": reading.source.name,
        "dryRun": is_dry,
        "counts": {action: counts[action] for action in ACTIONS},
        "rows": orjson.Fragment(b"[" + b",".join(_entries(reading.rows)) + b"]"),
        "rejected": _rejected(reading, file) if counts["rejected"] else None,
    }


def _entries(rows: list[Row]) -> Iterator[bytes]:
    """Give the entries as JSON, many at a time: all of them as objects would take more memory."""
    for start in range(0, len(rows), BATCH):
        entries = [
            {"line": row.line, "action": row.action, "reason": row.reason}
            for row in rows[start : start + BATCH]
        ]
        yield orjson.dumps(entries)[1:-1]


def _rejected(reading: Reading, file: IO[bytes]) -> Any:
    """Return the header and the rejected rows of a table as text, the objects of JSON as a list."""
    raw = [_raw(row, file) for row in reading.rows if row.action == "rejected"]
    if reading.head is None:
        return [orjson.Fragment(each.strip()) for each in raw]
    head = reading.head.rstrip("\r\n")
    end = reading.head[len(head) :] or "\n"
    return end.join([head, *(each.decode().rstrip("\r\n") for each in raw), ""])


def _raw(row: Row, file: IO[bytes]) -> bytes:
    file.seek(row.start)
    return file.read(row.end - row.start)
