"""Collections too large to be added one by one, and ways to send files."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from movies_api.models import movies

NASTY = [
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
    """Give the owner so many movies, Movie 1 the oldest of them."""
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


def import_file(person: Any, file: bytes | str, query: str = "", **options: Any) -> Any:
    """Send a file to be imported, as the raw body."""
    data = file.encode() if isinstance(file, str) else file
    return person.post(f"/movies/import{query}", data=data, **options)


def form_file(name: str, data: bytes, field: str = "file") -> dict[str, Any]:
    """Return the form that a page sends with a file in it."""
    return {"data": {field: (BytesIO(data), name)}, "content_type": "multipart/form-data"}
