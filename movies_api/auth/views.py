"""Signup, login, refresh, logout."""

from datetime import datetime
from typing import Any

from flask import current_app, g, request
from flask.wrappers import Response
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from ..api.blueprint import Blueprint, public, raises, response_header, runs_in
from ..api.errors import MISSING_TOKEN, WRONG_CREDENTIALS, abort_with
from ..config import current_config
from ..db import db, now
from ..logs import audit
from . import schemas
from .devices import parse_device
from .guard import (
    authenticate,
    caller_or_none,
    check_origin,
    is_token_genuine,
    require_user_session,
)
from .passwords import hash_password, verify_password
from .rate_limits import check_limit, count_attempt, hit
from .refresh import find_session, rotate_session
from .sessions import add_session, end_sessions
from .tokens import RefreshValue, access_token, read_refresh_token, refresh_token
from .users import (
    add_user,
    is_email_taken,
    recheck_password,
    user_from_email,
    user_to_dict,
)

COOKIE = "refreshToken"
SETS_COOKIE = response_header("Set-Cookie", "refreshToken, HttpOnly, Path=/auth")

bp = Blueprint("auth", __name__, description="Accounts and sessions")


@bp.post("/auth/signup")
@runs_in("passwords")
@public
@bp.arguments(schemas.SignupSchema)
@bp.response(201, schemas.TokenResponseSchema, headers=SETS_COOKIE)
@raises("ORIGIN_NOT_ALLOWED", "CONFLICT", "TOO_MANY_REQUESTS")
def sign_up(fields: dict[str, Any]) -> Response:
    """Create an account and log it in.

    Email addresses are not case-sensitive.
    """
    check_origin()
    hit("signup")
    if is_email_taken(fields["email"]):
        abort_with(409)
    password_hash = hash_password(fields["password"])
    try:
        user = add_user(fields["name"], fields["email"], password_hash)
    except IntegrityError:
        abort_with(409)
    grant = add_session(user.id, device_name(), remember=False)
    db.session.commit()
    audit("signup", user.id)
    return _token_response(201, user, *grant)


@bp.post("/auth/login")
@runs_in("passwords")
@public
@bp.arguments(schemas.LoginSchema)
@bp.response(200, schemas.TokenResponseSchema, headers=SETS_COOKIE)
@raises("INVALID_LOGIN", "ORIGIN_NOT_ALLOWED", "TOO_MANY_REQUESTS")
def log_in(fields: dict[str, Any]) -> Response:
    """Start a session.

    The response does not reveal whether the email or the password is wrong.
    """
    check_origin()
    user = user_from_email(fields["email"])
    # Includes the hash: a new password resets the count of failed attempts
    account = f"{user.id.hex} {user.password_hash}" if user else fields["email"]
    check_limit("login", account)
    is_correct = verify_password(fields["password"], user and user.password_hash)
    # Checked again: the password may have changed, or the user been deleted, meanwhile
    if user is None or not is_correct or not recheck_password(user, fields["password"]):
        count_attempt("login", account)
        audit("login_failed", user and user.id)
        abort_with(401, *WRONG_CREDENTIALS)
    grant = add_session(user.id, device_name(), fields["remember"])
    db.session.commit()
    audit("login", user.id)
    return _token_response(200, user, *grant)


@bp.post("/auth/refresh")
@public
@bp.response(200, schemas.TokenResponseSchema, headers=SETS_COOKIE)
@raises("INVALID_REFRESH_COOKIE", "ORIGIN_NOT_ALLOWED", "TOO_MANY_REQUESTS")
@bp.doc(
    security=[{"refreshCookie": []}],
    description="The request has no body. A cookie stays valid until its replacement is used, and "
    "for 30 seconds after that: two tabs can refresh simultaneously, and a request can be retried "
    "if its response was lost. An older cookie ends the session.",
)
def refresh_session() -> Response:
    """Exchange the refresh cookie for a new access token and the next cookie."""
    check_origin()
    if COOKIE not in request.cookies:
        abort_with(401, *MISSING_TOKEN)
    values = _read_cookies()
    hit("refresh", values[0].session.hex if values else None)
    rotated = next(filter(None, map(rotate_session, values)), None)
    db.session.commit()
    if rotated is None:
        # Do not delete the cookie: another tab may have received a newer one
        abort_with(401)
    return _token_response(200, *rotated)


