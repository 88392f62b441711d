"""What movie routes take and answer."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from ..api.fields import BoundedInteger, QuerySchema, ResponseSchema, Text, Year
from .fields import MovieCreateSchema, ReadOnlyFields
from .pagination import MAX_WORDS, SORT_COLUMNS, words_of

MAX_PAGE = 2**53 - 1  # the largest whole number that JavaScript keeps exact
YEAR = {"pattern": "^[0-9]{4}$"}
TIME = {"example": "2026-01-31T12:00:00.000000Z"}


def check_words(search: str) -> None:
    """Reject a search of too many words."""
    if len(words_of(search)) > MAX_WORDS:
        raise ValidationError(f"Must have at most {MAX_WORDS} words.")


def none_default() -> None:
    """Stand for a parameter that is not given; a plain None would be documented as a value."""


class MovieUpdateSchema(ReadOnlyFields, MovieCreateSchema):
    """Any of the three; what is absent keeps its value."""

    title = Text(min=1, max=255, metadata={"example": "Aliens"})


class SortField(fields.String):
    """Keys with commas between them; a minus sign in front of one descends."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        keys = [key.strip() for key in super()._deserialize(value, attr, data, **kwargs).split(",")]
        names = [key.removeprefix("-") for key in keys]
        if unknown := [name for name in names if name not in SORT_COLUMNS]:
            raise ValidationError(f"{unknown[0]!r} is not one of {', '.join(SORT_COLUMNS)}.")
        if len(set(names)) < len(names):
            raise ValidationError("Each sort key must appear only once.")
        return tuple((name, key.startswith("-")) for name, key in zip(names, keys, strict=True))


class MovieQuerySchema(QuerySchema):
    """Which movies, in which order, how many of them."""

    page = BoundedInteger(
        min=1, max=MAX_PAGE, load_default=none_default, metadata={"description": "1 if not given."}
    )
    limit = BoundedInteger(
        min=1, max=100, load_default=20, metadata={"description": "How many movies a page has."}
    )
    search = Text(
        max=255,
        validate=check_words,
        load_default=none_default,
        metadata={
            "description": "Words of the title, or parts of them, whatever case and accents; "
            f"at most {MAX_WORDS}."
        },
    )
    year = Year(load_default=none_default, metadata={**YEAR, "description": "Of this year alone."})
    year_from = Year(
        load_default=none_default,
        data_key="yearFrom",
        metadata={**YEAR, "description": "Of this year or later."},
    )
    year_to = Year(
        load_default=none_default,
        data_key="yearTo",
        metadata={**YEAR, "description": "Of this year or earlier."},
    )
    sort = SortField(
        load_default=(("createdAt", True),),
        metadata={
            "default": "-createdAt",
            "description": "From title, year, createdAt and updatedAt, with commas between them, "
            "such as `-year,title`; a minus sign in front descends.",
        },
    )
    cursor = fields.String(
        load_default=none_default,
        metadata={"description": "In place of page: meta.nextCursor of the page before."},
    )

    @validates_schema
    def check_one_way(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse to guess which of two places is meant."""
        if data.get("cursor") is not None and data.get("page") is not None:
            raise ValidationError("Use either page or cursor, not both.", "cursor")


class MovieSchema(ResponseSchema):
    """A movie of its owner."""

    id = fields.Integer(required=True, metadata={"example": 17})
    title = fields.String(required=True, metadata={"example": "Alien"})
    year = fields.String(required=True, allow_none=True, metadata={"example": "1979"})
    image_url = fields.String(
        required=True,
        allow_none=True,
        data_key="imageUrl",
        metadata={"example": "https://example.com/alien.jpg"},
    )
    owner_id = fields.UUID(
        required=True,
        data_key="ownerId",
        metadata={"example": "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"},
    )
    created_at = fields.DateTime(required=True, data_key="createdAt", metadata=TIME)
    updated_at = fields.DateTime(required=True, data_key="updatedAt", metadata=TIME)


class PageMetaSchema(ResponseSchema):
    """Where the page stands; page, total and totalPages only without a cursor."""

    page = fields.Integer(metadata={"example": 1})
    limit = fields.Integer(required=True, metadata={"example": 20})
    total = fields.Integer(metadata={"example": 1})
    total_pages = fields.Integer(data_key="totalPages", metadata={"example": 1})
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        data_key="nextCursor",
        metadata={"description": "null on the last page.", "example": None},
    )


class MoviePageSchema(ResponseSchema):
    """A page of the collection."""

    items = fields.List(fields.Nested(MovieSchema), required=True)
    meta = fields.Nested(PageMetaSchema, required=True)
