"""Your own account: its data, its password, its end."""

from typing import Any, NoReturn

from flask import g
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from ..api import Blueprint, runs_in
from ..config import settings
from ..db import db
from ..errors import refuse, refuse_fields
from ..images.models import charged_bytes, pictures_of
from ..images.sweeping import drop_pictures
from ..logs import audit
from ..mail import send, soon
from ..movies.models import hold_movies_of, remove_movies_of
from . import schemas
from .guard import public, refuse_scripts
from .limits import give_back, spend
from .models import (
    change_hash,
    change_user,
    hold_user_alone,
    remove_user,
    user_answer,
    user_from_email,
    user_from_id,
)
from .passwords import hash_password, is_password
from .sessions import end_sessions
from .tokens import digest, read_reset_token, reset_token

WRONG = "This is not your password."
STALE = "This link has been used, or is too old: ask for a new one."
MOVED = "The email address of your account was changed. If it was not you, reset your password."

bp = Blueprint("account", __name__, description="Your own account")


@bp.get("/me")
@bp.response(200, schemas.Me)
def show_me() -> dict[str, Any]:
    """Return your own account, and how much it has of what is limited."""
    me, limits = get_me(), settings()
    usage = {
        "movies": g.caller.movie_count,
        "imageBytes": charged_bytes(me.id),
        "limits": {
            "movies": limits.max_movies_per_user,
            "imageBytes": limits.max_image_bytes_per_user,
        },
    }
    return {**user_answer(me), "usage": usage}


@bp.patch("/me")
@runs_in("passwords")
@bp.arguments(schemas.AccountEdit)
@bp.response(200, schemas.User)
@bp.alt_response(403, response="PEOPLE_ONLY")
@bp.alt_response(409, response="EMAIL_TAKEN")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def change_me(fields: dict[str, Any]) -> dict[str, Any]:
    """Change your name, your email or your preferences; what is absent keeps its value."""
    me, columns = get_me(), schemas.columns_of(fields)
    is_moving = columns.get("email", me.email) != me.email
    if is_moving:
        refuse_scripts(g.caller)
        check_password(me, fields.get("current_password"), "currentPassword")
        spend("email", me.id.hex)
    else:
        columns.pop("email", None)  # it may have been changed since: that must not be undone
    try:
        user = change_user(me, columns) if columns else me
    except IntegrityError:
        refuse(409, "USER_EXISTS", "This email address has an account.")
    if user is None:
        refuse_outdated("currentPassword")
    if is_moving:
        audit("email_changed", me.id)
        soon(lambda: send(me.email, "Your email address was changed", MOVED))
    return user_answer(user)


@bp.delete("/me")
@runs_in("passwords")
@bp.arguments(schemas.AccountEnd)
@bp.response(204)
@bp.alt_response(403, response="PEOPLE_ONLY")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def delete_me(fields: dict[str, Any]) -> None:
    """Remove your account and all that belongs to it, at once and for good."""
    refuse_scripts(g.caller)
    me = get_me()
    check_password(me, fields["password"], "password")
    # Before there is a transaction: what is added in between, later uploads take along
    pictures = pictures_of(me.id)
    # Who removes a movie locks it and then its owner; who adds one locks the owner, twice. In this
    # order, and before anything is removed, neither can be in a deadlock with us
    hold_movies_of(me.id)
    hold_user_alone(me.id)
    remove_movies_of(me.id)
    if not remove_user(me):
        refuse_outdated("password")
    db.session.commit()
    audit("account_deleted", me.id)
    drop_pictures(pictures)


@bp.put("/me/password")
@runs_in("passwords")
@bp.arguments(schemas.PasswordChange)
@bp.response(204)
@bp.alt_response(403, response="PEOPLE_ONLY")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def change_password(fields: dict[str, Any]) -> None:
    """Change your password; every other session and script token ends."""
    refuse_scripts(g.caller)
    me = get_me()
    check_password(me, fields["current_password"], "currentPassword")
    if not change_hash(me, hash_password(fields["new_password"])):
        refuse_outdated("currentPassword")
    end_sessions(me.id, g.caller.session_id, "others")
    db.session.commit()
    audit("password_changed", me.id)


@bp.post("/auth/password-reset")
@public
@bp.arguments(schemas.ResetRequest)
@bp.response(202, schemas.Nothing)
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
@bp.alt_response(501, response="NOT_IMPLEMENTED")
def request_reset(fields: dict[str, Any]) -> dict[str, Any]:
    """Have a link mailed that sets a new password; the answer is the same for every address."""
    if settings().smtp_url is None and not settings().is_embedded:
        refuse(501, "SMTP_URL_NOT_SET", "This service cannot send mail: it needs SMTP_URL.")
    email = fields["email"]
    spend("reset", email)
    soon(lambda: mail_reset_link(email))
    return {}


@bp.post("/auth/password-reset/confirm")
@runs_in("passwords")
@public
@bp.arguments(schemas.Reset)
@bp.response(204)
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def confirm_reset(fields: dict[str, Any]) -> None:
    """Set a new password with the token of the mail; all sessions end, nobody is logged in."""
    spend("confirm")
    named = read_reset_token(fields["token"])
    user = named and user_from_id(named[0])
    if named is None or user is None or mark_of(user) != named[1]:
        refuse_fields({"token": [STALE]})
    if not change_hash(user, hash_password(fields["new_password"])):
        refuse_fields({"token": [STALE]})
    end_sessions(user.id, None, "all")
    db.session.commit()
    audit("password_reset", user.id)


def get_me() -> Row[Any]:
    """Return the caller's row with the password hash, or abort: it may have gone meanwhile."""
    me = user_from_id(g.caller.id)
    if me is None:
        refuse(401)
    return me


def check_password(me: Row[Any], password: str | None, field: str) -> None:
    """Abort unless the password is right: a wrong one is an error of the field, never a 401."""
    if not password:
        refuse_fields({field: ["Enter your present password."]})
    spend("password", me.id.hex)
    if not is_password(password, me.password_hash):
        refuse_fields({field: [WRONG]})
    give_back("password", me.id.hex)


def refuse_outdated(field: str) -> NoReturn:
    """Abort: since the password was checked it was changed, or the account has gone."""
    db.session.rollback()
    get_me()
    refuse_fields({field: [WRONG]})


def mail_reset_link(email: str) -> None:
    """Mail the link, if anybody has that address."""
    if (user := user_from_email(email)) is None:
        return
    text = (
        # Without the name: anybody may have entered it, to have us mail what it says
        f"Hello,\n\nset a new password within 30 minutes:\n\n{reset_link(user)}\n\n"
        "If you did not ask for it, do nothing: your password stays as it is.\n"
    )
    send(email, "Reset your password", text)


def reset_link(user: Row[Any]) -> str:
    """Return the page of the frontend, never of a Host header, that sets a new password."""
    token = reset_token(user.id, mark_of(user))
    return f"{settings().frontend_url}/reset-password?token={token}"


def mark_of(user: Row[Any]) -> str:
    """Return what a link is bound to: the forgotten password, and the address it was sent to."""
    return digest(f"{user.password_hash} {user.email}")[:16]
