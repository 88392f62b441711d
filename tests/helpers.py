"""Constants and functions that many tests share."""

from __future__ import annotations

from typing import Any

from .client import PASSWORD

ANN = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}

NEW = "an even better battery"

ALIEN = {"title": "Alien", "year": "1979", "imageUrl": "https://example.com/alien.jpg"}

FORMATS = ["json", "csv", "ndjson"]


def titles(person: Any) -> list[str]:
    """List the titles of somebody's movies, newest first."""
    return [movie["title"] for movie in person.get("/movies/export").json]


def log_in(client, password):
    """Return the status of a login as Alice."""
    body = {"email": "alice@example.com", "password": password}
    return client.post("/auth/login", json=body).status_code
