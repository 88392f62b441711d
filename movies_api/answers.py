"""What the document says beside the schemas: its introduction, and when each error is given."""

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
ANSWERS: dict[str, tuple[str, dict[str, str]]] = {
    "BAD_REQUEST": (
        "A field or parameter is wrong, missing or unknown; or the body is not a JSON object.",
        {
            "VALIDATION_ERROR": "colour: There is no such parameter.",
            "INVALID_JSON": "The body must be a JSON object, such as {}.",
        },
    ),
    "UNAUTHORIZED": (
        "No access token; or it is too old: refresh and retry; or its session has ended.",
        {
            "MISSING_TOKEN": "Send the access token: `Authorization: Bearer <token>`.",
            "TOKEN_EXPIRED": "The access token is too old: refresh and retry.",
            "INVALID_TOKEN": "This token does not count (any more): log in again.",
        },
    ),
    "WRONG_CREDENTIALS": (
        "The email or the password is wrong; it is not told which.",
        {"INVALID_CREDENTIALS": "Wrong email or password."},
    ),
    "NO_SESSION": (
        "There is no refresh cookie, or it does not count any more.",
        {
            "MISSING_TOKEN": "There is no refresh cookie: log in.",
            "INVALID_TOKEN": "This refresh cookie does not count (any more): log in again.",
        },
    ),
    "FORBIDDEN": (
        "The movie is another user's.",
        {"FORBIDDEN": "This movie belongs to somebody else."},
    ),
    "FOREIGN_ORIGIN": (
        "A page calls whose origin is not allowed.",
        {"FORBIDDEN": "This origin is not allowed here: the service lists it in CORS_ORIGIN."},
    ),
    "PEOPLE_ONLY": (
        "The caller is a token for scripts.",
        {"FORBIDDEN": "A token for scripts may not do this: log in."},
    ),
    "ADMINS_ONLY": ("The caller is no admin.", {"FORBIDDEN": "This is for admins."}),
    "QUOTA_EXCEEDED": (
        "The account's limit of movies or image bytes is reached; the message names it.",
        {"QUOTA_EXCEEDED": FULL},
    ),
    "NO_TOKEN": (
        "The caller is an API token, or the account's limit of API tokens is reached.",
        {
            "FORBIDDEN": "A token for scripts may not do this: log in.",
            "QUOTA_EXCEEDED": "Your account has reached its limit of 100 API tokens: end one to "
            "create another.",
        },
    ),
    "NO_EDIT": (
        "The movie is another user's, or the account's limit of image bytes is reached.",
        {"FORBIDDEN": "This movie belongs to somebody else.", "QUOTA_EXCEEDED": FULL_OF_IMAGES},
    ),
    "NO_SUCH_SESSION": ("It is not one of yours.", {"NOT_FOUND": "Session not found"}),
    "TOO_MANY_REQUESTS": (
        "Too many tries; Retry-After tells for how many seconds.",
        {"RATE_LIMITED": "Too many requests: wait, then retry."},
    ),
    "NOT_IMPLEMENTED": (
        "The service was not told how to send mail.",
        {"SMTP_URL_NOT_SET": "This service cannot send mail: it needs SMTP_URL."},
    ),
    "NOT_FOUND": ("There is no such movie.", {"NOT_FOUND": "Movie not found"}),
    "NO_PERMISSION": (
        "The permission is too old, altered or used; or the account's limit of images is reached.",
        {
            "FORBIDDEN": "This permission is too old or was altered: ask for a new one.",
            "QUOTA_EXCEEDED": FULL_OF_IMAGES,
        },
    ),
    "OTHER_MEDIA_TYPE": (
        "The body is not of the type that was permitted.",
        {"UNSUPPORTED_MEDIA_TYPE": "The permission is for image/png."},
    ),
    "NO_PICTURE": (
        "There is no such picture.",
        {"NOT_FOUND": "There is no such picture (any more): upload it again."},
    ),
    "REQUESTED_RANGE_NOT_SATISFIABLE": (
        "Range begins behind the end.",
        {"RANGE_NOT_SATISFIABLE": "The picture has no such part."},
    ),
    "CONFLICT": (
        "The email is taken, in whatever case.",
        {"USER_EXISTS": "This email address has an account: log in instead."},
    ),
    "EMAIL_TAKEN": (
        "The new email is taken, in whatever case.",
        {"USER_EXISTS": "This email address has an account."},
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
    "VALIDATION_ERROR": {"colour": ["There is no such parameter."]},
    "INTERNAL_ERROR": {"requestId": "5e1c9f0d3ab84c7f9a6b2d1e0c4f8a73"},
}
HEADERS = {
    "UNAUTHORIZED": ("WWW-Authenticate", "Bearer"),
    "NO_SESSION": ("WWW-Authenticate", "Bearer"),
    "TOO_MANY_REQUESTS": ("Retry-After", "Seconds to wait."),
    "SERVICE_UNAVAILABLE": ("Retry-After", "Seconds to wait."),
}


def error_response(name: str, schema: Any) -> dict[str, Any]:
    """Return the OpenAPI response of that name, with an example for each code it can carry."""
    when, messages = ANSWERS[name]
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
