"""Error docs: when each error is returned, with examples."""

from http import HTTPStatus
from typing import Any

from .errors import CODES

# A line ends in a backslash where the text goes on: Swagger UI breaks it at every other end
INTRODUCTION = """Sign up, log in, and keep your own collection of movies.

**Tokens.** Signup and login answer an access token, which lasts 15 minutes: send it as \
`Authorization: Bearer <token>`. They also set the cookie `refreshToken`, which scripts cannot \
read; `POST /auth/refresh` trades it for the next token and the next cookie. This page uses the \
token of the latest answer by itself. A script sends a token of `POST /auth/tokens` in its place.

**Errors** are all `{"error": {"code", "message", "details"}}`: act on `code`, show `message`. Of \
a VALIDATION_ERROR `details` maps each field to what is wrong with it; a key or a parameter that \
does not exist is one.

**Everywhere.** Times are UTC. Every answer carries `X-Request-ID`, which is also in the \
service's log. What is read has an ETag."""

FULL = "Your account has reached its limit of 100000 movies: delete some to add more."
FULL_OF_IMAGES = (
    "Your account has reached its limit of 1000000000 bytes of images: delete movies with images; "
    "the bytes are free a day later."
)

# By the name of the response: when it is given, and what it looks like if not as usual
ERROR_RESPONSES: dict[str, tuple[str, dict[str, str]]] = {
    "BAD_REQUEST": (
        "A field or parameter is wrong, missing or unknown; or the body is not a JSON object.",
        {
            "VALIDATION_ERROR": "colour: Unknown parameter.",
            "INVALID_JSON": "The request body must be a JSON object, e.g. {}.",
        },
    ),
    "UNAUTHORIZED": (
        "No access token; or it is too old: refresh and retry; or its session has ended.",
        {
            "MISSING_TOKEN": "You are not logged in. Please log in.",
            "TOKEN_EXPIRED": "Your session has expired. Please log in again.",
            "INVALID_TOKEN": "You are no longer logged in. Please log in again.",
        },
    ),
    "INVALID_LOGIN": (
        "The email or the password is wrong; it is not told which.",
        {"INVALID_CREDENTIALS": "Wrong email or password."},
    ),
    "INVALID_REFRESH_COOKIE": (
        "There is no refresh cookie, or it does not count any more.",
        {
            "MISSING_TOKEN": "You are not logged in. Please log in.",
            "INVALID_TOKEN": "You are no longer logged in. Please log in again.",
        },
    ),
    "FORBIDDEN": (
        "The movie is another user's.",
        {"FORBIDDEN": "This movie belongs to another user."},
    ),
    "ORIGIN_NOT_ALLOWED": (
        "A page calls whose origin is not allowed.",
        {"FORBIDDEN": "Requests from this origin are not allowed. Add it to CORS_ORIGIN."},
    ),
    "LOGIN_REQUIRED": (
        "The caller is a token for scripts.",
        {"FORBIDDEN": "API tokens cannot do this. Please log in."},
    ),
    "ADMIN_REQUIRED": ("The caller is no admin.", {"FORBIDDEN": "Only admins can do this."}),
    "QUOTA_EXCEEDED": (
        "The account's limit of movies or image bytes is reached; the message names it.",
        {"QUOTA_EXCEEDED": FULL},
    ),
    "NO_TOKEN": (
        "The caller is an API token, or the account's limit of API tokens is reached.",
        {
            "FORBIDDEN": "API tokens cannot do this. Please log in.",
            "QUOTA_EXCEEDED": "Your account has reached its limit of 100 API tokens: end one to "
            "create another.",
        },
    ),
    "NO_EDIT": (
        "The movie is another user's, or the account's limit of image bytes is reached.",
        {"FORBIDDEN": "This movie belongs to another user.", "QUOTA_EXCEEDED": FULL_OF_IMAGES},
    ),
    "SESSION_NOT_FOUND": ("It is not one of yours.", {"NOT_FOUND": "Session not found"}),
    "TOO_MANY_REQUESTS": (
        "Too many tries; Retry-After tells for how many seconds.",
        {"RATE_LIMITED": "Too many requests. Please wait and try again."},
    ),
    "NOT_IMPLEMENTED": (
        "The service was not told how to send mail.",
        {"SMTP_URL_NOT_SET": "This service cannot send email. Set SMTP_URL to enable it."},
    ),
    "NOT_FOUND": ("There is no such movie.", {"NOT_FOUND": "Movie not found"}),
    "INVALID_UPLOAD_URL": (
        "The permission is too old, altered or used; or the account's limit of images is reached.",
        {
            "FORBIDDEN": "The upload URL is invalid or has expired. Request a new one.",
            "QUOTA_EXCEEDED": FULL_OF_IMAGES,
        },
    ),
    "WRONG_MEDIA_TYPE": (
        "The body is not of the type that was permitted.",
        {"UNSUPPORTED_MEDIA_TYPE": "The upload URL is for image/png."},
    ),
    "IMAGE_NOT_FOUND": (
        "There is no such picture.",
        {"NOT_FOUND": "Image not found. Upload it again."},
    ),
    "REQUESTED_RANGE_NOT_SATISFIABLE": (
        "Range begins behind the end.",
        {"RANGE_NOT_SATISFIABLE": "The requested range is outside the image."},
    ),
    "CONFLICT": (
        "The email is taken, in whatever case.",
        {"USER_EXISTS": "An account with this email address already exists. Log in instead."},
    ),
    "EMAIL_TAKEN": (
        "The new email is taken, in whatever case.",
        {"USER_EXISTS": "An account with this email address already exists."},
    ),
    "PRECONDITION_FAILED": ("If-Match does not name the present version.", {}),
    "REQUEST_ENTITY_TOO_LARGE": (
        "The body is too large; the message names the limit.",
        {"PAYLOAD_TOO_LARGE": "The request body is too large: the limit is 65536 bytes."},
    ),
    "UNSUPPORTED_MEDIA_TYPE": ("The body has another media type, or a Content-Encoding.", {}),
    "INTERNAL_SERVER_ERROR": ("A fault of ours; our log has it under the request id.", {}),
    "SERVICE_UNAVAILABLE": ("The database is away.", {}),
}
DETAILS = {
    "VALIDATION_ERROR": {"colour": ["Unknown parameter."]},
    "INTERNAL_ERROR": {"requestId": "5e1c9f0d3ab84c7f9a6b2d1e0c4f8a73"},
}
HEADERS = {
    "UNAUTHORIZED": ("WWW-Authenticate", "Bearer"),
    "INVALID_REFRESH_COOKIE": ("WWW-Authenticate", "Bearer"),
    "TOO_MANY_REQUESTS": ("Retry-After", "Seconds to wait."),
    "SERVICE_UNAVAILABLE": ("Retry-After", "Seconds to wait."),
}


def error_response(name: str, schema: Any) -> dict[str, Any]:
    """Return the OpenAPI response of that name, with an example for each code it can carry."""
    when, messages = ERROR_RESPONSES[name]
    messages = messages or dict([CODES[HTTPStatus[name]]])
    examples = {
        code: {
            "value": {"error": {"code": code, "message": text, "details": DETAILS.get(code, {})}}
        }
        for code, text in messages.items()
    }
    content = {"schema": schema, "examples": examples}
    response = {"description": when, "content": {"application/json": content}}
    if name in HEADERS:
        header, text = HEADERS[name]
        response["headers"] = {header: {"schema": {"type": "string"}, "description": text}}
    return response
