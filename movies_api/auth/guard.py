"""The guard: authenticates the caller once, before any view."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import g, request
from sqlalchemy import Row

from ..api.blueprint import is_public, scopes_of
from ..api.errors import MISSING_TOKEN, TOKEN_EXPIRED, abort_with
from ..config import current_config, origin_pattern
from ..db import now
from ..signers import CLOCK_SKEW
from .sessions import find_api_token_caller, find_caller
from .tokens import ACCESS_LIFETIME, read_access_token, read_api_token


def require_auth() -> None:
    """Abort unless the view is public, or the token has a live session and a sufficient scope."""
    # Without an endpoint, a 404 or 405 follows; browsers send no token with a preflight request
    if request.endpoint is None or request.method == "OPTIONS" or is_public(request.endpoint):
        return
    g.caller = authenticate()
    if g.caller.kind == "token" and g.caller.scope not in (allowed := scopes_of(request.endpoint)):
        if not allowed:
            require_user_session(g.caller)
        names = " or ".join(allowed)
        abort_with(403, message=f"This requires a login or an API token with the scope {names}.")


def authenticate() -> Row[Any]:
    """Return the user of the bearer token, with session_id and kind, or abort with 401."""
    if not (token := _bearer_token()):
        abort_with(401, *MISSING_TOKEN)
    caller, signed_at = _caller_and_time(token)
    if caller is None:
        abort_with(401)
    if signed_at is not None and now() - signed_at > ACCESS_LIFETIME + CLOCK_SKEW:
        abort_with(401, *TOKEN_EXPIRED)
    return caller


def caller_or_none() -> Row[Any] | None:
    """Return the user of the bearer token, expired or not, or None."""
    return _caller_and_time(_bearer_token())[0]


def is_token_genuine() -> bool:
    """Return whether this service issued the bearer token, even if its session has ended."""
    token = _bearer_token()
    return bool(read_api_token(token) or read_access_token(token))


def require_user_session(caller: Row[Any]) -> None:
    """Abort for an API token: a leaked one must not take over the account."""
    if caller.kind == "token":
        abort_with(403, message="API tokens cannot do this. Please log in.")


def _caller_and_time(token: str) -> tuple[Row[Any] | None, datetime | None]:
    """Return the caller of the token and, for an access token, when it was signed."""
    if api_token := read_api_token(token):
        return find_api_token_caller(*api_token), None
    if access := read_access_token(token):
        return find_caller(access[0]), access[1]
    return None, None


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_origin() -> None:
    """Abort if a browser sends the cookie from an origin that is not allowed."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site == "same-origin" or (origin is None and site in {None, "none"}):
        return
    own = [urlsplit(url) for url in (request.host_url, current_config().public_url or "")]
    is_own = origin in [f"{url.scheme}://{url.netloc}" for url in own if url.netloc]
    if not is_own and not origin_pattern(current_config().cors_origins).match(origin or ""):
        abort_with(403, message="Requests from this origin are not allowed. Add it to CORS_ORIGIN.")
