"""Headers of every response: security headers and CORS."""

from typing import Any

from flask import Flask, request
from flask.wrappers import Response
from flask_cors import CORS
from werkzeug.datastructures import Headers

from ..config import Config, origin_pattern

EXPOSED_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]


class PlainResponse(Response):
    """A response that skips werkzeug's processing of headers that are final."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers; werkzeug would copy them and rebuild a Location."""
        if self.status_code in {200, 201} and "Content-Length" in self.headers:
            return self.headers
        return super().get_wsgi_headers(environ)


def init_headers(app: Flask, config: Config) -> None:
    """Add the security headers, and CORS for the configured origins."""
    app.response_class = PlainResponse
    app.after_request(add_security_headers)
    CORS(
        app,
        origins=[origin_pattern(config.cors_origins)],
        supports_credentials=True,
        expose_headers=EXPOSED_HEADERS,
        max_age=86400,
    )
    add_cors_headers = app.after_request_funcs[None].pop()
    # Without an Origin header it has no effect but takes 20 µs
    app.after_request(
        lambda res: add_cors_headers(res) if "HTTP_ORIGIN" in request.environ else res
    )


def add_security_headers(response: Response) -> Response:
    """Prevent browsers from framing, sniffing or rendering a response."""
    headers = response.headers
    headers.add("X-Content-Type-Options", "nosniff")
    headers.add("Referrer-Policy", "no-referrer")
    # A set, because a lookup of a missing header raises and catches an exception in werkzeug
    names = set(headers.keys(lower=True))
    if "content-security-policy" not in names:
        headers.add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    # A shared cache must not return the CORS headers of one origin to another
    if "cache-control" not in names:
        headers.add("Cache-Control", "no-store")
    elif "public" in headers["Cache-Control"]:
        response.vary.add("Origin")
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
