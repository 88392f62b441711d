"""Fields that the movie requests and imports share."""

from marshmallow import fields

from ..api.fields import (
    IGNORED,
    BoundedInteger,
    ImageUrl,
    MultilineText,
    PastDate,
    RequestSchema,
    Text,
    UpdateSchema,
    Year,
)


class MovieCreateSchema(RequestSchema):
    """The fields of a new movie."""

    title = Text(min=1, max=255, required=True, metadata={"example": "Alien"})
    year = Year(
        allow_none=True,
        metadata={
            "example": "1979",
            "type": ["string", "integer"],
            "pattern": "^([0-9]{4})?$",
            "minimum": 1000,
            "maximum": 9999,
            "description": "Four digits, as a string or a number; an empty string means null.",
        },
    )
    image_url = ImageUrl(
        max=2048,
        allow_none=True,
        metadata={
            "example": "https://example.com/alien.jpg",
            "response": {"format": "uri"},
            "description": "An http or https URL of at most 2048 characters, percent-encoded if "
            "needed; an empty string means null. Or the image itself, as "
            "`data:image/...;base64,...`: the service stores it and returns its URL.",
        },
    )
    rating = BoundedInteger(
        min=1,
        max=10,
        allow_none=True,
        metadata={"example": 9, "description": "In half stars; an empty string means null."},
    )
    watched_on = PastDate(
        allow_none=True,
        metadata={
            "example": "2024-05-31",
            "description": "A date without a time zone, not 0001-01-01, and not after tomorrow in "
            "UTC; an empty string means null.",
        },
    )
    notes = MultilineText(
        max=2000,
        allow_none=True,
        metadata={
            "example": "In space no one can hear you scream.",
            "description": "May have line breaks; an empty string means null.",
        },
    )


class ReadOnlyFields(UpdateSchema):
    """Read-only fields that a client may send back unchanged."""

    id = fields.Integer(dump_only=True, metadata=IGNORED)
    owner_id = fields.UUID(dump_only=True, metadata=IGNORED)
    created_at = fields.DateTime(dump_only=True, metadata=IGNORED)
    updated_at = fields.DateTime(dump_only=True, metadata=IGNORED)
