"""Image routes: request an upload URL, upload, get."""

from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import current_app, g, request, send_file
from flask.wrappers import Response
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from ..api.blueprint import Blueprint, public, raises, runs_in, scopes
from ..api.errors import abort_validation, abort_with
from ..auth.rate_limits import hit
from ..config import current_config
from . import schemas
from .codec import FORMATS
from .ingest import (
    FOLDER,
    IMAGE_NOT_FOUND,
    KEY_PATTERN,
    UPLOAD_PATTERN,
    check_file_size,
    check_quota,
    ensure_thumbnail,
    public_base,
    store_file,
)
from .queries import media_type_of, upload_from_id
from .storage import current_storage, disk_errors
from .uploads import create_upload_url, read_upload_claim

CHUNK = 1 << 16
BINARY = {"schema": {"type": "string", "format": "binary"}}
SHOWN = {
    "description": "The image, or the part that Range requests.",
    "content": dict.fromkeys(FORMATS, BINARY),
}
NAME = {
    "in": "path",
    "name": "name",
    "example": "5c0a4f17" * 8,
    "description": "Last part of an imageUrl: the SHA-256 of the image, or the ID of an upload.",
}

bp = Blueprint("images", __name__, description="Images of movies")


@bp.post("/images")
@scopes("write")
@bp.arguments(schemas.UploadCreateSchema)
@bp.response(201, schemas.UploadUrlSchema)
@raises("IMAGE_QUOTA_EXCEEDED", "TOO_MANY_REQUESTS")
def request_upload(fields: dict[str, Any]) -> dict[str, Any]:
    """Request a URL for uploading an image directly to the storage."""
    check_file_size(fields["size"])
    hit("image", g.caller.id.hex)
    check_quota(g.caller.id, fields["size"])
    return create_upload_url(g.caller.id, fields["content_type"], fields["size"])


@bp.put("/images/<name>")
@runs_in("images")
@public
@bp.arguments(schemas.UploadQuerySchema, location="query")
@bp.response(201, schemas.UploadedImageSchema)
@raises("INVALID_UPLOAD_URL", "IMAGE_NOT_FOUND", "REQUEST_ENTITY_TOO_LARGE", "WRONG_MEDIA_TYPE")
@bp.doc(
    requestBody={"required": True, "content": dict.fromkeys(FORMATS, BINARY)},
    description="The uploadUrl of POST /images if images are stored in a folder. The body is the "
    "file; the signature in the URL authorizes the request.",
)
def upload_image(query: dict[str, Any], name: str) -> dict[str, str]:
    """Upload an image to an upload URL."""
    if not UPLOAD_PATTERN.fullmatch(name):
        abort_with(404, message=IMAGE_NOT_FOUND)
    claim = read_upload_claim(query["signature"])
    if claim is None or claim.upload.hex != name:
        abort_with(403, message="The upload URL is invalid or has expired. Request a new one.")
    if request.mimetype and request.mimetype != claim.media_type:
        abort_with(415, message=f"The upload URL accepts only {claim.media_type}.")
    with disk_errors(), TemporaryFile() as file:
        _read_body(file, claim.size)
        key = store_file(file, "contentType", claim.owner, claim.upload)
    return {"imageUrl": f"{public_base()}{FOLDER}{key}"}


@bp.get("/images/<name>", parameters=[NAME])
@runs_in("thumbnails")
@public
@bp.arguments(schemas.ImageQuerySchema, location="query")
@bp.response(200)
@raises("IMAGE_NOT_FOUND", "REQUESTED_RANGE_NOT_SATISFIABLE")
@bp.doc(
    description="The image at a URL never changes. Supports range requests.",
    responses={
        200: SHOWN,
        206: SHOWN,
        302: {"description": "The image has another URL."},
    },
)
def get_image(query: dict[str, Any], name: str) -> Any:
    """Return an image or its thumbnail."""
    key, media_type = load_image(name)
    if key != name:
        # Relative: caches share this response, and clients may forge a path prefix
        return _redirect(f"{key}?w={query['w']}" if query["w"] else key)
    stored = f"images/{key}"
    if query["w"]:
        stored, media_type = ensure_thumbnail(key, query["w"]), "image/webp"
    # Compare only hosts, because a proxy may hide the rest of the URL; this avoids redirect loops
    hosts = {request.host, request.headers.get("X-Forwarded-Host")}
    if current_config().s3_bucket and urlsplit(public_base()).netloc not in hosts:
        return _redirect(f"{public_base()}/{stored}")
    return _file_response(stored, media_type)


def load_image(name: str) -> tuple[str, str]:
    """Return key and media type of the image with this name or upload ID, or abort with 404."""
    if UPLOAD_PATTERN.fullmatch(name) and (upload := upload_from_id(UUID(name))):
        name = upload.key
    media_type = media_type_of(name) if KEY_PATTERN.fullmatch(name) else None
    if media_type is None:
        abort_with(404, message=IMAGE_NOT_FOUND)
    return name, media_type


def _redirect(url: str) -> Response:
    headers = {"Location": url, "Cache-Control": "public, max-age=300"}
    response = current_app.response_class(status=302, headers=headers)
    del response.headers["Content-Type"]
    return response


def _file_response(stored: str, media_type: str) -> Response:
    """Return the file with headers that allow caching forever and prevent script execution."""
    file = current_storage().open(stored)
    if file is None:
        abort_with(404, message=IMAGE_NOT_FOUND)
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
    # If-Match is for writes; one hook handles If-None-Match for all routes
    environ = {**request.environ, "HTTP_IF_MATCH": "", "HTTP_IF_NONE_MATCH": ""}
    if not _is_range_request(etag):
        environ.pop("HTTP_RANGE", None)
    try:
        response.make_conditional(environ, accept_ranges=True, complete_length=size)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    return response


def _is_range_request(etag: str) -> bool:
    """Return whether to honor Range: a single byte range, and no matching If-None-Match."""
    return (
        request.method == "GET"
        and request.range is not None
        and (request.range.units, len(request.range.ranges)) == ("bytes", 1)
        and not request.if_none_match.contains(etag)
    )


def _read_body(file: IO[bytes], size: int) -> None:
    """Copy the body to the file; abort unless it has exactly that many bytes."""
    request.max_content_length = size + 1  # a body of exactly the limit raises an error, too
    copyfileobj(request.stream, file, CHUNK)
    if file.tell() > size:
        abort_with(
            413, message=f"The request body is too large: the upload URL accepts {size} bytes."
        )
    if file.tell() < size:
        abort_validation({"size": [f"{file.tell()} bytes were received instead of {size}."]})
    file.seek(0)
