"""The API document, and a page to read it that needs no other host."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app, send_from_directory

from ..api import document
from ..auth.guard import public

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
OURS = Path(__file__).parent
ASSETS = {
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
    "docs.js": str(OURS),
}
# The page may load what we serve, and nothing else
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

bp = Blueprint("docs", __name__)


@bp.get("/openapi.json")
@public
def show_document() -> Response:
    """Return the OpenAPI document."""
    response = Response(_document(), mimetype="application/json")
    response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/docs")
@public
def show_page() -> Response:
    """Return the page."""
    response = Response((OURS / "docs.html").read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/docs/<any({}):name>".format(",".join(f"'{name}'" for name in ASSETS)))
@public
def show_asset(name: str) -> Response:
    """Return what the page is made of."""
    return send_from_directory(ASSETS[name], name, max_age=3600)


def _document() -> bytes:
    return _rendered(current_app.name, id(current_app.extensions["flask-smorest"]))


@lru_cache(maxsize=4)
def _rendered(_name: str, _app: int) -> bytes:
    return orjson.dumps(document(current_app))
