"""Your whole collection: out as a file, in from a file."""

from typing import Any
from zlib import crc32

from flask import current_app, g
from flask.wrappers import Response

from ..api import Blueprint
from ..images.keeping import public_base
from ..movies.bulk import state_of
from . import schemas
from .exporting import FORMATS, export

TEXT = {"schema": {"type": "string", "format": "binary"}}
MOVIES = {"type": "array", "items": {"$ref": "#/components/schemas/Movie"}}
EXPORTED = {
    "description": "The whole collection, newest first.",
    "headers": {
        "Content-Disposition": {
            "schema": {"type": "string"},
            "description": "A name for the file.",
        }
    },
    "content": {
        "application/json": {"schema": MOVIES},
        "text/csv": TEXT,
        "application/x-ndjson": TEXT,
    },
}

bp = Blueprint("transfer", __name__, description="Your whole collection as a file")


@bp.get("/movies/export")
@bp.arguments(schemas.ExportQuery, location="query")
@bp.response(200)
@bp.doc(
    responses={200: EXPORTED},
    description="Streamed, however large. In CSV a cell that begins with `=`, `+`, `-` or `@` has "
    "an apostrophe in front, so that no spreadsheet takes it for a formula; an import takes it "
    "away again. An answer that breaks off is not whole: retry.",
)
def export_movies(query: dict[str, Any]) -> Response:
    """Export all your movies, newest first, as one file."""
    file_format = query["format"]
    tag = f"{state_of(g.caller.id)}-{crc32(public_base().encode()):x}-{file_format}"
    response = current_app.response_class(
        export(g.caller, file_format), content_type=FORMATS[file_format][0]
    )
    response.headers["Content-Disposition"] = f'attachment; filename="movies.{file_format}"'
    response.set_etag(tag, weak=True)
    return response
