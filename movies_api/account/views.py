"""The caller's account: profile, password, deletion, password reset."""

from functools import partial
from typing import Any, NoReturn

from flask import g
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from ..api.blueprint import Blueprint, public, raises, runs_in, scopes
from ..api.errors import Message, abort_validation, abort_with
from ..auth.passwords import PERSONAL, hash_password, is_personal_password, verify_password
from ..auth.rate_limits import check_limit, count_attempt, hit, is_limit_reached
from ..auth.schemas import UserSchema
from ..auth.sessions import end_sessions
from ..auth.tokens import (
    new_secret,
    read_reset_token,
    read_revert_token,
    reset_fingerprint,
    reset_link,
    revert_link,
)
from ..auth.users import (
    change_email,
    change_user,
    is_email_revertible,
    is_email_taken,
    revert_email,
    set_password_hash,
    user_from_email,
    user_from_id,
    user_to_dict,
)
from ..config import current_config
from ..db import db
from ..images.queries import charged_bytes
from ..logs import audit
from ..mail import run_in_background, send_email
from . import schemas
from .deletion import delete_account_data

INCORRECT = Message("Incorrect password.", "incorrect")
STALE_LINK = "This link is invalid or has expired. Request a new one."
EMAIL_CHANGED = """Hello,

The email address of your account was changed. If this was you, ignore this email.

If this was not you, recover your account with this link within 7 days:

{}

The link restores this address, logs out all devices and invalidates the password. A second email
lets you set a new password.
"""
CREDENTIALS_CHANGED = """Hello,

The password of your account was changed. If this was you, ignore this email.

If this was not you, use "Forgot your password?" on the login page. Setting a new password logs out
all devices.
"""

bp = Blueprint("account", __name__, description="Your own account")


@bp.get("/me")
@scopes("write", "read")
@bp.response(200, schemas.AccountSchema)
def get_account() -> dict[str, Any]:
    """Return your account and its usage."""
    me, limits = load_account(), current_config()
    usage = {
        "movies": g.caller.movie_count,
        "imageBytes": charged_bytes(me.id),
        "limits": {
            "movies": limits.max_movies_per_user,
            "imageBytes": limits.max_image_bytes_per_user,
        },
    }
    return {**user_to_dict(me), "usage": usage}


@bp.patch("/me")
@runs_in("passwords")
@bp.arguments(schemas.AccountUpdateSchema, example={"preferences": {"theme": "dark"}})
@bp.response(200, UserSchema)
@raises("CONFLICT", "TOO_MANY_REQUESTS")
def update_account(fields: dict[str, Any]) -> dict[str, Any]:
    """Update your name, email or preferences; absent fields keep their value."""
    me, columns = load_account(), schemas.account_columns(fields)
    changes_email = columns.get("email", me.email) != me.email
    if changes_email:
        check_password(me, fields.get("current_password"), "currentPassword")
        hit("email", me.id.hex)
        return user_to_dict(_update_email(me, columns))
    columns.pop("email", None)  # do not undo a concurrent change
    user = change_user(me, columns) if columns else me
    if user is None:
        abort_with(401)
    return user_to_dict(user)


def _update_email(me: Row[Any], columns: dict[str, Any]) -> Row[Any]:
    """Update the email and other columns; send the old address a link to revert the change."""
    if is_email_taken(columns["email"], me.id):
        abort_with(409)
    try:
        changed = change_email(me, columns)
    except IntegrityError:
        abort_with(409)
    if changed is None:
        abort_stale("currentPassword")
    db.session.commit()
    user, change = changed
    audit("email_changed", me.id)
    text = EMAIL_CHANGED.format(revert_link(me.id, change))
    run_in_background(
        me.email, lambda: send_email(me.id, me.email, "Your email address was changed", text)
    )
    return user


@bp.delete("/me")
@runs_in("passwords")
@bp.arguments(schemas.AccountDeleteSchema)
@bp.response(204)
@raises("TOO_MANY_REQUESTS")
def delete_account(fields: dict[str, Any]) -> None:
    """Delete your account and everything that belongs to it, immediately and permanently."""
    me = load_account()
    check_password(me, fields["password"], "password")
    if not delete_account_data(me):
        abort_stale("password")


@bp.put("/me/password")
@runs_in("passwords")
@bp.arguments(schemas.PasswordChangeSchema)
@bp.response(204)
@raises("TOO_MANY_REQUESTS")
def change_password(fields: dict[str, Any]) -> None:
    """Change your password and end all other sessions and API tokens."""
    me = load_account()
    check_password(me, fields["current_password"], "currentPassword")
    _check_new_password(me, fields["new_password"])
    hit("email", me.id.hex)
    if not set_password_hash(me, hash_password(fields["new_password"])):
        abort_stale("currentPassword")
    end_sessions(me.id, g.caller.session_id, "others")
    db.session.commit()
    audit("password_changed", me.id)
    _notify_of_password(me)


