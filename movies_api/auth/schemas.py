"""What signup, login and logout take, and what they answer."""

import unicodedata
from typing import Any

import idna
from marshmallow import ValidationError, fields, validate

from ..fields import Edit, Input, Output, Query, Text
from ..mail import ascii_domain
from .passwords import is_common, normalised

ANN = {"name": "Ann Example", "email": "ann@example.com", "password": "correct horse battery"}


# RFC 5646: language and its extensions, script, region, variants, extensions, private use
LANGUAGE = (
    r"^(([A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?"
    r"(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*(-[0-9A-WY-Za-wy-z](-[A-Za-z0-9]{2,8})+)*"
    r"(-[Xx](-[A-Za-z0-9]{1,8})+)?|[Xx](-[A-Za-z0-9]{1,8})+)$"
)


class Email(Text):
    """An address, in the one form in which it is stored and compared."""

    def __init__(self, **kwargs: Any) -> None:
        """Bound it as RFC 5321 does."""
        super().__init__(min=3, max=254, **kwargs)
        self.metadata = {"format": "email", **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        text = unicodedata.normalize("NFKC", text)
        if any(unicodedata.category(letter) == "Cf" for letter in text):
            raise ValidationError("Remove the invisible characters.")
        local, _, domain = text.rpartition("@")
        local = local.lower().replace("\u03c2", "\u03c3")  # final sigma; a domain's is its own
        try:
            domain = ascii_domain(domain)
            validate.Email()(f"{local}@{domain}")
            text = f"{local}@{idna.decode(domain) if 'xn--' in domain else domain}"
        except (idna.IDNAError, ValidationError) as error:
            raise ValidationError("Not a valid email address.") from error
        if len(text) > self.max:
            raise ValidationError(f"At most {self.max} characters.")
        return text


class Password(fields.String):
    """A password as it was typed, which is also how it is counted: never trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        """Bound it: the upper end only keeps the hashing affordable."""
        about = {"format": "password", "maxLength": 128, "example": ANN["password"]}
        super().__init__(metadata=about, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if len(text) > 128:
            raise ValidationError("At most 128 characters.")
        return text


class NewPassword(Password):
    """A password to be: long enough, and not among those that everybody tries first."""

    def __init__(self, **kwargs: Any) -> None:
        """Document the lower bound too."""
        super().__init__(**kwargs)
        bounds = {"minLength": 8, "description": "Not trimmed; very common ones are refused."}
        self.metadata = {**self.metadata, **bounds}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if min(len(text), len(normalised(text))) < 8:  # one form may be the shorter, or the other
            raise ValidationError("At least 8 characters.")
        if is_common(text):
            raise ValidationError("This password is among the most common ones: choose another.")
        return text


class Signup(Input):
    """A new account."""

    name = Text(min=2, max=100, required=True, metadata={"example": ANN["name"]})
    email = Email(required=True, metadata={"example": ANN["email"]})
    password = NewPassword(required=True)


class Login(Input):
    """Email and password; remember makes the session last 30 days instead of 7."""

    email = Email(required=True, metadata={"example": ANN["email"]})
    password = Password(required=True)
    remember = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Stay logged in for 30 days without a visit, not 7."},
    )


class LogoutQuery(Query):
    """Which sessions end."""

    scope = fields.String(
        load_default="this",
        validate=validate.OneOf(["this", "others", "all"], error="Give this, others or all."),
        metadata={"description": "This session, all your others, or all of them."},
    )


class Theme(fields.String):
    """light, dark, or as the system has it."""

    def __init__(self, **kwargs: Any) -> None:
        """Take the three."""
        choices = validate.OneOf(["light", "dark", "system"], error="Give light, dark or system.")
        super().__init__(validate=choices, **kwargs)


class PreferencesEdit(Input):
    """What to change of the preferences."""

    theme = Theme()
    language = Text(
        max=35,
        validate=validate.Regexp(LANGUAGE, error="Give a language tag such as en or pt-BR."),
        metadata={"example": "pt-BR", "description": "A BCP 47 tag."},
    )


class AccountEdit(Edit):
    """What to change of the account; a new email asks for the password."""

    name = Text(min=2, max=100, metadata={"example": ANN["name"]})
    email = Email(metadata={"example": ANN["email"]})
    current_password = Password(data_key="currentPassword")
    preferences = fields.Nested(PreferencesEdit)
    id = fields.Raw(dump_only=True)
    role = fields.Raw(dump_only=True)
    created_at = fields.Raw(dump_only=True, data_key="createdAt")


def columns_of(edit: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that an AccountEdit changes."""
    own = {name: edit[name] for name in ("name", "email") if name in edit}
    return {**own, **edit.get("preferences", {})}


class AccountEnd(Input):
    """The password, so that nobody else ends the account."""

    password = Password(required=True)


class PasswordChange(Input):
    """The password there is and the one to be."""

    current_password = Password(required=True, data_key="currentPassword")
    new_password = NewPassword(required=True, data_key="newPassword")


class ResetRequest(Input):
    """Whose password is forgotten."""

    email = Email(required=True, metadata={"example": ANN["email"]})


class Reset(Input):
    """The token of the mail and the password to be."""

    token = fields.String(
        required=True, validate=validate.Length(max=1000), metadata={"example": "7d0c9e52.aXqF9w"}
    )
    new_password = NewPassword(required=True, data_key="newPassword")


class Nothing(Output):
    """Nothing to say."""


class NewToken(Input):
    """A token for a script."""

    name = Text(min=1, max=100, required=True, metadata={"example": "Nightly backup"})
    days = fields.Integer(
        strict=True,
        metadata={"description": "Days until it ends by itself."},
        load_default=90,
        data_key="expiresInDays",
        validate=validate.Range(min=1, max=366, error="Give 1 to 366 days."),
    )


class ScriptToken(Output):
    """The token; it is shown this once."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"example": "Nightly backup"})
    token = fields.String(
        required=True,
        metadata={"description": "Send it as a bearer token.", "example": "mov_7d0c9e523f8a4b61"},
    )
    expires_at = fields.DateTime(required=True, data_key="expiresAt")


class Session(Output):
    """A login or a script token."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["login", "token"]))
    name = fields.String(required=True, allow_none=True, metadata={"example": "Firefox on Linux"})
    created_at = fields.DateTime(required=True, data_key="createdAt")
    last_used_at = fields.DateTime(required=True, data_key="lastUsedAt")
    expires_at = fields.DateTime(required=True, data_key="expiresAt")
    current = fields.Boolean(required=True, metadata={"description": "The one that asks."})


class SessionList(Output):
    """Where somebody is logged in."""

    items = fields.List(fields.Nested(Session), required=True)


class Preferences(Output):
    """How a frontend shows itself."""

    theme = Theme(required=True)
    language = fields.String(required=True, metadata={"example": "en"})


class User(Output):
    """A person with an account."""

    id = fields.UUID(required=True, metadata={"example": "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"})
    name = fields.String(required=True, metadata={"example": ANN["name"]})
    email = fields.String(required=True, metadata={"example": ANN["email"]})
    role = fields.String(required=True, validate=validate.OneOf(["user", "admin"]))
    preferences = fields.Nested(Preferences, required=True)
    created_at = fields.DateTime(
        required=True, data_key="createdAt", metadata={"example": "2026-01-31T12:00:00.000000Z"}
    )


class Limits(Output):
    """What an account may have at most."""

    movies = fields.Integer(required=True, metadata={"example": 100_000})
    image_bytes = fields.Integer(
        required=True, data_key="imageBytes", metadata={"example": 1_000_000_000}
    )


class Usage(Output):
    """What the account has."""

    movies = fields.Integer(required=True, metadata={"example": 312})
    image_bytes = fields.Integer(
        required=True,
        data_key="imageBytes",
        metadata={
            "example": 48_120_334,
            "description": "Of the images it uploaded, in full, also where another account has the "
            "same; an image that no movie shows any more counts for about a day longer.",
        },
    )
    limits = fields.Nested(Limits, required=True)


class Me(User):
    """Your own account, and how much it has."""

    usage = fields.Nested(Usage, required=True)


class Grant(Output):
    """Who you are, and the token to say so with."""

    user = fields.Nested(User, required=True)
    access_token = fields.String(
        required=True,
        data_key="accessToken",
        metadata={
            "description": "Send it as `Authorization: Bearer <token>`; it lasts 15 minutes.",
            "example": "7f1d0c9e52b84b61.aXqF9w.Jm4uQ2sT8oXbZ1",
        },
    )
