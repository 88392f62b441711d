"""Fields: base schemas, and the field types that packages share."""

import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load

DATA_URL = re.compile(r"\s*data:(image/[a-z0-9.+-]{1,40});base64,", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class RequestSchema(Schema):
    """What a client sends: a key that does not exist is an error that names it."""

    error_messages = {"unknown": "Unknown field."}  # noqa: RUF012  as marshmallow has it

    class Meta:
        """Silence would lose data."""

        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Say in our words that a field is missing."""
        field_obj.error_messages["required"] = "Required."


class QuerySchema(RequestSchema):
    """What a client asks for behind the question mark."""

    error_messages = {"unknown": "Unknown parameter."}  # noqa: RUF012

    def load(self, data: Any, **_: Any) -> dict[str, Any]:
        """Return the parameters; what many ask, such as for nothing, is read once."""
        return {**self._read(frozenset(data.items()))}

    @lru_cache(maxsize=256)  # noqa: B019  there is one schema a route, for good
    def _read(self, pairs: frozenset[tuple[str, str]]) -> dict[str, Any]:
        values: dict[str, Any] = super().load(dict(pairs))
        return values


class UpdateSchema(RequestSchema):
    """What a client sends back after reading: the keys only we write are accepted and ignored."""

    def __init__(self, **kwargs: Any) -> None:
        """Find the keys that are marked dump_only."""
        super().__init__(**kwargs)
        found = self.dump_fields.items()
        self.ours = {field.data_key or name for name, field in found if field.dump_only}

    @pre_load
    def drop_read_only(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Return the data without the keys that only we write."""
        return {key: value for key, value in data.items() if key not in self.ours}


class ResponseSchema(Schema):
    """What a client gets: the statements label rows with the wire names, so there is nothing to do.

    The schema is the documentation; the test client holds every answer against it.
    """

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the object: dumping field by field costs 13 times what orjson takes."""
        return obj


class Text(fields.String):
    """One line of text: trimmed, without control characters, of min to max characters."""

    def __init__(self, *, min: int = 0, max: int, **kwargs: Any) -> None:
        """Take the bounds; both count characters after trimming."""
        super().__init__(**kwargs)
        self.min, self.max = min, max
        self.metadata = {"minLength": min, "maxLength": max, **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if CONTROL.search(text):
            raise ValidationError("Remove the control characters.")
        if len(text) < self.min:
            raise ValidationError(
                "Must not be empty."
                if self.min == 1
                else f"Must be at least {self.min} characters."
            )
        if len(text) > self.max:
            raise ValidationError(f"Must be at most {self.max} characters.")
        return text


class Year(fields.String):
    """Four digits as text; the number is taken too, and an empty text box means unknown."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 10_000 else ""
            value = value or "-"
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{4}", text):
            raise ValidationError("Must be a four-digit year, e.g. 1999.")
        return text


class BoundedInteger(fields.Integer):
    """A whole number of a query string, from min to max."""

    def __init__(self, *, min: int, max: int, **kwargs: Any) -> None:
        """Take the bounds, both included."""
        super().__init__(**kwargs)
        self.min, self.max = min, max
        self.metadata = {"minimum": min, "maximum": max, **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,16}", str(value)) or not self.min <= int(value) <= self.max:
            raise ValidationError(f"Must be an integer between {self.min} and {self.max}.")
        return int(value)


class InlineFile(NamedTuple):
    """A file inside the request, and what its sender takes it for."""

    media_type: str
    data: bytes


class ImageUrl(Text):
    """An http or https URL; an empty text box means none; a data: URL is a file inside it."""

    def __init__(self, **kwargs: Any) -> None:
        """Take the bounds of a URL; the document tells no maximum, for a file may be longer."""
        super().__init__(**kwargs)
        about = self.metadata.items()
        self.metadata = {key: value for key, value in about if key != "maxLength"}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value[:32].lstrip()[:5].lower() == "data:":
            return _parse_data_url(value)
        text = super()._deserialize(value, attr, data, **kwargs)
        if not text:
            return None
        try:
            url = urlsplit(text)
            is_web = url.scheme in {"http", "https"} and url.hostname and (url.port or 1) > 0
        except ValueError:
            is_web = False
        if not is_web or re.search(r"\s", text):
            raise ValidationError("Must be an http:// or https:// URL.")
        return text


def _parse_data_url(url: str) -> InlineFile:
    head = DATA_URL.match(url[:64])
    if head is None:
        raise ValidationError("A data: URL must hold an image: data:image/...;base64,...")
    media_type = head[1].lower().replace("image/jpg", "image/jpeg")
    try:
        data = binascii.a2b_base64(url[head.end() :].rstrip(), strict_mode=True)
    except ValueError as error:
        raise ValidationError("The data: URL is not valid base64.") from error
    return InlineFile(media_type, data)
