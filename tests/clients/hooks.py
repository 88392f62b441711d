"""Schemathesis: log in, and make valid requests follow the rules that schemas do not express."""

from __future__ import annotations

import os
import re
from typing import Any
from uuid import uuid4

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData

from ..document import Document, pointer_of

URL = os.environ["API_URL"]
PASSWORD = "correct horse battery"
# They end sessions, or change the account
CHANGING = {"/me", "/me/password", "/auth/logout", "/auth/sessions/{session_id}"}
# Valid values of fields with rules that only their descriptions give
VALID: dict[str, Any] = {
    "password": PASSWORD,
    "currentPassword": PASSWORD,
    "newPassword": PASSWORD,
    "imageUrl": "https://example.com/alien.jpg",
    "watchedOn": "2024-05-31",
    "language": "pt-BR",
}


ANN = {"name": "Ann Example", "email": "ann@example.com", "password": PASSWORD}
# Responses have them, and requests may send them back, with any value
READ_ONLY = {"id", "ownerId", "role", "createdAt", "updatedAt", "usage"}
document = Document(requests.get(f"{URL}/openapi.json", timeout=60).json())


@schemathesis.auth(refresh_interval=None)
class Login:
    """A new login per request: of the same user, or of a new one if the request may change it."""

    def __init__(self) -> None:
        """Sign up the user."""
        requests.post(f"{URL}/auth/signup", json=ANN, timeout=60)

    def get(self, case: Any, _context: Any) -> str:
        """Return an access token."""
        if case.path in CHANGING and case.method != "GET":
            user = {**ANN, "email": f"{uuid4().hex}@example.com"}
            response = requests.post(f"{URL}/auth/signup", json=user, timeout=60)
        else:
            login = {"email": ANN["email"], "password": PASSWORD}
            response = requests.post(f"{URL}/auth/login", json=login, timeout=60)
        token: str = response.json()["accessToken"]
        return token

    def set(self, case: Any, token: str, _context: Any) -> None:
        """Send the token."""
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Replace values in a valid request."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if case.query:
        case.query.pop("cursor", None)  # only from a response
        if case.query.get("sort") == "relevance":  # only with a search
            case.query["search"] = "alien"
        elif isinstance(case.query.get("sort"), str):  # each key once
            keys = case.query["sort"].split(",")
            case.query["sort"] = ",".join({key.lstrip("-"): key for key in keys}.values())
        if "search" in case.query:
            case.query["search"] = visible(case.query["search"])[:16]
    if isinstance(case.body, dict):
        case.body = valid(case.body)
        if case.path == "/me" and "email" in case.body:
            case.body["currentPassword"] = PASSWORD
        if case.path == "/auth/login":
            case.body["email"] = ANN["email"]


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, _response: Any) -> bool:
    """Ignore that a request is accepted if only a read-only field is invalid, or "" means null.

    The descriptions say so; in the schemas, generated clients would lose the types.
    """
    if not isinstance(failure, AcceptedNegativeData) or not isinstance(case.body, dict):
        return True
    pointer = f"#/paths/{pointer_of(case.path)}/{case.method.lower()}/requestBody/content/application~1json/schema"
    values = {
        name: None if value == "" else value
        for name, value in case.body.items()
        if name not in READ_ONLY
    }
    return not document.validator(pointer).is_valid(values)


def valid(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with valid values; texts have visible characters only."""
    values = dict(body)
    for name, value in body.items():
        if isinstance(value, dict):
            values[name] = valid(value)
        elif name == "email" and isinstance(value, str):
            values[name] = f"{uuid4().hex}@example.com"
        elif name in VALID and isinstance(value, str):
            values[name] = VALID[name]
        elif isinstance(value, str) and name in {"name", "title", "notes"}:
            values[name] = visible(value)
    return values


def visible(text: str) -> str:
    """Return a text of the same length without control characters and whitespace."""
    return re.sub(r"[^!-~\xc0-\xff]", "x", text)
