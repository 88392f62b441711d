"""Errors: their codes and messages, and the response in the envelope."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any, Literal, NoReturn, Self

import orjson
from blinker import signal
from flask import Flask, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response

from ..db.outages import cause_of, log_cause

limit_exceeded = signal("limit-exceeded")  # the sender is the name of a rate limit or quota
CODES = {
    400: ("VALIDATION_ERROR", "The request is invalid."),
    401: ("INVALID_TOKEN", "You are no longer logged in. Please log in again."),
    403: ("FORBIDDEN", "You are not allowed to do this."),
    404: ("NOT_FOUND", "Not found."),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed."),
    409: (
        "USER_EXISTS",
        "An account with this email address already exists. Log in, or use another address.",
    ),
    412: (
        "PRECONDITION_FAILED",
        "The movie has been modified in the meantime. Reload it and try again.",
    ),
    413: ("PAYLOAD_TOO_LARGE", "The request body is too large."),
    415: (
        "UNSUPPORTED_MEDIA_TYPE",
        "The request body must be JSON, with Content-Type: application/json.",
    ),
    416: ("RANGE_NOT_SATISFIABLE", "The requested range is outside the image."),
    429: ("RATE_LIMITED", "Too many requests. Please wait and try again."),
    500: (
        "INTERNAL_ERROR",
        "Something went wrong on our side. If it persists, report this request ID.",
    ),
    501: ("SMTP_URL_NOT_SET", "This service cannot send email. Set SMTP_URL to enable it."),
    503: ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please try again."),
}
MISSING_TOKEN = ("MISSING_TOKEN", "You are not logged in. Please log in.")
TOKEN_EXPIRED = ("TOKEN_EXPIRED", "Your session has expired. Please log in again.")
WRONG_CREDENTIALS = ("INVALID_CREDENTIALS", "Wrong email or password.")
CUT_OFF = "The request body is incomplete. Send the whole request again."
RETRY_SECONDS = 1
# The codes of error.fields. required: missing, null or empty; too_large: an image
FieldCode = Literal[
    "required",
    "unknown",
    "invalid",
    "invalid_choice",
    "too_short",
    "too_long",
    "too_large",
    "too_weak",
    "out_of_range",
    "duplicate",
    "not_found",
    "incorrect",
]


class Message(str):
    """A message about a field with its code; a plain string has the code `invalid`."""

    __slots__ = ("code",)
    code: FieldCode

    def __new__(cls, text: str, code: FieldCode = "invalid") -> Self:
        """Return the text with its code."""
        message = super().__new__(cls, text)
        message.code = code
        return message

    def format(self, *args: object, **kwargs: object) -> Self:
        """Format the text and keep its code; marshmallow calls this."""
        return type(self)(super().format(*args, **kwargs), self.code)


class ApiError(HTTPException):
    """An HTTP error with a code and details; raise it with `abort_with`."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code, self.error_code, self.details = status, code, details
        self.fields: list[dict[str, str]] = []
        self.retry_after: int | None = None


def abort_with(
    status: int, code: str = "", message: str = "", details: Mapping[str, Any] | None = None
) -> NoReturn:
    """Abort with an error; code and message default to the usual ones of the status."""
    usual_code, usual_message = CODES[status]
    raise ApiError(status, code or usual_code, message or usual_message, details or {})


def abort_quota(name: str, limit: str) -> NoReturn:
    """Abort with 403; `limit` completes the sentence and says what to do."""
    limit_exceeded.send(name)
    abort_with(403, "QUOTA_EXCEEDED", f"Your account has reached its limit of {limit}")


def abort_rate_limited(name: str, seconds: int) -> NoReturn:
    """Abort with 429 and a Retry-After of at least one second."""
    limit_exceeded.send(name)
    error = ApiError(429, *CODES[429], {})
    error.retry_after = max(seconds, 1)
    raise error


def abort_validation(messages: Mapping[str, Any]) -> NoReturn:
    """Abort with VALIDATION_ERROR; the messages are keyed by wire field, as in marshmallow."""
    raise validation_error(messages)


def validation_error(messages: Mapping[str, Any]) -> ApiError:
    """Return a VALIDATION_ERROR, which lists the messages by field and with their codes."""
    found = list(flatten_messages(messages))
    details: dict[str, list[str]] = {}
    for (name, *inner), text in found:
        details.setdefault(name, []).append(": ".join([*inner, text]))
    message = " ".join(f"{name}: {' '.join(texts)}" for name, texts in details.items())
    error = ApiError(400, CODES[400][0], message, details)
    error.fields = [
        {"field": ".".join(path), "code": getattr(text, "code", "invalid"), "message": text}
        for path, text in found
    ]
    return error


def flatten_messages(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, str]]:
    """Yield each message with the path of its field."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from flatten_messages(inner, (*path, str(name)))
    else:
        yield from ((path, text) for text in messages)


@contextmanager
def acquire_slot(slots: BoundedSemaphore, seconds: float, message: str) -> Iterator[None]:
    """Acquire a semaphore slot; abort with 503 if none is free within the given seconds."""
    if not slots.acquire(timeout=seconds):
        abort_with(503, message=message)
    try:
        yield
    finally:
        slots.release()


def init_errors(app: Flask) -> None:
    """Register the handlers that return every error in the envelope."""
    app.before_request(reject_for_server)
    app.register_error_handler(HTTPException, handle_http_error)
    for error in (DBAPIError, PoolTimeout):
        app.register_error_handler(error, handle_database_error)


def reject_for_server() -> None:
    """Abort if the server rejected the request: its body is too large, or a queue is full."""
    status = request.environ.get("movies_api.reject_with")
    if status == 413:
        request.max_content_length = request.environ["movies_api.max_body_bytes"]
        raise RequestEntityTooLarge
    if status == 503:
        abort_with(503, message="The service is busy. Please try again.")


def handle_http_error(error: HTTPException) -> Response:
    """Return the envelope, with the headers of the error."""
    response = error.get_response()
    status = response.status_code
    if status < 400:
        return response
    usual_code, message = CODES.get(status, (error.name.upper().replace(" ", "_"), error.name))
    if status == 413:
        message = f"The request body is too large: the limit is {request.max_content_length} bytes."
    if status == 400 and not isinstance(error, ApiError):
        is_cut_off = isinstance(error, ClientDisconnected)
        error = validation_error({"body": [CUT_OFF]} if is_cut_off else {"request": [message]})
    body: dict[str, Any] = {"code": usual_code, "message": message, "details": {}}
    if isinstance(error, ApiError):
        body = {"code": error.error_code, "message": error.description, "details": error.details}
        if error.fields:
            body["fields"] = error.fields
        if error.retry_after:
            response.headers["Retry-After"] = str(error.retry_after)
    if status == 500:
        body["details"] = {"requestId": g.get("request_id")}
    if body["code"].endswith(("_TOKEN", "TOKEN_EXPIRED")):
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    response.data = orjson.dumps({"error": body}, option=orjson.OPT_APPEND_NEWLINE)
    response.content_type = "application/json"
    return response


def handle_database_error(error: Exception) -> Response:
    """Return 503 if the database cannot serve the request; re-raise any other error."""
    cause = cause_of(error)
    if cause is None:
        raise error
    log_cause(cause, error)
    message = cause.text if cause.name == "migrations_pending" else CODES[503][1]
    return handle_http_error(ApiError(503, CODES[503][0], message, {}))
