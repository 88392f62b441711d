"""The OpenAPI document, and a Swagger UI page that loads nothing from other hosts."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app, send_from_directory

from ..api.blueprint import openapi_spec, public
from ..images.ingest import own_base

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
HERE = Path(__file__).parent
ASSETS = {
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
    "docs.js": str(HERE),
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
    response = Response(spec.replace(b'[{"url":"/"}]', server, 1), mimetype="application/json")
    response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/docs")
@public
def get_docs_page() -> Response:
    """Return the Swagger UI page."""
    response = Response((HERE / "docs.html").read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/docs/<any({}):name>".format(",".join(f"'{name}'" for name in ASSETS)))
@public
def get_docs_asset(name: str) -> Response:
    """Return a script, style sheet or icon of the page."""
    return send_from_directory(ASSETS[name], name, max_age=3600)


@lru_cache(maxsize=4)
def _render_spec(_name: str, _app: int) -> bytes:
    return orjson.dumps(openapi_spec(current_app))
