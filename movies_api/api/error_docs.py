"""Error documentation: when each error is returned, with examples."""

from http import HTTPStatus
from typing import Any, get_args

from .errors import CODES, MISSING_TOKEN, TOKEN_EXPIRED, WRONG_CREDENTIALS, FieldCode

# Lines are joined by backslashes because Swagger UI renders every line break
INTRODUCTION = """Sign up, log in, and keep your own collection of movies.

**Tokens.** Signup and login return an access token that is valid for 15 minutes: send it as \
`Authorization: Bearer <token>`. They also set the HttpOnly cookie `refreshToken`; \
`POST /auth/refresh` exchanges it for a new access token and a new cookie. This page \
automatically uses the latest token. Scripts send an API token from `POST /auth/tokens` \
instead; its scope determines what it may call.

**Errors** have the form `{"error": {"code", "message", "details"}}`: handle `code`, show \
`message`. For `VALIDATION_ERROR`, `details` maps each field to its messages, and `fields` lists \
them with codes. Unknown fields and parameters are validation errors.

**Conventions.** Times are UTC. Every response has an `X-Request-ID`, which the service also \
logs. Responses to GET requests have an ETag."""

INFO = {
    "description": INTRODUCTION,
    "license": {"name": "MIT", "identifier": "MIT"},
    "contact": {"name": "The movies_api authors"},
}
SECURITY_SCHEMES = {
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token from signup, login or refresh, or an API token from "
        "POST /auth/tokens whose scope allows the operation.",
    },
    "refreshCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "refreshToken",
        "description": "Set by signup, login and refresh; browsers send it automatically.",
    },
}
FULL = "Your account has reached its limit of 100000 movies. Delete some to add more."
FULL_OF_IMAGES = (
    "Your account has reached its limit of 1000000000 bytes of images. Delete movies with images; "
    "the space is freed a day later."
)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


# Response name: when it is returned, and its messages by code if they differ from CODES
ERROR_RESPONSES: dict[str, tuple[str, dict[str, str]]] = {
    "BAD_REQUEST": (
        "A field or parameter is invalid, missing or unknown, or the body is not a JSON object.",
        {
            "VALIDATION_ERROR": "colour: Unknown parameter.",
            "INVALID_JSON": "The request body must be a JSON object, e.g. {}.",
        },
    ),
    "INVALID_PARAMETERS": (
        "A parameter is invalid, missing or unknown.",
        {"VALIDATION_ERROR": "colour: Unknown parameter."},
    ),
    "UNAUTHORIZED": (
        "The access token is missing or expired (refresh and retry), or its session has ended.",
        dict([MISSING_TOKEN, TOKEN_EXPIRED, CODES[401]]),
    ),
    "INVALID_LOGIN": (
        "The email or the password is wrong; the response does not say which.",
        dict([WRONG_CREDENTIALS]),
    ),
    "INVALID_REFRESH_COOKIE": (
        "The refresh cookie is missing, invalid or expired.",
        dict([MISSING_TOKEN, CODES[401]]),
    ),
    "FORBIDDEN": (
        "The movie belongs to another user.",
        {"FORBIDDEN": "This movie belongs to another user."},
    ),
    "ORIGIN_NOT_ALLOWED": (
        "The origin of the calling page is not allowed.",
        {"FORBIDDEN": "Requests from this origin are not allowed. Add it to CORS_ORIGIN."},
    ),
    "SCOPE_NOT_ALLOWED": (
        "The caller uses an API token whose scope does not allow this.",
        {"FORBIDDEN": "API tokens cannot do this. Please log in."},
    ),
    "ADMIN_REQUIRED": ("The caller is not an admin.", {"FORBIDDEN": "Only admins can do this."}),
    "QUOTA_EXCEEDED": (
        "The account has reached its limit of movies or image bytes; the message names it.",
        {"QUOTA_EXCEEDED": FULL},
    ),
    "IMAGE_QUOTA_EXCEEDED": (
        "The account has reached its limit of image bytes.",
        {"QUOTA_EXCEEDED": FULL_OF_IMAGES},
    ),
    "TOKEN_QUOTA_EXCEEDED": (
        "The account has reached its limit of API tokens.",
        {
            "QUOTA_EXCEEDED": "Your account has reached its limit of 100 API tokens. End one to "
            "create another."
        },
    ),
    "SESSION_NOT_FOUND": (
        "You have no session or API token with this ID.",
        {"NOT_FOUND": "Session not found"},
    ),
    "TOO_MANY_REQUESTS": (
        "Too many attempts. Wait for the number of seconds in Retry-After.",
        {},
    ),
    "NOT_IMPLEMENTED": ("The service is not configured to send email.", {}),
    "NOT_FOUND": ("The movie does not exist.", {"NOT_FOUND": "Movie not found"}),
    "INVALID_UPLOAD_URL": (
        "The upload URL is invalid, expired or used, or the account's image limit is reached.",
        {
            "FORBIDDEN": "The upload URL is invalid or has expired. Request a new one.",
            "QUOTA_EXCEEDED": FULL_OF_IMAGES,
        },
    ),
    "WRONG_MEDIA_TYPE": (
        "The body does not have the media type that the upload URL is for.",
        {"UNSUPPORTED_MEDIA_TYPE": "The upload URL accepts only image/png."},
    ),
    "IMAGE_NOT_FOUND": (
        "The image does not exist.",
        {"NOT_FOUND": "Image not found. Upload it again."},
    ),
    "REQUESTED_RANGE_NOT_SATISFIABLE": ("Range starts after the end of the image.", {}),
    "CONFLICT": ("An account with this email exists; case is ignored.", {}),
    "PRECONDITION_FAILED": ("If-Match does not match the current version.", {}),
    "REQUEST_ENTITY_TOO_LARGE": (
        "The body is too large; the message names the limit.",
        {"PAYLOAD_TOO_LARGE": "The request body is too large: the limit is 65536 bytes."},
    ),
    "UNSUPPORTED_MEDIA_TYPE": ("The body has the wrong media type, or a Content-Encoding.", {}),
    "INTERNAL_SERVER_ERROR": ("An unexpected error; the service logs it with the request ID.", {}),
    "SERVICE_UNAVAILABLE": ("The database is unavailable, or the service is busy.", {}),
}
# The status of the first code of a response
STATUSES = {code: status for status, (code, _) in CODES.items()} | {
    "MISSING_TOKEN": 401,
    "INVALID_CREDENTIALS": 401,
    "QUOTA_EXCEEDED": 403,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "VALIDATION_ERROR": {
        "details": {"colour": ["Unknown parameter."]},
        "fields": [{"field": "colour", "code": "unknown", "message": "Unknown parameter."}],
    },
    "INTERNAL_ERROR": {"details": {"requestId": "5e1c9f0d3ab84c7f9a6b2d1e0c4f8a73"}},
}
TEXT = {"type": "string", "description": "Text that can be shown to users."}
# Properties of an error besides code, message and empty details
PROPERTIES: dict[str, dict[str, Any]] = {
    "VALIDATION_ERROR": {
        "details": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "The messages by field.",
        },
        "fields": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
    },
    "INTERNAL_ERROR": {"details": _object({"requestId": {"type": "string"}})},
}
FIELD_ERROR = _object(
    {
        "field": {"type": "string", "description": "Names of nested fields are joined by dots."},
        "code": {
            "type": "string",
            "enum": list(get_args(FieldCode)),
            "description": "For your own messages. `required`: missing, null or empty.",
        },
        "message": TEXT,
    }
)
RETRY_AFTER = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds to wait."}
BEARER = {"schema": {"type": "string"}, "description": "Bearer"}
HEADERS = {
    "UNAUTHORIZED": {"WWW-Authenticate": BEARER},
    "INVALID_REFRESH_COOKIE": {"WWW-Authenticate": BEARER},
    "TOO_MANY_REQUESTS": {"Retry-After": RETRY_AFTER},
    "SERVICE_UNAVAILABLE": {"Retry-After": RETRY_AFTER},
}


