"""Schemas of the movie routes."""

import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from ..api.errors import Message
from ..api.fields import (
    BoundedInteger,
    Flag,
    QuerySchema,
    ResponseSchema,
    Text,
    Year,
    none_default,
)
from ..api.request_parser import row_id_from
from .fields import MovieCreateSchema, ReadOnlyFields
from .pagination import MAX_WORDS, RELEVANCE, SORT_COLUMNS
from .titles import search_words

MAX_PAGE = 2**53 - 1  # the largest integer that JavaScript represents exactly
MAX_IDS = 100  # per request
PRIVATE = {"notes"}  # fields that API tokens with the scope share do not see
SORT_KEY = f"-?({'|'.join(SORT_COLUMNS)})"
YEAR = {"pattern": "^[0-9]{4}$", "example": "1979"}
TIME = {"example": "2026-01-31T12:00:00.000000Z"}


def check_words(search: str) -> None:
    """Reject a search with too many words."""
    if len(search_words(search)) > MAX_WORDS:
        raise ValidationError(Message(f"Must have at most {MAX_WORDS} words.", "too_long"))


class MovieUpdateSchema(ReadOnlyFields, MovieCreateSchema):
    """The fields of a movie to update; missing fields keep their values."""

    title = Text(min=1, max=255, metadata={"example": "Aliens"})


class SortField(fields.String):
    """Comma-separated sort keys; a leading minus sign sorts in descending order."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        keys = [key.strip() for key in super()._deserialize(value, attr, data, **kwargs).split(",")]
        if keys == ["relevance"]:
            return RELEVANCE
        names = [key.removeprefix("-") for key in keys]
        if "relevance" in names:
            raise ValidationError("relevance must be the only sort key, without a minus sign.")
        if unknown := [name for name in names if name not in SORT_COLUMNS]:
            text = f"{unknown[0]!r} is not one of {', '.join(SORT_COLUMNS)}."
            raise ValidationError(Message(text, "invalid_choice"))
        if len(set(names)) < len(names):
            raise ValidationError(Message("Each sort key must appear only once.", "duplicate"))
        return tuple((name, key.startswith("-")) for name, key in zip(names, keys, strict=True))


class IdList(fields.String):
    """Comma-separated ids of movies, 1 to 100."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        texts = [each.strip() for each in value.split(",")]
        are_ids = all(re.fullmatch("[0-9]+", each) for each in texts)
        ids = frozenset(map(row_id_from, texts)) if are_ids else ()
        if not 1 <= len(ids) <= MAX_IDS:
            raise ValidationError(f"Must be 1 to {MAX_IDS} IDs separated by commas, e.g. 17,18.")
        return ids


class MoviesDeleteQuerySchema(QuerySchema):
    """The movies to delete."""

    ids = IdList(
        required=True,
        metadata={
            "example": "2,3",
            "pattern": f"^[0-9]+(,[0-9]+){{0,{MAX_IDS - 1}}}$",
            "description": f"1 to {MAX_IDS} IDs, separated by commas; duplicates are ignored.",
        },
    )