@bp.post("/auth/logout")
@public
@bp.arguments(schemas.LogoutQuerySchema, location="query")
@bp.response(204, headers=SETS_COOKIE)
@raises("UNAUTHORIZED", "ORIGIN_NOT_ALLOWED")
@bp.doc(
    security=[{"accessToken": []}, {"refreshCookie": []}],
    description="Send the access token, which may have expired, or the refresh cookie.",
)
def log_out(query: dict[str, Any]) -> Response:
    """End this session, all other sessions, or all sessions."""
    check_origin()
    caller = caller_or_none()
    others = [value for value in _read_cookies() if not caller or value[0] != caller.session_id]
    live = list(filter(None, (caller, *map(find_session, others))))
    db.session.commit()  # commit the end of a session whose cookie was stolen
    if live:
        if query["scope"] != "this":
            require_user_session(live[0])
        _end_and_commit(live[0], query["scope"])
    elif query["scope"] != "this" or not (COOKIE in request.cookies or is_token_genuine()):
        authenticate()  # aborts; logging out of an ended session is not an error
    response = current_app.response_class(status=204)
    if query["scope"] != "others":
        for other in live[1:]:  # their cookies are deleted, so they could not be ended later
            _end_and_commit(other, "this")
        _delete_cookies(response)
    return response


def _read_cookies() -> list[RefreshValue]:
    """Return the validly signed refresh cookies in the order sent, the latest of each session.

    A browser may send several with this name: with other paths or attributes, or of other services.
    """
    values: dict[Any, RefreshValue] = {}
    for cookie in request.cookies.getlist(COOKIE):
        if value := read_refresh_token(cookie):
            values[value.session] = max(value, values.get(value.session, value))
    return list(values.values())


def _end_and_commit(session: Row[Any], scope: str) -> None:
    end_sessions(session.id, session.session_id, scope)
    db.session.commit()
    audit("logout", session.id, scope=scope)


def _token_response(status: int, user: Row[Any], value: RefreshValue, until: datetime) -> Response:
    """Return the user and an access token, and set the refresh cookie."""
    g.caller = user
    body = {"user": user_to_dict(user), "accessToken": access_token(value.session)}
    response = current_app.make_response(body)
    response.status_code = status
    attributes = _cookie_attributes()
    if attributes["partitioned"]:  # first, because some browsers do not tell the two apart
        response.delete_cookie(COOKIE, **{**attributes, "partitioned": False})
    max_age = round((until - now()).total_seconds())
    response.set_cookie(COOKIE, refresh_token(value), max_age=max_age, **attributes)
    return response


def device_name() -> str:
    """Return the device name of the request."""
    return parse_device(request.headers.get("User-Agent", ""))


def _delete_cookies(response: Response) -> None:
    """Delete the refresh cookie, partitioned or not: COOKIE_SAMESITE may have changed."""
    attributes = _cookie_attributes()
    response.delete_cookie(COOKIE, **attributes)
    if attributes["secure"]:
        other = {"samesite": "None", "partitioned": not attributes["partitioned"]}
        response.delete_cookie(COOKIE, **{**attributes, **other})


def _cookie_attributes() -> dict[str, Any]:
    samesite = current_config().cookie_samesite
    is_cross_site = samesite == "None"
    return {
        "path": f"{request.root_path}/auth",
        "httponly": True,
        "secure": request.is_secure or is_cross_site,
        "samesite": samesite,
        "partitioned": is_cross_site,  # otherwise Chromium drops it
    }
