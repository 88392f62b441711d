"""Schemathesis: log in, and make valid requests follow the rules that schemas do not express."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import (
    AuthScenario,
    EnsureResourceAvailability,
    IgnoredAuth,
    RejectedPositiveData,
)

from ..document import Document, pointer_of
from .fuzz import ANN

URL = os.environ["API_URL"]
PASSWORD = ANN["password"]
# They end sessions, or change the account
CHANGING = {"/me", "/me/password", "/auth/logout", "/auth/sessions/{session_id}"}
# The field of which no schema can describe the valid values: a token from an email, or a file
OPAQUE = {
    "/auth/password-reset/confirm": "token",
    "/auth/email-revert": "token",
    "/movies/import": "file",
}
deleted: set[int] = set()


def lenient(node: Any) -> Any:
    """Return a copy of a schema that accepts what descriptions say beside it.

    Read-only keys are ignored whatever their value, and "" means null. Schemas that said so would
    cost generated clients the types.
    """
    if isinstance(node, list):
        return [lenient(each) for each in node]
    if not isinstance(node, dict):
        return node
    description = str(node.get("description"))
    if description.startswith("Read-only;"):
        return {}
    copy = {key: lenient(value) for key, value in node.items()}
    return {"anyOf": [copy, {"const": ""}]} if "empty string means null" in description else copy


document = Document(lenient(requests.get(f"{URL}/openapi.json", timeout=60).json()))


@schemathesis.auth(refresh_interval=None)
class Login:
    """A new login per request: of the same user, or of a new one if the request may change it."""

    def get(self, case: Any, _context: Any) -> requests.Response:
        """Return the response of the login."""
        if case.path in CHANGING and case.method != "GET":
            user = {**ANN, "email": f"{uuid4().hex}@example.com"}
            return requests.post(f"{URL}/auth/signup", json=user, timeout=60)
        login = {"email": ANN["email"], "password": PASSWORD}
        return requests.post(f"{URL}/auth/login", json=login, timeout=60)

    def set(self, case: Any, login: requests.Response, _context: Any) -> None:
        """Send the refresh cookie or the access token."""
        if case.path == "/auth/refresh":
            case.cookies["refreshToken"] = login.cookies["refreshToken"]
        else:
            case.headers["Authorization"] = f"Bearer {login.json()['accessToken']}"


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
            case.query["search"] = visible(case.query["search"])[:16]  # at most 16 words
    if isinstance(case.body, dict):
        password = case.body.get("password")
        case.body = valid(case.body)
        if case.path == "/auth/signup":
            case.body["password"] = uncommon(password)
        if case.path == "/me" and "email" in case.body:
            case.body["currentPassword"] = PASSWORD
        if case.path == "/auth/login":
            case.body["email"] = ANN["email"]


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Note the movies that a request deletes."""
    if case.method == "DELETE" and case.path.startswith("/movies") and response.status_code == 204:
        target = response.request.url.partition("/movies")[2]
        deleted.update(map(int, re.findall("[0-9]+", unquote(target))))


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop a failure if the response is right by a rule that only descriptions give."""
    if isinstance(failure, RejectedPositiveData) and case.path in OPAQUE:
        fields = response.json()["error"].get("fields", [])
        return {each["field"] for each in fields} != {OPAQUE[case.path]}
    if isinstance(failure, EnsureResourceAvailability) and case.path == "/movies":
        # Schemathesis does not see that DELETE /movies/1 deletes the movie of DELETE /movies?ids=1
        return not deleted.issuperset(response.json()["error"]["details"]["ids"])
    if isinstance(failure, IgnoredAuth) and case.path == "/auth/logout":
        # It clears any cookie, also one of a session that has ended; a token must be valid
        forged = {"Authorization": "Bearer forged"}
        rejected = requests.post(f"{URL}/auth/logout", headers=forged, timeout=60).status_code
        return failure.scenario is AuthScenario.NO_AUTH or rejected != 401
    if isinstance(failure, AcceptedNegativeData) and isinstance(case.body, dict):
        operation = f"#/paths/{pointer_of(case.path)}/{case.method.lower()}"
        pointer = f"{operation}/requestBody/content/application~1json/schema"
        return not document.validator(pointer).is_valid(case.body)
    return True


def valid(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body in which values follow the rules that only descriptions give."""
    values = dict(body)
    for name, value in body.items():
        if isinstance(value, dict):
            values[name] = valid(value)
        elif not value or not isinstance(value, str):
            continue
        elif name == "email":  # mail must reach it, and it must be free
            values[name] = f"{uuid4().hex}@example.com"
        elif name == "newPassword":
            values[name] = uncommon(value)
        elif name in {"password", "currentPassword"}:
            values[name] = PASSWORD
        elif name == "imageUrl":
            values[name] = f"https://example.com/{quote(value)}"[:2000]
        elif name == "watchedOn":  # not 0001-01-01, and not in the future
            values[name] = min(max(value, "0001-01-02"), "2024-05-31")
        elif name == "language":
            values[name] = "pt-BR"
        elif name in {"name", "title", "notes"}:
            values[name] = visible(value)
    return values


def uncommon(password: Any) -> str:
    """Return a password that starts with this one and is not a common one."""
    return password[:96] + uuid4().hex


def visible(text: str) -> str:
    """Return a text of the same length without whitespace and characters that are not printable."""
    return "".join(each if each.isprintable() and each != " " else "x" for each in text)