class MovieQuerySchema(QuerySchema):
    """Filters, sort order and page of a movie list."""

    page = BoundedInteger(
        min=1, max=MAX_PAGE, load_default=none_default, metadata={"description": "Defaults to 1."}
    )
    limit = BoundedInteger(
        min=1, max=100, load_default=20, metadata={"description": "Number of movies per page."}
    )
    search = Text(
        max=255,
        validate=check_words,
        load_default=none_default,
        metadata={
            "example": "alien",
            "description": "Words of the title or parts of them, ignoring case, accents and "
            "punctuation except % and _; a word of four digits also matches the year. "
            f"At most {MAX_WORDS} words.",
        },
    )
    year = Year(load_default=none_default, metadata={**YEAR, "description": "Movies of this year."})
    year_from = Year(
        load_default=none_default, metadata={**YEAR, "description": "Movies of this year or later."}
    )
    year_to = Year(
        load_default=none_default,
        metadata={**YEAR, "description": "Movies of this year or earlier."},
    )
    rating_from = BoundedInteger(
        min=1,
        max=10,
        load_default=none_default,
        metadata={"description": "Movies with this rating or a higher one."},
    )
    rating_to = BoundedInteger(
        min=1,
        max=10,
        load_default=none_default,
        metadata={"example": 10, "description": "Movies with this rating or a lower one."},
    )
    watched = Flag(
        load_default=none_default,
        metadata={
            "example": True,
            "description": "Movies with a watchedOn, or movies without one.",
        },
    )
    sort = SortField(
        load_default=none_default,
        metadata={
            "example": "-year,title",
            "pattern": f"^(relevance|{SORT_KEY}(,{SORT_KEY})*)$",
            "description": "Defaults to `-createdAt`, or with `search` to `relevance`: exact "
            "titles, then titles that start with the search, then others; newest first in each. "
            f"Comma-separated keys: {', '.join(SORT_COLUMNS)}, e.g. "
            "`-year,title`; a leading minus sign sorts in descending order. Movies without a "
            "rating or watchedOn come last in both directions.",
        },
    )
    cursor = fields.String(
        load_default=none_default,
        metadata={"description": "meta.nextCursor of the previous page, instead of page."},
    )

    @post_load
    def set_sort(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Set the default order; reject relevance without a search."""
        data["sort"] = data["sort"] or (RELEVANCE if data["search"] else (("createdAt", True),))
        if data["sort"] == RELEVANCE and not data["search"]:
            raise ValidationError("relevance requires a search.", "sort")
        return data

    @validates_schema
    def check_page_or_cursor(self, data: dict[str, Any], **_: Any) -> None:
        """Reject a query that has both page and cursor."""
        if data.get("cursor") is not None and data.get("page") is not None:
            raise ValidationError("Use either page or cursor, not both.", "cursor")


def _response_field(name: str, field: fields.Field[Any]) -> fields.Field[Any]:
    """Return a request field as a response field, without its validation."""
    plain: Any = next(base for base in type(field).__mro__ if base.__module__ == fields.__name__)
    response: fields.Field[Any] = plain(
        allow_none=field.allow_none,
        metadata={
            "example": field.metadata["example"],
            "optional": name in PRIVATE,
            **field.metadata.get("response", {}),
        },
    )
    return response


MovieSchema = ResponseSchema.from_dict(
    {
        "id": fields.Integer(metadata={"example": 1}),
        **{
            name: _response_field(name, field)
            for name, field in MovieCreateSchema().load_fields.items()
        },
        "owner_id": fields.UUID(metadata={"example": "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"}),
        "created_at": fields.DateTime(metadata=TIME),
        "updated_at": fields.DateTime(metadata=TIME),
    },
    name="MovieSchema",
)


class DecadeSchema(ResponseSchema):
    """A decade with movies."""

    decade = fields.String(
        metadata={"example": "1970", "description": "The first year of the decade."}
    )
    count = fields.Integer(metadata={"example": 1})


class MonthSchema(ResponseSchema):
    """One of the last months."""

    month = fields.String(metadata={"example": "2026-01"})
    count = fields.Integer(metadata={"example": 1})


class MovieStatsSchema(ResponseSchema):
    """Statistics of the caller's collection."""

    total = fields.Integer(metadata={"example": 1})
    rated = fields.Integer(metadata={"example": 1, "description": "Movies with a rating."})
    average_rating = fields.Float(
        allow_none=True,
        metadata={"example": 9.0, "description": "Rounded to one decimal; null without ratings."},
    )
    watched = fields.Integer(metadata={"example": 1, "description": "Movies with a watchedOn."})
    by_decade = fields.List(
        fields.Nested(DecadeSchema),
        metadata={"description": "Ascending; movies without a year are not counted."},
    )
    watched_by_month = fields.List(
        fields.Nested(MonthSchema),
        metadata={"description": "The 12 months up to the current one in UTC, ascending."},
    )


class CursorMetaSchema(ResponseSchema):
    """Position of a page after a cursor."""

    limit = fields.Integer(metadata={"example": 20})
    next_cursor = fields.String(
        allow_none=True, metadata={"description": "null on the last page.", "example": None}
    )


class PageMetaSchema(CursorMetaSchema):
    """Position of a page by its number."""

    page = fields.Integer(metadata={"example": 1})
    total = fields.Integer(metadata={"example": 1})
    total_pages = fields.Integer(metadata={"example": 1})


class MoviePageSchema(ResponseSchema):
    """A page of the collection."""

    items = fields.List(fields.Nested(MovieSchema))
    meta = fields.Raw(metadata={"schemas": (PageMetaSchema, CursorMetaSchema)})
