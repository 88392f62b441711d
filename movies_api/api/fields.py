"""Base schemas, and the field types that packages share."""

import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, pre_load, validate
from werkzeug.urls import iri_to_uri

from ..db import now
from .errors import Message

# The content decides; browsers declare files of unknown types as application/octet-stream
DATA_URL = re.compile(
    r"\s*data:(?:image/[a-z0-9.+-]{1,40}|application/octet-stream)?;base64,", re.IGNORECASE
)
STRAY_PERCENT = re.compile("%(?![0-9a-fA-F]{2})")
# What RFC 3986 does not allow: characters, a second #, and brackets after the host
NOT_URI = re.compile(rf"[^!#-;=?-Z\[\]_a-z~]|{STRAY_PERCENT.pattern}|#.*[#\[\]]|//.*[/?].*[\[\]]")
UNKNOWN_FIELD = Message("Unknown field.", "unknown")
UNKNOWN_PARAMETER = Message("Unknown parameter.", "unknown")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Not whitespace, not Default_Ignorable_Code_Point of Unicode, not an empty Braille pattern
VISIBLE = re.compile(
    r"[^\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]"
)

IGNORED = {"description": "Read-only; ignored, so that a client can send a response back."}


def one_of(*choices: Any) -> validate.OneOf:
    """Return a validator that names the choices."""
    text = Message("Must be one of: {choices}.", "invalid_choice")
    return validate.OneOf(choices, error=text)


def too_short(text: str, min: int) -> ValidationError:
    """Return the error of a text with fewer than min characters."""
    if not text:
        return ValidationError(Message("Must not be empty.", "required"))
    return ValidationError(Message(f"Must be at least {min} characters.", "too_short"))


def as_integer(value: Any) -> Any:
    """Return 7 for 7.0, which is an integer in JSON; other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def camel_case(name: str) -> str:
    """Return the wire name of a Python name."""
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def none_default() -> None:
    """Return None; a plain None as load_default would appear in the OpenAPI document."""


class WireSchema(Schema):
    """A schema whose names on the wire are those of its fields in camelCase."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Set data_key unless the field has one."""
        field_obj.data_key = field_obj.data_key or camel_case(field_name)


