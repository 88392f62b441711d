"""What import and export take and answer."""

from marshmallow import fields, validate

from ..fields import Query

CHOOSE = "Give one of {choices}."


class ExportQuery(Query):
    """As what kind of file."""

    format = fields.String(
        load_default="json",
        validate=validate.OneOf(["json", "csv", "ndjson"], error=CHOOSE),
        metadata={
            "description": "An array, a table with a header row, or one JSON object in each line."
        },
    )
