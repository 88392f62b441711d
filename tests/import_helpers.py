"""Helpers that create large collections and import files."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from movies_api.models import movies

TRICKY = [
    "=1+1",
    "'=1+1",
    "''=1+1",
    "+1",
    "-273",
    "@home",
    "'t Is goed",
    "'",
    "''",
    'Say "Hello", World',
    '"',
    "a;b,c",
    "\\N",
    "NULL",
    "Amélie",
    "千と千尋の神隠し",
    "がぎ",
    "🎬👩‍👩‍👧‍👦",
    "\ufeffbom",
    "x" * 255,
    "<b>{{7*7}}</b>",
    "007",
]


def fill(database: Any, owner: str, count: int, image_url: str | None = None) -> None:
    """Insert `count` movies of the owner; Movie 1 is the oldest."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {
            "owner_id": UUID(owner),
            "title": f"Movie {number}",
            "year": str(1900 + number % 120),
            "image_url": image_url,
            "search_key": f"movie {number}\nmovie{number}",
            "title_key": f"movie {number}",
            "created_at": at,
            "updated_at": at,
        }
        for number in range(1, count + 1)
    ]
    database.execute(insert(movies), rows)


def import_file(client: Any, file: bytes | str, query: str = "", **options: Any) -> Any:
    """Import a file, sent as the raw body."""
    data = file.encode() if isinstance(file, str) else file
    return client.post(f"/movies/import{query}", data=data, **options)


def form_file(name: str, data: bytes, field: str = "file") -> dict[str, Any]:
    """Return the options of a multipart request with a file."""
    return {"data": {field: (BytesIO(data), name)}, "content_type": "multipart/form-data"}
