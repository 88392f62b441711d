"""What is said of a movie, for each room that is told of one."""

from marshmallow import fields

from ..api.fields import ImageUrl, RequestSchema, Text, UpdateSchema, Year

IGNORED = {"description": "Accepted, so that what was read can be sent back, and ignored."}


class MovieCreateSchema(RequestSchema):
    """What a person says of a movie."""

    title = Text(min=1, max=255, required=True, metadata={"example": "Alien"})
    year = Year(
        allow_none=True,
        metadata={
            "example": "1979",
            "description": "Four digits; the number is taken too; an empty text means null.",
        },
    )
    image_url = ImageUrl(
        max=2048,
        allow_none=True,
        data_key="imageUrl",
        metadata={
            "example": "https://example.com/alien.jpg",
            "description": "http or https, at most 2048 characters; an empty text means null. "
            "Or a picture itself, as `data:image/...;base64,...`: it is stored, its URL answered.",
        },
    )


class ReadOnlyFields(UpdateSchema):
    """What a client that sends back what it got sends beside."""

    id = fields.Raw(dump_only=True, metadata=IGNORED)
    owner_id = fields.Raw(dump_only=True, data_key="ownerId", metadata=IGNORED)
    created_at = fields.Raw(dump_only=True, data_key="createdAt", metadata=IGNORED)
    updated_at = fields.Raw(dump_only=True, data_key="updatedAt", metadata=IGNORED)
