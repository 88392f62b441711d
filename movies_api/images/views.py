"""Pictures: ask for permission to upload, upload, show."""

from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import current_app, g, request, send_file, url_for
from flask.wrappers import Response
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from ..api import Blueprint, runs_in
from ..auth.guard import public
from ..auth.limits import spend
from ..config import settings
from ..errors import refuse, refuse_fields
from . import schemas
from .keeping import (
    FOLDER,
    GONE,
    KEY,
    UPLOAD,
    check_quota,
    check_size,
    public_base,
    store,
    thumbnail_of,
)
from .models import type_of, upload_from_id
from .pictures import FORMATS
from .storage import on_disk, storage
from .uploads import permit_upload, read_permission

CHUNK = 1 << 16
BINARY = {"schema": {"type": "string", "format": "binary"}}
BYTES = {"image/*": BINARY}
SHOWN = {
    "description": "The picture, or the part of it that Range asks for.",
    "content": dict.fromkeys(FORMATS, BINARY),
}
NAME = {
    "in": "path",
    "name": "name",
    "description": "The end of an imageUrl: the SHA-256 of the picture, or the id of an upload.",
}

bp = Blueprint("images", __name__, description="Pictures of movies")


@bp.post("/images")
@bp.arguments(schemas.UploadFields)
@bp.response(201, schemas.Permission)
@bp.alt_response(403, response="QUOTA_EXCEEDED")
@bp.alt_response(429, response="TOO_MANY_REQUESTS")
def ask_upload(fields: dict[str, Any]) -> dict[str, Any]:
    """Ask for permission to upload a picture, straight to where pictures are kept."""
    check_size(fields["size"])
    spend("image", g.caller.id.hex)
    check_quota(g.caller.id, fields["size"])
    return permit_upload(g.caller.id, fields["content_type"], fields["size"])


@bp.put("/images/<name>")
@runs_in("images")
@public
@bp.arguments(schemas.UploadQuery, location="query")
@bp.response(201, schemas.Uploaded)
@bp.alt_response(403, response="NO_PERMISSION")
@bp.alt_response(404, response="NO_PICTURE")
@bp.alt_response(413, response="REQUEST_ENTITY_TOO_LARGE")
@bp.alt_response(415, response="OTHER_MEDIA_TYPE")
@bp.doc(
    requestBody={"required": True, "content": BYTES},
    description="The uploadUrl of POST /images when pictures are kept in a folder. The body is "
    "the file itself; the permission in the URL says who may send it.",
)
def upload_picture(query: dict[str, Any], name: str) -> dict[str, str]:
    """Upload the picture that was permitted."""
    if not UPLOAD.fullmatch(name):
        refuse(404, message=GONE)
    promise = read_permission(query["permission"])
    if promise is None or promise.upload.hex != name:
        refuse(403, message="This permission is too old or was altered: ask for a new one.")
    if request.mimetype and request.mimetype != promise.media_type:
        refuse(415, message=f"The permission is for {promise.media_type}.")
    with on_disk(), TemporaryFile() as file:
        _receive(file, promise.size)
        key = store(file, promise.media_type, "contentType", promise.owner, promise.upload)
    return {"imageUrl": f"{public_base()}{FOLDER}{key}"}


@bp.get("/images/<name>", parameters=[NAME])
@runs_in("thumbnails")
@public
@bp.arguments(schemas.PictureQuery, location="query")
@bp.response(200)
@bp.alt_response(404, response="NO_PICTURE")
@bp.alt_response(416, response="REQUESTED_RANGE_NOT_SATISFIABLE")
@bp.doc(
    description="What a URL shows never changes. Parts are given to those who ask by Range.",
    responses={
        200: SHOWN,
        206: SHOWN,
        302: {"description": "The picture is elsewhere, or goes by another name by now."},
    },
)
def show_picture(query: dict[str, Any], name: str) -> Any:
    """Show a picture, or its thumbnail."""
    key, media_type = get_picture(name)
    if key != name:
        return _elsewhere(url_for("images.show_picture", name=key, w=query["w"]))
    stored = f"images/{key}"
    if query["w"]:
        stored, media_type = thumbnail_of(key, query["w"]), "image/webp"
    # By host alone: a proxy may leave it to us to guess the rest, and none is to be led in a circle
    hosts = {request.host, request.headers.get("X-Forwarded-Host")}
    if settings().s3_bucket and urlsplit(public_base()).netloc not in hosts:
        return _elsewhere(f"{public_base()}/{stored}")
    return _file_response(stored, media_type)


def get_picture(name: str) -> tuple[str, str]:
    """Return key and media type of the picture that goes by the name, or abort with 404."""
    if UPLOAD.fullmatch(name) and (upload := upload_from_id(UUID(name))):
        name = upload.key
    media_type = type_of(name) if KEY.fullmatch(name) else None
    if media_type is None:
        refuse(404, message=GONE)
    return name, media_type


def _elsewhere(url: str) -> Response:
    headers = {"Location": url, "Cache-Control": "public, max-age=300"}
    response = current_app.response_class(status=302, headers=headers)
    del response.headers["Content-Type"]
    return response


def _file_response(stored: str, media_type: str) -> Response:
    """Return the bytes, never to be asked for again, and never to run as a page."""
    file = storage().open(stored)
    if file is None:
        refuse(404, message=GONE)
    size = file.seek(0, 2)
    file.seek(0)
    response = send_file(file, media_type, max_age=31536000, etag=False)
    response.headers.update(
        {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
    )
    response.content_length = size
    response.set_etag(etag := stored.removeprefix("images/"))
    # If-Match is for writes; what If-None-Match says is seen to for all routes at once
    asked = {**request.environ, "HTTP_IF_MATCH": "", "HTTP_IF_NONE_MATCH": ""}
    if not _asks_for_a_part(etag):
        asked.pop("HTTP_RANGE", None)
    try:
        response.make_conditional(asked, accept_ranges=True, complete_length=size)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    return response


def _asks_for_a_part(etag: str) -> bool:
    """Tell whether Range counts: one part, of bytes, of what the client does not have."""
    return (
        request.method == "GET"
        and request.range is not None
        and (request.range.units, len(request.range.ranges)) == ("bytes", 1)
        and not request.if_none_match.contains(etag)
    )


def _receive(file: IO[bytes], size: int) -> None:
    """Write the body, of exactly that many bytes, to the file; one too many ends it with 413."""
    request.max_content_length = size + 1  # a stream of exactly the limit ends in an error, too
    copyfileobj(request.stream, file, CHUNK)
    if file.tell() > size:
        refuse(413, message=f"The request body is too large: the upload URL is for {size} bytes.")
    if file.tell() < size:
        refuse_fields({"size": [f"{file.tell()} bytes came; the permission is for {size}."]})
    file.seek(0)
