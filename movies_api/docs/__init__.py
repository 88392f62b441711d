"""The OpenAPI document, and a Swagger UI page that loads nothing from other hosts."""

import gzip
from functools import lru_cache
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from ..api.blueprint import openapi_spec, public
from ..images.ingest import own_base

SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
HERE = Path(__file__).parent
ASSETS = {
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
    "docs.js": HERE,
}
# The page loads files from this service only
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

bp = Blueprint("docs", __name__)


@bp.get("/openapi.json")
@public
def get_openapi_spec() -> Response:
    """Return the OpenAPI document."""
    spec = _render_spec(current_app.name, id(current_app.extensions["flask-smorest"]))
    server = orjson.dumps([{"url": own_base()}])
    return _compressed_response(spec.replace(b'[{"url":"/"}]', server, 1), "application/json")


@bp.get("/docs")
@public
def get_docs_page() -> Response:
    """Return the Swagger UI page."""
    response = Response((HERE / "docs.html").read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/")
@bp.get("/docs/")
@public
def redirect_to_docs() -> BaseResponse:
    """Redirect to the Swagger UI page; relative, because a proxy may add a path prefix."""
    return redirect("docs" if request.path == "/" else "../docs")


@bp.get("/docs/<any({}):name>".format(",".join(f"'{name}'" for name in ASSETS)))
@public
def get_docs_asset(name: str) -> Response:
    """Return a script, style sheet or icon of the page."""
    content, kind = (ASSETS[name] / name).read_bytes(), guess_type(name)[0] or ""
    response = _compressed_response(content, kind)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _compressed_response(content: bytes, mimetype: str) -> Response:
    """Return the content, compressed if the client accepts that."""
    is_accepted = request.accept_encodings.quality("gzip") > 0
    response = Response(_compress(content) if is_accepted else content, mimetype=mimetype)
    if is_accepted:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = "no-cache"
    return response


@lru_cache(maxsize=8)
def _compress(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@lru_cache(maxsize=4)
def _render_spec(_name: str, _app: int) -> bytes:
    return orjson.dumps(openapi_spec(current_app))
