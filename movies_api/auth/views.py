"""Signup, login, refresh, logout."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app, g, request
from flask.wrappers import Response
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from ..api import Blueprint, runs_in
from ..config import settings
from ..db import db, now
from ..errors import refuse
from ..logs import audit
from . import schemas
from .devices import device_from_header
from .guard import caller_from_token, check_origin, get_caller, public, refuse_scripts
from .limits import give_back, spend
from .models import add_user, hold_password, user_answer, user_from_email
from .passwords import hash_password, is_password
from .rotation import rotate_session, session_from_secret
from .sessions import add_session, end_sessions
from .tokens import access_token, read_refresh_token, refresh_token

COOKIE = "refreshToken"
WRONG = "Wrong email or password."
SETS_COOKIE = {
    "Set-Cookie": {
        "schema": {"type": "string"},
        "description": "refreshToken, HttpOnly, Path=/auth",
    }
}

bp = Blueprint("auth", __name__, description="Accounts and sessions")


@bp.post("/auth/signup")
@runs_in("passwords")
@public
@bp.arguments(schemas.Signup)
@bp.response(201, schemas.Grant, headers=SETS_COOKIE)
@bp.alt_response(403, response="FOREIGN_ORIGIN")
@bp.alt_response(409, response="CONFLICT")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def sign_up(fields: dict[str, Any]) -> Response:
    """Create an account and log it in."""
    check_origin()
    spend("signup")
    if user_from_email(fields["email"]):
        refuse(409, "USER_EXISTS", "This email address has an account: log in instead.")
    password_hash = hash_password(fields["password"])
    try:
        user = add_user(fields["name"], fields["email"], password_hash)
    except IntegrityError:
        refuse(409, "USER_EXISTS", "This email address has an account: log in instead.")
    grant = add_session(user.id, device(), remember=False)
    db.session.commit()
    audit("signup", user.id)
    return _grant(201, user, *grant)


@bp.post("/auth/login")
@runs_in("passwords")
@public
@bp.arguments(schemas.Login)
@bp.response(200, schemas.Grant, headers=SETS_COOKIE)
@bp.alt_response(401, response="WRONG_CREDENTIALS")
@bp.alt_response(403, response="FOREIGN_ORIGIN")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def log_in(fields: dict[str, Any]) -> Response:
    """Start a session."""
    check_origin()
    spend("login", fields["email"])
    user = user_from_email(fields["email"])
    if not is_password(fields["password"], user and user.password_hash) or user is None:
        audit("login_failed", user and user.id)
        refuse(401, "INVALID_CREDENTIALS", WRONG)
    if not hold_password(user, fields["password"]):
        # changed or gone while we checked: a session must not outlive that
        audit("login_failed", user.id)
        refuse(401, "INVALID_CREDENTIALS", WRONG)
    grant = add_session(user.id, device(), fields["remember"])
    db.session.commit()
    give_back("login", fields["email"])
    audit("login", user.id)
    return _grant(200, user, *grant)


@bp.post("/auth/refresh")
@public
@bp.response(200, schemas.Grant, headers=SETS_COOKIE)
@bp.alt_response(401, response="NO_SESSION")
@bp.alt_response(403, response="FOREIGN_ORIGIN")
@bp.doc(
    security=[{"refreshCookie": []}],
    description="There is no body. For 30 seconds the cookie before counts too and gets the same "
    "successor, so that two tabs may refresh at once; after that it ends the session.",
)
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def refresh() -> Response:
    """Trade the refresh cookie for a new access token and the next cookie."""
    check_origin()
    if (cookie := request.cookies.get(COOKIE)) is None:
        refuse(401, "MISSING_TOKEN", "There is no refresh cookie: log in.")
    named = read_refresh_token(cookie)
    spend("refresh", named and named[0].hex)
    rotated = named and rotate_session(*named)
    db.session.commit()
    if named is None or rotated is None:
        # The cookie stays: another tab may have put a newer one in its place by now
        refuse(401, "INVALID_TOKEN", "This refresh cookie does not count (any more): log in again.")
    user, secret, until = rotated
    return _grant(200, user, named[0], secret, until)


@bp.post("/auth/logout")
@public
@bp.arguments(schemas.LogoutQuery, location="query")
@bp.response(204, headers=SETS_COOKIE)
@bp.alt_response(401, response="UNAUTHORIZED")
@bp.alt_response(403, response="FOREIGN_ORIGIN")
@bp.doc(
    security=[{"accessToken": []}, {"refreshCookie": []}],
    description="Either will do: the access token, also an old one, or the refresh cookie.",
)
def log_out(query: dict[str, Any]) -> Response:
    """End this session, the others, or all of them."""
    check_origin()
    caller = caller_from_token()
    other = _session_of_cookie(caller)
    session = caller or other or get_caller()
    if query["scope"] != "this":
        refuse_scripts(session)
    _end(session, query["scope"])
    response = current_app.response_class(status=204)
    if query["scope"] != "others":
        if caller and other:
            _end(other, "this")  # or nobody could: its cookie is gone
        response.delete_cookie(COOKIE, **_cookie_attributes())
    return response


def _session_of_cookie(caller: Row[Any] | None) -> Row[Any] | None:
    """Return the session that the refresh cookie opens, if it is another than the caller's."""
    named = read_refresh_token(request.cookies.get(COOKIE, ""))
    if named is None or (caller and named[0] == caller.session_id):
        return None
    session = session_from_secret(*named)
    db.session.commit()  # a stolen cookie has ended its session, whatever follows
    return session


def _end(session: Row[Any], scope: str) -> None:
    end_sessions(session.id, session.session_id, scope)
    db.session.commit()
    audit("logout", session.id, scope=scope)


def _grant(status: int, user: Row[Any], session: UUID, secret: str, until: datetime) -> Response:
    """Return user and access token, and hand over the refresh cookie."""
    g.caller = user
    body = {"user": user_answer(user), "accessToken": access_token(session)}
    response = current_app.make_response(body)
    response.status_code = status
    response.set_cookie(
        COOKIE,
        refresh_token(session, secret),
        max_age=round((until - now()).total_seconds()),
        **_cookie_attributes(),
    )
    return response


def device() -> str:
    """Return what the caller's session is recognised by."""
    return device_from_header(request.headers.get("User-Agent", ""))


def _cookie_attributes() -> dict[str, Any]:
    samesite = settings().cookie_samesite
    return {
        "path": "/auth",
        "httponly": True,
        "secure": request.is_secure or samesite == "None",
        "samesite": samesite,
    }
