"""Errors: the only builder of error bodies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any, NoReturn

import orjson
from flask import Flask, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response

from .outages import cause_of, log_cause

CODES = {
    400: ("VALIDATION_ERROR", "The request cannot be understood."),
    401: ("INVALID_TOKEN", "Log in again."),
    403: ("FORBIDDEN", "You may not do this."),
    404: ("NOT_FOUND", "There is nothing at this address."),
    405: ("METHOD_NOT_ALLOWED", "This address does not take this method."),
    409: ("CONFLICT", "This is in conflict with what is stored."),
    412: ("PRECONDITION_FAILED", "It has changed since you read it: read it again, then retry."),
    413: ("PAYLOAD_TOO_LARGE", "The body is too large."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send JSON, with Content-Type: application/json."),
    416: ("RANGE_NOT_SATISFIABLE", "The picture has no such part."),
    429: ("RATE_LIMITED", "Too many requests: wait, then retry."),
    500: ("INTERNAL_ERROR", "This is our fault; if it lasts, report the request id."),
    501: ("NOT_IMPLEMENTED", "This service is not set up for that."),
    503: ("SERVICE_UNAVAILABLE", "The database is away: retry in a moment."),
}
CUT_OFF = "The request body was cut off: send the whole request again."
RETRY_SECONDS = 1


class ApiError(HTTPException):
    """An answer in the error envelope; raise it by `refuse`."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code, self.error_code, self.details = status, code, details
        self.retry_after: int | None = None


def refuse(
    status: int, code: str = "", message: str = "", details: Mapping[str, Any] | None = None
) -> NoReturn:
    """End the request with an error; the status alone supplies the usual code and message."""
    usual_code, usual_message = CODES[status]
    raise ApiError(status, code or usual_code, message or usual_message, details or {})


def reject_quota(limit: str) -> NoReturn:
    """Abort with 403: the account has reached a limit; the text names it and says what to do."""
    refuse(403, "QUOTA_EXCEEDED", f"Your account has reached its limit of {limit}")


def refuse_until(seconds: int) -> NoReturn:
    """End the request of somebody who asks too often; it may come again after the seconds."""
    error = ApiError(429, *CODES[429], {})
    error.retry_after = max(seconds, 1)
    raise error


def refuse_fields(details: Mapping[str, list[str]]) -> NoReturn:
    """End the request with VALIDATION_ERROR; details maps each wire field to its messages."""
    message = " ".join(f"{name}: {' '.join(texts)}" for name, texts in details.items())
    refuse(400, "VALIDATION_ERROR", message, details)


@contextmanager
def in_turn(queue: BoundedSemaphore, seconds: float, message: str) -> Iterator[None]:
    """Wait for a place in the queue; who has waited so many seconds gets a 503 with the message."""
    if not queue.acquire(timeout=seconds):
        refuse(503, message=message)
    try:
        yield
    finally:
        queue.release()


def init_errors(app: Flask) -> None:
    """Answer every error in the envelope."""
    app.before_request(reject_for_server)
    app.register_error_handler(HTTPException, answer_http_error)
    for error in (DBAPIError, PoolTimeout):
        app.register_error_handler(error, answer_database_error)


def reject_for_server() -> None:
    """Abort when the server rejects the request: its body is too large, or a queue is full."""
    status = request.environ.get("movies_api.reject_with")
    if status == 413:
        request.max_content_length = request.environ["movies_api.max_body_bytes"]
        raise RequestEntityTooLarge
    if status == 503:
        refuse(503, message="The service is busy. Please try again.")


def answer_http_error(error: HTTPException) -> Response:
    """Return the envelope, with the headers that belong to the error."""
    response = error.get_response()
    status = response.status_code
    if status < 400:
        return response
    usual_code, message = CODES.get(status, (error.name.upper().replace(" ", "_"), error.name))
    code, details = usual_code, dict[str, Any]()
    if status == 413:
        message = f"The request body is too large: the limit is {request.max_content_length} bytes."
    if isinstance(error, ClientDisconnected):
        error = ApiError(400, code, f"body: {CUT_OFF}", {"body": [CUT_OFF]})
    if isinstance(error, ApiError):
        code, message, details = (
            error.error_code,
            error.description or message,
            dict(error.details),
        )
    if status == 500:
        details = {"requestId": g.get("request_id")}
    if (
        status == 401
        and "WWW-Authenticate" not in response.headers
        and code.endswith(("TOKEN", "EXPIRED"))
    ):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ApiError) and error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    response.data = orjson.dumps({"error": {"code": code, "message": message, "details": details}})
    response.content_type = "application/json"
    return response


def answer_database_error(error: Exception) -> Response:
    """Respond with 503 if the database cannot serve the request; else it is an error of ours."""
    cause = cause_of(error)
    if cause is None:
        raise error
    log_cause(cause, error)
    message = cause.text if cause.name == "migrations_pending" else CODES[503][1]
    return answer_http_error(ApiError(503, CODES[503][0], message, {}))
