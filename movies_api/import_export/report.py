"""Report: the outcome of each row, and rejected rows unchanged."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from .reader import ParsedFile, Part
from .text_encoding import DAMAGED

ACTIONS = ("added", "skipped", "rejected")
BATCH = 1000
MAX_REJECTED = 1000  # rows that are returned
MAX_REJECTED_BYTES = 16 << 20  # bytes in the response; JSON takes 6 for a control character


def build_report(parsed: ParsedFile, on_duplicate: str, *, is_dry: bool) -> dict[str, Any]:
    """Return the response to an import."""
    counts = Counter(row.action for row in parsed.rows)
    actions = ACTIONS if on_duplicate != "update" else (*ACTIONS, "updated")
    shown = _rejected_rows(parsed)
    report = {
        "format": parsed.parts[0].format,
        "encoding": ", ".join(sorted({part.encoding for part in parsed.parts})),
        "dryRun": is_dry,
        "counts": {action: counts[action] for action in actions},
        "rows": orjson.Fragment(b"[" + b",".join(_entries(parsed)) + b"]"),
        "ignoredColumns": list(parsed.ignored_columns),
        "rejected": _as_files(parsed, shown) if counts["rejected"] else None,
        "rejectedOmitted": counts["rejected"] - len(shown),
    }
    return report | ({"ignoredFiles": parsed.ignored_files} if parsed.is_archive else {})


def _entries(parsed: ParsedFile) -> Iterator[bytes]:
    """Yield the entries as JSON in batches: as objects they would take more memory."""
    for start in range(0, len(parsed.rows), BATCH):
        entries = [
            {
                **({"file": row.part.name} if parsed.is_bundle else {}),
                "line": row.line,
                "action": row.action,
                "reason": row.reason,
            }
            for row in parsed.rows[start : start + BATCH]
        ]
        yield orjson.dumps(entries)[1:-1]


def _rejected_rows(parsed: ParsedFile) -> list[tuple[Part, bytes]]:
    """Return the first rejected rows as JSON: objects, or lines of CSV."""
    shown, size = [], 0
    rejected = (row for row in parsed.rows if row.action == "rejected")
    for row in islice(rejected, MAX_REJECTED):
        row.part.file.seek(row.start)
        raw = row.part.file.read(row.end - row.start)
        text = raw.decode().rstrip("\r\n").replace(DAMAGED, "\ufffd")
        is_json = row.part.header_row is None
        shown.append((row.part, raw.strip() if is_json else _as_text(text)))
        size += len(shown[-1][1])
        if size > MAX_REJECTED_BYTES:
            return shown[:-1]
    return shown


def _as_files(parsed: ParsedFile, shown: list[tuple[Part, bytes]]) -> Any:
    """Return rows as one file per part of an archive, otherwise as one file."""
    if not parsed.is_archive:
        return _as_file(parsed.parts[0].header_row, [row for _, row in shown])
    files: dict[str, tuple[str | None, list[bytes]]] = {}
    for part, row in shown:
        files.setdefault(part.name, (part.header_row, []))[1].append(row)
    return {name: _as_file(*file) for name, file in files.items()}


def _as_file(header_row: str | None, rows: list[bytes]) -> orjson.Fragment:
    """Return rows as a JSON list; CSV rows as one string that starts with the header row."""
    if header_row is None:
        return orjson.Fragment(b"[" + b",".join(rows) + b"]")
    names = header_row.rstrip("\r\n")
    end = _as_text(header_row[len(names) :] or "\n")
    return orjson.Fragment(b'"' + end.join([_as_text(names), *rows, b""]) + b'"')


def _as_text(text: str) -> bytes:
    """Return the text as the inside of a JSON string."""
    return orjson.dumps(text)[1:-1]
