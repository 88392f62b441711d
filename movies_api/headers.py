"""Headers of every answer: what browsers must not do, and which origins may read it."""

import re

from flask import Flask, request
from flask.wrappers import Response
from flask_cors import CORS

from .config import Config

READABLE = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]


def init_headers(app: Flask, config: Config) -> None:
    """Add CORS for the configured origins, and the security headers."""
    app.after_request(harden)
    CORS(
        app,
        origins=[re.compile(re.escape(origin) + r"\Z") for origin in config.cors_origins],
        supports_credentials=True,
        expose_headers=READABLE,
        max_age=86400,
    )


def harden(response: Response) -> Response:
    """Keep an answer from being framed, sniffed, or run as a page."""
    headers = response.headers
    headers.add("X-Content-Type-Options", "nosniff")
    headers.add("Referrer-Policy", "no-referrer")
    if "Content-Security-Policy" not in headers:
        headers.add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    if response.status_code == 204:
        headers.pop("Content-Type", None)  # there is no content that it could be true of
    # Every answer has one by now; what is public is kept by whom another origin shows it next, too
    if "public" in headers["Cache-Control"]:
        response.vary.add("Origin")
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
