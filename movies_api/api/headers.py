"""Headers of every answer: what browsers must not do, and which origins may read it."""

import re
from typing import Any

from flask import Flask, request
from flask.wrappers import Response
from flask_cors import CORS
from werkzeug.datastructures import Headers

from ..config import Config

EXPOSED_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]


class PlainResponse(Response):
    """A response whose headers are sent as they are where nothing is left to be done to them."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers; werkzeug copies them, and takes a Location apart and together."""
        if self.status_code in {200, 201} and "Content-Length" in self.headers:
            return self.headers
        return super().get_wsgi_headers(environ)


def init_headers(app: Flask, config: Config) -> None:
    """Add CORS for the configured origins, and the security headers."""
    app.response_class = PlainResponse
    app.after_request(add_security_headers)
    CORS(
        app,
        origins=[re.compile(re.escape(origin) + r"\Z") for origin in config.cors_origins],
        supports_credentials=True,
        expose_headers=EXPOSED_HEADERS,
        max_age=86400,
    )
    share = app.after_request_funcs[None].pop()
    # Without an Origin it adds nothing, in 20 µs
    app.after_request(lambda answer: share(answer) if "HTTP_ORIGIN" in request.environ else answer)


def add_security_headers(response: Response) -> Response:
    """Keep an answer from being framed, sniffed, or run as a page."""
    headers = response.headers
    headers.add("X-Content-Type-Options", "nosniff")
    headers.add("Referrer-Policy", "no-referrer")
    # To ask werkzeug for a header that is not there raises and catches an error
    given = set(headers.keys(lower=True))
    if "content-security-policy" not in given:
        headers.add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    if response.status_code == 204:
        headers.pop("Content-Type", None)  # there is no content that it could be true of
    # Every answer has one by now; what is public is kept by whom another origin shows it next, too
    if "cache-control" not in given:
        headers.add("Cache-Control", "no-store")
    elif "public" in headers["Cache-Control"]:
        response.vary.add("Origin")
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
