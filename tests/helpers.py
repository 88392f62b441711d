"""Constants and helpers that many tests share."""

from __future__ import annotations

from typing import Any

from .client import PASSWORD

ANN = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}

NEW_PASSWORD = "an even better battery"

ALIEN = {"title": "Alien", "year": "1979", "imageUrl": "https://example.com/alien.jpg"}

FORMATS = ["json", "csv", "ndjson"]


def titles(client: Any) -> list[str]:
    """List the titles of the client's movies, newest first."""
    return [movie["title"] for movie in client.get("/movies/export").json]


def log_in(client, password):
    """Return the status of a login as Alice."""
    body = {"email": "alice@example.com", "password": password}
    return client.post("/auth/login", json=body).status_code