class RequestSchema(WireSchema):
    """A request body; each unknown field is an error that names it."""

    error_messages = {"unknown": UNKNOWN_FIELD}  # noqa: RUF012  as in marshmallow

    class Meta:
        """Reject unknown fields; ignoring them would lose data."""

        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Set our messages for missing fields and null."""
        super().on_bind_field(field_name, field_obj)
        field_obj.error_messages["required"] = Message("Required.", "required")
        field_obj.error_messages["null"] = Message("Must not be null.", "required")


class QuerySchema(RequestSchema):
    """The parameters of a query string."""

    error_messages = {"unknown": UNKNOWN_PARAMETER}  # noqa: RUF012

    def load(self, data: Any, **_: Any) -> dict[str, Any]:
        """Return the parameters; common query strings, such as the empty one, are parsed once."""
        return {**self._read(frozenset(data.items()))}

    @lru_cache(maxsize=256)  # noqa: B019  one instance per route, never freed
    def _read(self, pairs: frozenset[tuple[str, str]]) -> dict[str, Any]:
        # Treat an empty parameter as missing, because forms send empty fields
        optional = {field.data_key for field in self.load_fields.values() if not field.required}
        given = {name: value for name, value in pairs if value.strip() or name not in optional}
        values: dict[str, Any] = super().load(given)
        return values


class UpdateSchema(RequestSchema):
    """A body that may contain read-only fields, which are ignored."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.read_only = {each.data_key for each in self.dump_fields.values() if each.dump_only}

    @pre_load
    def drop_read_only(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Return the data without the read-only fields."""
        return {key: value for key, value in data.items() if key not in self.read_only}


class ResponseSchema(WireSchema):
    """A response body, for documentation only: rows are already labelled with wire names.

    Every field is required, unless its metadata has `optional`. The test client validates every
    response against it.
    """

    class Meta:
        """Do not document additionalProperties: false, because later releases may add keys."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Set required."""
        super().on_bind_field(field_name, field_obj)
        field_obj.required = not field_obj.metadata.get("optional")

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the object unchanged: dumping each field takes 13 times as long as orjson."""
        return obj


class Text(fields.String):
    """One line of text: trimmed, min to max characters, no control characters.

    If it must not be empty, it must contain a visible character. If null is
    allowed, an empty string means null, because that is what forms and CSV send.
    """

    forbidden = CONTROL

    def __init__(self, *, min: int = 0, max: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min, self.max = min, max
        self.metadata = {"minLength": min, "maxLength": max, **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if self.forbidden.search(text):
            raise ValidationError("Must not contain control characters.")
        if not text and self.allow_none:
            return None
        if len(text) < self.min:
            raise too_short(text, self.min)
        if len(text) > self.max:
            raise ValidationError(Message(f"Must be at most {self.max} characters.", "too_long"))
        if self.min and not VISIBLE.search(text):
            raise ValidationError(Message("Must contain visible characters.", "required"))
        return text


class MultilineText(Text):
    """Text with line breaks, which are stored as line feeds."""

    forbidden = re.compile(CONTROL.pattern.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        return super()._deserialize(value, attr, data, **kwargs)


class PastDate(fields.Date):
    """A date, YYYY-MM-DD, not after tomorrow in UTC: it may be tomorrow where the client is."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = value.strip() if isinstance(value, str) else "-"
        if not text and self.allow_none:
            return None
        day = date.min  # some clients send it for an unknown date, and lists sort it as unknown
        if re.fullmatch(r"[0-9]{4}(-[0-9]{2}){2}", text):
            with suppress(ValueError):
                day = date.fromisoformat(text)
        if day == date.min:
            raise ValidationError("Must be a date, e.g. 2024-05-31.")
        if day > now().date() + timedelta(days=1):
            raise ValidationError(Message("Must not be in the future.", "out_of_range"))
        return day


class StrictBoolean(fields.Boolean):
    """A boolean in JSON; unlike marshmallow's, it rejects 0 and 1."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


# A boolean in a query string
Flag = partial(
    fields.Boolean,
    truthy={"true"},
    falsy={"false"},
    error_messages={"invalid": "Must be true or false."},
)


class Year(fields.String):
    """A four-digit year as text; also accepts a number. An empty string means unknown."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        value = as_integer(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 10_000 else "-"
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{4}", text):
            raise ValidationError("Must be a four-digit year, e.g. 1999.")
        return text


class BoundedInteger(fields.Integer):
    """An integer from min to max, also as text unless strict; an empty text may mean null."""

    def __init__(self, *, min: int, max: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min, self.max = min, max
        if not self.validators:  # OneOf documents the values
            self.metadata = {"minimum": min, "maximum": max, **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if self.allow_none and isinstance(value, str) and not (value := value.strip()):
            return None
        value = as_integer(value)
        digits = "" if self.strict and isinstance(value, str) else str(value)
        is_integer = re.fullmatch(r"-?[0-9]{1,16}", digits)
        if not is_integer or not self.min <= int(value) <= self.max:
            text = f"Must be an integer between {self.min} and {self.max}."
            raise ValidationError(Message(text, "out_of_range" if is_integer else "invalid"))
        return int(value)


class InlineFile(NamedTuple):
    """The decoded content of a data: URL."""

    data: bytes


class ImageUrl(Text):
    """An http or https URL, or a data: URL with an image. An empty string means no image.

    Characters that RFC 3986 does not allow are encoded, as browsers do.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Set the bounds of a URL; do not document maxLength, which a data: URL may exceed."""
        super().__init__(**kwargs)
        self.metadata = {k: value for k, value in self.metadata.items() if k != "maxLength"}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value[:32].lstrip()[:5].lower() == "data:":
            return _parse_data_url(value)
        text = super()._deserialize(value, attr, data, **kwargs)
        if not text:
            return None
        try:
            uri = iri_to_uri(STRAY_PERCENT.sub("%25", text)) if NOT_URI.search(text) else text
            url = urlsplit(uri)
            is_web = url.scheme in {"http", "https"} and url.hostname and (url.port or 1) > 0
        except ValueError:
            is_web = False
        if not is_web or re.search(r"\s", text) or NOT_URI.search(uri):
            raise ValidationError("Must be an http:// or https:// URL.")
        if len(uri) > self.max:
            raise ValidationError(Message(f"Must be at most {self.max} characters.", "too_long"))
        return uri


def _parse_data_url(url: str) -> InlineFile:
    prefix = DATA_URL.match(url[:64])
    if prefix is None:
        raise ValidationError("A data: URL must contain an image: data:image/...;base64,...")
    try:
        data = binascii.a2b_base64(url[prefix.end() :].rstrip(), strict_mode=True)
    except ValueError as error:
        raise ValidationError("The data: URL is not valid base64.") from error
    return InlineFile(data)
