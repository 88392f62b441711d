"""Schemas of signup, login, logout, sessions and API tokens."""

import unicodedata
from functools import partial
from typing import Any

from email_validator import EmailNotValidError, validate_email
from marshmallow import ValidationError, fields, validate, validates_schema

from ..api.errors import FieldCode, Message
from ..api.fields import (
    BoundedInteger,
    QuerySchema,
    RequestSchema,
    ResponseSchema,
    StrictBoolean,
    Text,
    one_of,
    too_short,
)
from .passwords import PERSONAL, is_common_password, is_personal_password, normalize_password

DEMO = {"email": "test@example.com", "password": "password123"}  # see demo.py
ANN = {"name": "Ann Example", "email": "ann@example.com", "password": "correct horse battery"}


class Email(Text):
    """An email address, in the normalized form in which it is stored and compared."""

    def __init__(self, **kwargs: Any) -> None:
        """Set the maximum length of RFC 5321."""
        super().__init__(min=1, max=254, **kwargs)
        self.metadata = {"format": "idn-email", **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        text = unicodedata.normalize("NFKC", text)
        try:
            # No DNS lookup; strict: also enforce the local part's limit of RFC 5321
            found = validate_email(
                text, check_deliverability=False, allow_smtputf8=False, strict=True
            )
        except EmailNotValidError as error:
            code: FieldCode = "too_long" if "too long" in str(error) else "invalid"
            raise ValidationError(Message(str(error), code)) from error
        if "=?" in found.local_part:  # mail programs would decode it as another address
            raise ValidationError("The part before the @-sign must not contain =?.")
        return f"{found.local_part.lower()}@{found.domain}"


class Password(fields.String):
    """A password as typed; never trimmed."""

    def __init__(self, example: str = ANN["password"], **kwargs: Any) -> None:
        """Set the maximum length, which bounds the cost of hashing."""
        super().__init__(**kwargs)
        bounds = {"minLength": int(self.required), "maxLength": 128}
        self.metadata = {"format": "password", **bounds, "example": example}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if len(text) > 128:
            raise ValidationError(Message("Must be at most 128 characters.", "too_long"))
        return text


class NewPassword(Password):
    """A new password: long enough and not a common one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        about = "Not trimmed. Must not be a common password, the name or the email."
        self.metadata = {**self.metadata, "minLength": 8, "description": about}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if min(len(text), len(normalize_password(text))) < 8:  # either form may be the shorter one
            raise too_short(text, 8)
        if is_common_password(text):
            raise ValidationError(
                Message("This password is too common. Choose another one.", "too_weak")
            )
        return text


class SignupSchema(RequestSchema):
    """A new account."""

    name = Text(min=2, max=100, required=True, metadata={"example": ANN["name"]})
    email = Email(required=True, metadata={"example": ANN["email"]})
    password = NewPassword(required=True)

    @validates_schema
    def reject_personal(self, data: dict[str, Any], **_: Any) -> None:
        """Reject a password that is the user's name or email."""
        if is_personal_password(data["password"], data["name"], data["email"]):
            raise ValidationError(PERSONAL, "password")


class LoginSchema(RequestSchema):
    """Email and password; with `remember` the session lasts 30 days instead of 7."""

    email = Email(required=True, metadata={"example": DEMO["email"]})
    password = Password(DEMO["password"], required=True)
    remember = StrictBoolean(
        load_default=False,
        metadata={"description": "Keep the session for 30 days of inactivity instead of 7."},
    )


class LogoutQuerySchema(QuerySchema):
    """Which sessions to end."""

    scope = fields.String(
        load_default="this",
        validate=one_of("this", "others", "all"),
        metadata={"description": "End this session, all other sessions, or all sessions."},
    )


Theme = partial(fields.String, validate=one_of("light", "dark", "system"))
# What an API token may do
Scope = partial(
    fields.String,
    validate=one_of("write", "read", "share"),
    metadata={
        "description": "`write`: all of /movies, POST /images and GET /me. `read`: only the GET "
        "operations of these. `share`: only list and get movies, without notes, e.g. for a public "
        "page."
    },
)


class ApiTokenCreateSchema(RequestSchema):
    """An API token to create."""

    name = Text(min=1, max=100, required=True, metadata={"example": "Nightly backup"})
    days = BoundedInteger(
        min=1,
        max=366,
        strict=True,
        metadata={"description": "Days until the token expires."},
        load_default=90,
        data_key="expiresInDays",
    )
    scope = Scope(load_default="write")


class ApiTokenSchema(ResponseSchema):
    """The API token, shown only once."""

    id = fields.UUID()
    name = fields.String(metadata={"example": "Nightly backup"})
    token = fields.String(
        metadata={"description": "Send it as a bearer token.", "example": "mov_7d0c9e523f8a4b61"}
    )
    scope = Scope()
    expires_at = fields.DateTime()


class SessionSchema(ResponseSchema):
    """A login or an API token."""

    id = fields.UUID()
    kind = fields.String(validate=validate.OneOf(["login", "token"]))
    name = fields.String(allow_none=True, metadata={"example": "Firefox on Linux"})
    scope = Scope(allow_none=True)
    created_at = fields.DateTime()
    last_used_at = fields.DateTime()
    expires_at = fields.DateTime()
    current = fields.Boolean(metadata={"description": "The session of this request."})


class SessionListSchema(ResponseSchema):
    """The sessions of a user."""

    items = fields.List(fields.Nested(SessionSchema))


class PreferencesSchema(ResponseSchema):
    """Preferences for the frontend."""

    theme = Theme()
    language = fields.String(metadata={"example": "en"})


class UserSchema(ResponseSchema):
    """A user."""

    id = fields.UUID(metadata={"example": "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"})
    name = fields.String(metadata={"example": ANN["name"]})
    email = fields.String(metadata={"format": "idn-email", "example": ANN["email"]})
    role = fields.String(validate=validate.OneOf(["user", "admin"]))
    preferences = fields.Nested(PreferencesSchema)
    created_at = fields.DateTime(metadata={"example": "2026-01-31T12:00:00.000000Z"})


class TokenResponseSchema(ResponseSchema):
    """The user and an access token."""

    user = fields.Nested(UserSchema)
    access_token = fields.String(
        metadata={
            "description": "Send it as `Authorization: Bearer <token>`; valid for 15 minutes.",
            "example": "7f1d0c9e52b84b61.aXqF9w.Jm4uQ2sT8oXbZ1",
        }
    )
