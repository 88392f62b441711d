"""Export: a collection as a file, a batch of rows at a time."""

import csv
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import orjson
from flask import Flask, current_app, g
from sqlalchemy import Row

from ..api.request_parser import JSON_OPTIONS
from ..images.ingest import absolutize_urls, public_base
from ..logs import log
from ..movies.pagination import FILTERS, fetch_page
from .csv_escape import COLUMNS, escape_cell

Rows = list[dict[str, Any]]
# Like GET /movies: one statement for each batch, along the index
NEWEST_FIRST: dict[str, Any] = {
    "sort": (("createdAt", True),),
    "page": 1,
    "limit": 1000,
    **dict.fromkeys(FILTERS),
}


def stream_export(owner: Row[Any], file_format: str) -> Iterator[bytes]:
    """Return the bytes of the file; read the first batch now, so that errors get a response.

    The others are read while the response is produced, and no database connection is in use in
    between. An error then propagates: the server closes the connection of the unfinished response.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    first, last = fetch_page(owner, NEWEST_FIRST, None)
    batches = _batches(app, owner, public_base(), first, last)
    return _log_failures(FORMATS[file_format][1](batches), g.request_id)


def _batches(
    app: Flask, owner: Row[Any], base: str, rows: Rows, last: list[Any] | None
) -> Iterator[Rows]:
    while True:
        absolutize_urls(rows, base)
        yield rows
        if last is None:
            return
        with app.app_context():  # the request's own context has ended
            rows, last = fetch_page(owner, NEWEST_FIRST, last)


def _log_failures(parts: Iterator[bytes], request_id: str) -> Iterator[bytes]:
    try:
        yield from parts
    except Exception as error:
        about = {"requestId": request_id, "error": type(error).__name__}
        log.error("export aborted", extra={"fields": about})
        raise


def _json_chunks(batches: Iterator[Rows]) -> Iterator[bytes]:
    separator = b"[\n"
    for rows in batches:
        if rows:
            lines = (orjson.dumps(row, option=JSON_OPTIONS) for row in rows)
            yield separator + b",\n".join(lines)
            separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def _ndjson_chunks(batches: Iterator[Rows]) -> Iterator[bytes]:
    option = JSON_OPTIONS | orjson.OPT_APPEND_NEWLINE
    for rows in batches:
        yield b"".join(orjson.dumps(row, option=option) for row in rows)


def _csv_chunks(batches: Iterator[Rows]) -> Iterator[bytes]:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for rows in batches:
        writer.writerows([_cell_value(row[name]) for name in COLUMNS] for row in rows)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _cell_value(value: Any) -> Any:
    if isinstance(value, str):
        return escape_cell(value)
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


FORMATS: dict[str, tuple[str, Callable[[Iterator[Rows]], Iterator[bytes]]]] = {
    "json": ("application/json", _json_chunks),
    "csv": ("text/csv; charset=utf-8", _csv_chunks),
    "ndjson": ("application/x-ndjson", _ndjson_chunks),
}