@bp.post("/auth/password-reset")
@public
@bp.arguments(schemas.ResetRequestSchema)
@bp.response(202, schemas.ResetAcceptedSchema)
@raises("NOT_IMPLEMENTED")
def request_reset(fields: dict[str, Any]) -> dict[str, Any]:
    """Email a password reset link; the response is the same for every address.

    The link works once, for 30 minutes. Beyond the rate limit, no email is sent.
    """
    if current_config().smtp_url is None and not current_config().is_embedded:
        abort_with(501)
    email = fields["email"]
    audit("reset_requested", None)
    if not is_limit_reached("reset"):
        count_attempt("reset")
        run_in_background(email, lambda: mail_reset_link(email))
    return {}


@bp.post("/auth/password-reset/confirm")
@runs_in("passwords")
@public
@bp.arguments(schemas.ResetConfirmSchema)
@bp.response(204)
@raises("TOO_MANY_REQUESTS")
def confirm_reset(fields: dict[str, Any]) -> None:
    """Set a new password with the token from the email, and end all sessions and API tokens.

    Log in afterwards. An invalid or expired token is a VALIDATION_ERROR on `token`.
    """
    hit("confirm")
    named = read_reset_token(fields["token"])
    user = named and user_from_id(named[0])
    if named is None or user is None or reset_fingerprint(user) != named[1]:
        abort_validation({"token": [STALE_LINK]})
    _check_new_password(user, fields["new_password"])
    if not set_password_hash(user, hash_password(fields["new_password"])):
        abort_validation({"token": [STALE_LINK]})
    end_sessions(user.id, None, "all")
    db.session.commit()
    audit("password_reset", user.id)
    _notify_of_password(user)


@bp.post("/auth/email-revert")
@runs_in("passwords")
@public
@bp.arguments(schemas.EmailRevertSchema)
@bp.response(204)
@raises("TOO_MANY_REQUESTS")
def revert_email_change(fields: dict[str, Any]) -> None:
    """Restore the old address with the token from its email, and end all sessions and API tokens.

    The password is invalidated, and a password reset link is sent to the restored address.
    """
    hit("confirm")
    named = read_revert_token(fields["token"])
    if named is None or not is_email_revertible(*named):
        abort_validation({"token": [STALE_LINK]})
    try:
        email = revert_email(*named, hash_password(new_secret()))
    except IntegrityError:  # another account has taken the address
        email = None
    if email is None:  # reverted meanwhile
        abort_validation({"token": [STALE_LINK]})
    end_sessions(named[0], None, "all")
    db.session.commit()
    audit("email_reverted", named[0])
    run_in_background(email, lambda: mail_reset_link(email))


def _check_new_password(user: Row[Any], password: str) -> None:
    """Abort if the password is the user's name or email."""
    if is_personal_password(password, user.name, user.email):
        abort_validation({"newPassword": [PERSONAL]})


def _notify_of_password(user: Row[Any]) -> None:
    """Email a notice that the password was changed."""
    email, subject = user.email, "Your password was changed"
    run_in_background(email, lambda: send_email(user.id, email, subject, CREDENTIALS_CHANGED))


def load_account() -> Row[Any]:
    """Return the caller's row with the password hash; abort if it was deleted meanwhile."""
    me = user_from_id(g.caller.id)
    if me is None:
        abort_with(401)
    return me


def check_password(me: Row[Any], password: str | None, field: str) -> None:
    """Abort unless the password is correct; a wrong one is a field error, never a 401."""
    if not password:
        abort_validation({field: [Message("Enter your current password.", "required")]})
    account = f"{me.id.hex} {me.password_hash}"
    check_limit("password", account)
    if not verify_password(password, me.password_hash):
        count_attempt("password", account)
        audit("password_failed", me.id)
        abort_validation({field: [INCORRECT]})


def abort_stale(field: str) -> NoReturn:
    """Abort because the password changed or the account was deleted after the check."""
    db.session.rollback()
    load_account()
    abort_validation({field: [INCORRECT]})


def mail_reset_link(email: str) -> None:
    """Email a reset link if the address has an account whose limit is not reached.

    If the limit is reached, the mailbox contains a link that is still valid.
    """
    if (user := user_from_email(email)) is None:
        return
    links = f"{user.id.hex} {reset_fingerprint(user)}"  # a new password or address resets the limit

    def write() -> str | None:
        """Return the text with a new link, since a retry may be much later; None at the limit."""
        if is_limit_reached("reset mail", links):
            return None
        # Omit the name, which an attacker may have chosen as a message
        return (
            f"Hello,\n\nSet a new password within 30 minutes:\n\n{reset_link(user)}\n\n"
            "If you did not request this, ignore this email; your password stays the same.\n"
        )

    on_sent = partial(count_attempt, "reset mail", links)
    send_email(user.id, email, "Reset your password", write, on_sent)
