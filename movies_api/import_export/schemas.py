"""What import and export take and answer."""

from marshmallow import fields, validate

from ..api.fields import QuerySchema, RequestSchema, ResponseSchema
from ..movies.fields import MovieCreateSchema, ReadOnlyFields

CHOOSE = "Must be one of: {choices}."


class ExportQuerySchema(QuerySchema):
    """As what kind of file."""

    format = fields.String(
        load_default="json",
        validate=validate.OneOf(["json", "csv", "ndjson"], error=CHOOSE),
        metadata={
            "description": "An array, a table with a header row, or one JSON object in each line."
        },
    )


class ImportQuerySchema(QuerySchema):
    """What is to be done with the rows."""

    dry_run = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        data_key="dryRun",
        error_messages={"invalid": "Must be true or false."},
        metadata={"description": "Only say what would be done."},
    )
    on_duplicate = fields.String(
        load_default="skip",
        data_key="onDuplicate",
        validate=validate.OneOf(["skip", "allow", "error"], error=CHOOSE),
        metadata={
            "description": "What becomes of a row whose title (whatever case and accents) and year "
            "are in the collection already: left out, added all the same, or rejected."
        },
    )


class ImportFormSchema(RequestSchema):
    """A file as a form sends it."""

    file = fields.Raw(
        required=True, metadata={"type": "string", "format": "binary", "example": "title\nAlien\n"}
    )


class ImportRowSchema(ReadOnlyFields, MovieCreateSchema):
    """A row of a file in the service's own form."""


class ImportCountsSchema(ResponseSchema):
    """How many rows became what."""

    added = fields.Integer(required=True, metadata={"example": 1})
    skipped = fields.Integer(required=True, metadata={"example": 0})
    rejected = fields.Integer(required=True, metadata={"example": 0})


class ImportedRowSchema(ResponseSchema):
    """What became of a row; of a dry run, what would have become of it."""

    line = fields.Integer(
        required=True,
        metadata={
            "description": "The line of the file in which the row begins, a header being line 1; "
            "of a JSON array the number of the element, from 1.",
            "example": 2,
        },
    )
    action = fields.String(required=True, validate=validate.OneOf(["added", "skipped", "rejected"]))
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why it was not added; else null.", "example": None},
    )


class ImportReportSchema(ResponseSchema):
    """What became of the file."""

    format = fields.String(
        required=True,
        validate=validate.OneOf(["csv", "json", "ndjson", "letterboxd", "imdb", "trakt"]),
        metadata={"description": "What the file was taken for."},
    )
    dry_run = fields.Boolean(required=True, data_key="dryRun", metadata={"example": False})
    counts = fields.Nested(ImportCountsSchema, required=True)
    rows = fields.List(fields.Nested(ImportedRowSchema), required=True)
    rejected = fields.Raw(
        required=True,
        metadata={
            "type": ["string", "array", "null"],
            "description": "The first 1000 rejected rows (at most 16 MiB) as they came, to be "
            "corrected and sent again: of CSV a text, the header in front; of JSON a list of the "
            "objects; null when there is none.",
            "example": None,
        },
    )
    rejected_omitted = fields.Integer(
        required=True,
        data_key="rejectedOmitted",
        metadata={"description": "How many rejected rows `rejected` leaves out.", "example": 0},
    )
