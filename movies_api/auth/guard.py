"""The guard: who is calling is decided here, once, before any view."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import current_app, g, request
from sqlalchemy import Row

from ..config import settings
from ..db import now
from ..errors import refuse
from .sessions import caller_of, caller_of_script
from .tokens import ACCESS_LIFETIME, read_access_token, read_script_token

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Open a view to callers without a session; everything else is closed."""
    about = {**getattr(view, "_apidoc", {}), "public": True}
    view._apidoc = about  # type: ignore[attr-defined]
    return view


def is_public(endpoint: str) -> bool:
    """Tell whether the endpoint's view is open to all."""
    return "public" in getattr(current_app.view_functions[endpoint], "_apidoc", {})


def check_caller() -> None:
    """Let a request pass to a public view, or with a token whose session is alive."""
    # no endpoint: the 404 or 405 follows. OPTIONS: browsers send no token with a preflight
    if request.endpoint is None or request.method == "OPTIONS" or is_public(request.endpoint):
        return
    g.caller = get_caller()


def get_caller() -> Row[Any]:
    """Return the user the bearer token stands for, with session_id and kind, or abort with 401."""
    if not (token := _bearer_token()):
        refuse(401, "MISSING_TOKEN", "Send the access token: `Authorization: Bearer <token>`.")
    caller, signed_at = _caller_and_time(token)
    if caller is None:
        refuse(401, "INVALID_TOKEN", "This token does not count (any more): log in again.")
    if signed_at is not None and now() - signed_at > ACCESS_LIFETIME:
        refuse(401, "TOKEN_EXPIRED", "The access token is too old: refresh and retry.")
    return caller


def caller_from_token() -> Row[Any] | None:
    """Return the user the bearer token stands for, also when the token is old, or None."""
    return _caller_and_time(_bearer_token())[0]


def refuse_scripts(caller: Row[Any]) -> None:
    """Refuse a script token what only a person may do: a leaked one must not take the account."""
    if caller.kind == "token":
        refuse(403, message="A token for scripts may not do this: log in.")


def _caller_and_time(token: str) -> tuple[Row[Any] | None, datetime | None]:
    """Return who the token stands for and, if it is one that ages, when it was signed."""
    if script := read_script_token(token):
        return caller_of_script(*script), None
    if access := read_access_token(token):
        return caller_of(access[0]), access[1]
    return None, None


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_origin() -> None:
    """Refuse a browser's request for the cookie that does not come from a page of ours."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site == "same-origin" or (origin is None and site in {None, "none"}):
        return
    own = urlsplit(request.host_url)
    if origin not in {*settings().cors_origins, f"{own.scheme}://{own.netloc}"}:
        refuse(403, message="This origin is not allowed here: the service lists it in CORS_ORIGIN.")
