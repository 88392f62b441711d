"""Request and response schemas of import and export."""

from marshmallow import fields, validate

from ..api.fields import Flag, QuerySchema, RequestSchema, ResponseSchema, one_of
from .formats import NAMES


class ExportQuerySchema(QuerySchema):
    """The format of an export."""

    format = fields.String(
        load_default="json",
        validate=one_of("json", "csv", "ndjson"),
        metadata={
            "description": "A JSON array, CSV with a header row, or one JSON object per line."
        },
    )


class ImportQuerySchema(QuerySchema):
    """How to import the rows."""

    dry_run = Flag(
        load_default=False, metadata={"description": "Only report what an import would do."}
    )
    on_duplicate = fields.String(
        load_default="skip",
        validate=one_of("skip", "allow", "error", "update"),
        metadata={
            "description": "What to do with a row whose title (ignoring case and accents) and year "
            "are already in the collection: `skip` it, `allow` it, reject it as an `error`, or "
            "`update` the movie by filling in its empty rating, watchedOn and notes."
        },
    )


class ImportFormSchema(RequestSchema):
    """A file in a form."""

    file = fields.Raw(
        required=True, metadata={"type": "string", "format": "binary", "example": "title\nAlien\n"}
    )


class ImportCountsSchema(ResponseSchema):
    """The number of rows by outcome."""

    added = fields.Integer(metadata={"example": 1})
    skipped = fields.Integer(metadata={"example": 0})
    rejected = fields.Integer(metadata={"example": 0})
    updated = fields.Integer(
        metadata={"optional": True, "example": 0, "description": "Only with onDuplicate=update."}
    )


class ImportedRowSchema(ResponseSchema):
    """The outcome of a row; of a dry run, its predicted outcome."""

    file = fields.String(
        metadata={
            "optional": True,
            "description": "The file in a ZIP, or the array in a JSON object with several.",
            "example": "ratings.csv",
        }
    )
    line = fields.Integer(
        metadata={
            "description": "Line of the file where the row begins, including the header row; in a "
            "JSON array, the number of the element. Both start at 1.",
            "example": 2,
        }
    )
    action = fields.String(validate=validate.OneOf(["added", "skipped", "rejected", "updated"]))
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "Why the row, or a part of it, was not added; otherwise null.",
            "example": None,
        },
    )


class IgnoredFileSchema(ResponseSchema):
    """A file of a ZIP that was not imported."""

    file = fields.String(metadata={"example": "profile.csv"})
    reason = fields.String(metadata={"example": "Does not contain your movies."})


class ImportReportSchema(ResponseSchema):
    """The outcome of an import."""

    format = fields.String(
        validate=validate.OneOf(["json", "ndjson", *NAMES]),
        metadata={"description": "The recognized format."},
    )
    encoding = fields.String(
        metadata={
            "description": "The text encoding that was recognized: utf-8, utf-16 or windows-1252.",
            "example": "utf-8",
        }
    )
    ignored_columns = fields.List(
        fields.String(),
        metadata={"description": "Columns or keys that were not imported.", "example": ["Tags"]},
    )
    ignored_files = fields.List(
        fields.Nested(IgnoredFileSchema),
        metadata={
            "optional": True,
            "description": "Only for a ZIP: the files that were not imported.",
        },
    )
    dry_run = fields.Boolean(metadata={"example": False})
    counts = fields.Nested(ImportCountsSchema)
    rows = fields.List(fields.Nested(ImportedRowSchema))
    rejected = fields.Raw(
        metadata={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {}},
                {"type": "object", "additionalProperties": {}},
                {"type": "null"},
            ],
            "description": "The first 1000 rejected rows (at most 16 MiB), unchanged, to correct "
            "and import again: for CSV a string that starts with the header row, for JSON an "
            "array, for a ZIP an object with one of these per file; null if there are none.",
            "example": None,
        }
    )
    rejected_omitted = fields.Integer(
        metadata={
            "description": "The number of rejected rows that `rejected` omits.",
            "example": 0,
        }
    )
