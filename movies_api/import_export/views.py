"""Routes of import and export."""

import gc
from typing import Any
from zlib import crc32

from flask import after_this_request, current_app, g
from flask.wrappers import Response

from ..api.blueprint import Blueprint, response_header, runs_in, scopes
from ..images.ingest import public_base
from ..memory import release_memory
from ..movies.queries import collection_fingerprint
from . import schemas
from .export import FORMATS, stream_export
from .importer import import_file
from .request_file import spool_request_file

TEXT = {"schema": {"type": "string", "format": "binary"}}
MOVIES = {"type": "array", "items": {"$ref": "#/components/schemas/Movie"}}
EXPORTED = {
    "description": "The whole collection, newest first.",
    "headers": response_header("Content-Disposition", "A file name."),
    "content": {
        "application/json": {"schema": MOVIES},
        "text/csv": TEXT,
        "application/x-ndjson": TEXT,
    },
}
FILE = {
    "required": True,
    "content": {"multipart/form-data": {"schema": schemas.ImportFormSchema}, "*/*": TEXT},
}

bp = Blueprint("import_export", __name__, description="Import and export of whole collections")


@bp.get("/movies/export")
@scopes("write", "read")
@runs_in("exports")
@bp.arguments(schemas.ExportQuerySchema, location="query")
@bp.response(200)
@bp.doc(
    responses={200: EXPORTED},
    description="The response is streamed. In CSV, a cell that starts with `=`, `+`, `-` or `@` is "
    "prefixed with an apostrophe, so that spreadsheets do not run it as a formula; an import "
    "removes it. Retry when the response is incomplete.",
)
def export_movies(query: dict[str, Any]) -> Response:
    """Export all your movies, newest first, as one file."""
    file_format = query["format"]
    tag = f"{collection_fingerprint(g.caller.id)}-{crc32(public_base().encode()):x}-{file_format}"
    response = current_app.response_class(
        stream_export(g.caller, file_format), content_type=FORMATS[file_format][0]
    )
    response.headers["Content-Disposition"] = f'attachment; filename="movies.{file_format}"'
    response.set_etag(tag, weak=True)
    return response


def release_memory_when_sent(response: Response) -> Response:
    """Release the memory of the rows once the response is sent."""
    response.call_on_close(gc.collect)  # marshmallow's errors are reference cycles
    response.call_on_close(release_memory)
    return response


@bp.post("/movies/import")
@scopes("write")
@runs_in("imports")
@bp.arguments(schemas.ImportQuerySchema, location="query")
@bp.response(200, schemas.ImportReportSchema)
@bp.doc(
    requestBody=FILE,
    description="The body is the file itself, with any media type, or a form with the file in the "
    "field `file`. It may be an export of this service (JSON, NDJSON or CSV), Letterboxd, IMDb, "
    "Trakt or TMDB, the ZIP of Letterboxd or Trakt, or any CSV or JSON with titles; the format is "
    "detected. Each row is validated like `POST /movies`; the others are added if one is rejected. "
    "The first row becomes the newest movie. If the import fails, nothing is added.",
)
def import_movies(query: dict[str, Any]) -> dict[str, Any]:
    """Import movies from a file."""
    after_this_request(release_memory_when_sent)
    with spool_request_file() as (file, name):
        return import_file(g.caller.id, file, name, query)
