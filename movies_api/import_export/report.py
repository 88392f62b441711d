"""Report: the outcome of each row, and rejected rows unchanged."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import orjson

from .reader import ImportRow, ParsedFile

ACTIONS = ("added", "skipped", "rejected")
BATCH = 1000
MAX_REJECTED = 1000  # rows that are returned
MAX_REJECTED_BYTES = 16 << 20  # bytes in the response; JSON takes 6 for a control character


def build_report(parsed: ParsedFile, file: IO[bytes], *, is_dry: bool) -> dict[str, Any]:
    """Return the response to an import."""
    counts = Counter(row.action for row in parsed.rows)
    shown = _rejected_rows(parsed, file)
    return {
        "format": parsed.source.name,
        "dryRun": is_dry,
        "counts": {action: counts[action] for action in ACTIONS},
        "rows": orjson.Fragment(b"[" + b",".join(_entries(parsed.rows)) + b"]"),
        "rejected": _as_file(parsed, shown) if counts["rejected"] else None,
        "rejectedOmitted": counts["rejected"] - len(shown),
    }


def _entries(rows: list[ImportRow]) -> Iterator[bytes]:
    """Yield the entries as JSON in batches: as objects they would take more memory."""
    for start in range(0, len(rows), BATCH):
        entries = [
            {"line": row.line, "action": row.action, "reason": row.reason}
            for row in rows[start : start + BATCH]
        ]
        yield orjson.dumps(entries)[1:-1]


def _rejected_rows(parsed: ParsedFile, file: IO[bytes]) -> list[bytes]:
    """Return the first rejected rows as JSON: objects, or lines of CSV."""
    shown, size = [], 0
    rejected = (row for row in parsed.rows if row.action == "rejected")
    for row in islice(rejected, MAX_REJECTED):
        file.seek(row.start)
        raw = file.read(row.end - row.start)
        shown.append(raw.strip() if parsed.head is None else _as_text(raw.decode().rstrip("\r\n")))
        size += len(shown[-1])
        if size > MAX_REJECTED_BYTES:
            return shown[:-1]
    return shown


def _as_file(parsed: ParsedFile, rows: list[bytes]) -> orjson.Fragment:
    """Return rows as a JSON list; CSV rows as one string that starts with the header row."""
    if parsed.head is None:
        return orjson.Fragment(b"[" + b",".join(rows) + b"]")
    head = parsed.head.rstrip("\r\n")
    end = _as_text(parsed.head[len(head) :] or "\n")
    return orjson.Fragment(b'"' + end.join([_as_text(head), *rows, b""]) + b'"')


def _as_text(text: str) -> bytes:
    """Return the text as the inside of a JSON string."""
    return orjson.dumps(text)[1:-1]