def error_schemas() -> dict[str, dict[str, Any]]:
    """Return a schema for each error code, and one for the entries of error.fields."""
    codes = {code for name in ERROR_RESPONSES for code in _messages_of(name)}
    schemas = {_schema_name(code): _error_schema(code) for code in sorted(codes)}
    return {**schemas, "FieldError": FIELD_ERROR}


def error_response(*names: str) -> dict[str, Any]:
    """Return one OpenAPI response for all these names, with their codes and examples."""
    examples: dict[str, Any] = {}
    for name in names:
        for code, text in _messages_of(name).items():
            error = {"code": code, "message": text, "details": {}, **EXAMPLES.get(code, {})}
            examples[name if code in examples else code] = {"value": {"error": error}}
    codes = dict.fromkeys(code for name in names for code in _messages_of(name))
    refs = [{"$ref": f"#/components/schemas/{_schema_name(code)}"} for code in codes]
    content = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}, "examples": examples}
    return {
        "description": " ".join(ERROR_RESPONSES[name][0] for name in names),
        "content": {"application/json": content},
        "headers": {key: header for name in names for key, header in HEADERS.get(name, {}).items()},
    }


def status_of(name: str) -> int:
    """Return the status of a response."""
    return STATUSES[next(iter(_messages_of(name)))]


def _messages_of(name: str) -> dict[str, str]:
    """Return the messages of a response by code."""
    return ERROR_RESPONSES[name][1] or dict([CODES[HTTPStatus[name]]])


def _schema_name(code: str) -> str:
    return code.title().replace("_", "").removesuffix("Error") + "Error"


def _error_schema(code: str) -> dict[str, Any]:
    error = {
        "code": {"type": "string", "enum": [code]},
        "message": TEXT,
        "details": {"type": "object"},
        **PROPERTIES.get(code, {}),
    }
    return _object({"error": _object(error)})
