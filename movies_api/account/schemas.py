"""Request and response schemas of the account."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from ..api.errors import Message
from ..api.fields import IGNORED, RequestSchema, ResponseSchema, Text, UpdateSchema
from ..auth.schemas import ANN, Email, NewPassword, Password, Theme, UserSchema

TOO_LONG = Message("Must be at most {max} characters.", "too_long")
# RFC 5646: language with extended subtags, script, region, variants, extensions, private use; then
# tags for private use only, and grandfathered ones
LANGUAGE = re.compile(
    r"([a-z]{2,3}(-[a-z]{3}){0,3}|[a-z]{4,8})(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?"
    r"(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[0-9a-wy-z](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?"
    r"|x(-[a-z0-9]{1,8})+"
    r"|en-gb-oed|sgn-be-fr|sgn-be-nl|sgn-ch-de"
    r"|i-(ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)",
    re.ASCII | re.IGNORECASE,
)


class Language(Text):
    """A BCP 47 language tag."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not LANGUAGE.fullmatch(text):
            raise ValidationError("Must be a language tag, e.g. en or pt-BR.")
        return text


class PreferencesUpdateSchema(RequestSchema):
    """Preferences to update."""

    theme = Theme()
    language = Language(
        max=35, metadata={"minLength": 2, "example": "pt-BR", "description": "A BCP 47 tag."}
    )


class AccountUpdateSchema(UpdateSchema):
    """Account fields to update; a new email requires the current password."""

    name = Text(min=2, max=100, metadata={"example": ANN["name"]})
    email = Email(metadata={"example": ANN["email"]})
    current_password = Password()
    preferences = fields.Nested(PreferencesUpdateSchema)
    id = fields.UUID(dump_only=True, metadata=IGNORED)
    role = fields.String(dump_only=True, metadata=IGNORED)
    created_at = fields.DateTime(dump_only=True, metadata=IGNORED)
    usage = fields.Dict(dump_only=True, metadata=IGNORED)


def account_columns(edit: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that an AccountUpdateSchema updates."""
    own = {name: edit[name] for name in ("name", "email") if name in edit}
    return {**own, **edit.get("preferences", {})}


class AccountDeleteSchema(RequestSchema):
    """The current password, to confirm the deletion."""

    password = Password(required=True)


class PasswordChangeSchema(RequestSchema):
    """The current and the new password."""

    current_password = Password(required=True)
    new_password = NewPassword(required=True)


class ResetRequestSchema(RequestSchema):
    """The account whose password is to be reset."""

    email = Email(required=True, metadata={"example": ANN["email"]})


class EmailRevertSchema(RequestSchema):
    """The token from the email to the old address."""

    token = fields.String(
        required=True,
        validate=validate.Length(max=1000, error=TOO_LONG),
        metadata={"example": "7d0c9e52.aXqF9w"},
    )


class ResetConfirmSchema(EmailRevertSchema):
    """The token from the email and the new password."""

    new_password = NewPassword(required=True)


class ResetAcceptedSchema(ResponseSchema):
    """An empty object."""


class LimitsSchema(ResponseSchema):
    """The quotas of an account."""

    movies = fields.Integer(metadata={"example": 100_000})
    image_bytes = fields.Integer(metadata={"example": 1_000_000_000})


class UsageSchema(ResponseSchema):
    """The account's usage and its quotas."""

    movies = fields.Integer(metadata={"example": 312})
    image_bytes = fields.Integer(
        metadata={
            "example": 48_120_334,
            "description": "Stored size of all images that the account uploaded, including "
            "those that others uploaded, too. Unused images are included for about a day.",
        }
    )
    limits = fields.Nested(LimitsSchema)


class AccountSchema(UserSchema):
    """The caller's account and its usage."""

    usage = fields.Nested(UsageSchema)
