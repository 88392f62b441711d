"""Validate responses against the OpenAPI document that the service publishes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from jsonschema_rs import Draft202012Validator, Registry
from werkzeug.datastructures import Headers

ENVELOPE = Draft202012Validator(
    {
        "type": "object",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "additionalProperties": False,
                "properties": {
                    "code": {"type": "string", "pattern": "^[A-Z]+(_[A-Z]+)*$"},
                    "message": {"type": "string", "minLength": 1},
                    "details": {"type": "object"},
                    "fields": {"type": "array", "minItems": 1},
                },
            }
        },
    }
)
CODES = {
    400: {"VALIDATION_ERROR", "INVALID_JSON"},
    401: {"MISSING_TOKEN", "INVALID_TOKEN", "TOKEN_EXPIRED", "INVALID_CREDENTIALS"},
    403: {"FORBIDDEN", "QUOTA_EXCEEDED"},
    404: {"NOT_FOUND"},
    405: {"METHOD_NOT_ALLOWED"},
    409: {"USER_EXISTS"},
    412: {"PRECONDITION_FAILED"},
    413: {"PAYLOAD_TOO_LARGE"},
    415: {"UNSUPPORTED_MEDIA_TYPE"},
    429: {"RATE_LIMITED"},
    500: {"INTERNAL_ERROR"},
    503: {"SERVICE_UNAVAILABLE"},
}
REQUIRED_HEADERS = {405: "Allow", 429: "Retry-After", 503: "Retry-After"}
INTERNALS = re.compile(r"Traceback|sqlalchemy|psycopg2|sqlite3|\bSELECT\b.+\bFROM\b|site-packages")
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


class DriftError(AssertionError):
    """The response differs from the document."""


def without_additions(node: Any) -> Any:
    """Return a copy in which an object schema allows only the properties that it names."""
    if isinstance(node, list):
        return [without_additions(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    copy = {key: without_additions(value) for key, value in node.items()}
    if isinstance(copy.get("properties"), dict) and "additionalProperties" not in copy:
        copy["additionalProperties"] = False
    return copy


class Document:
    """The OpenAPI document of one app."""

    def __init__(self, content: Mapping[str, Any], *, closed: bool = True) -> None:
        self.content: dict[str, Any] = without_additions(content) if closed else {**content}
        self.registry = Registry([("urn:document", self.content)])
        self.validators: dict[str, Draft202012Validator] = {}
        self.templates = [
            (re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(path))), path)
            for path in sorted(self.content["paths"], key=lambda path: path.count("{"))
        ]

    def template_of(self, path: str) -> str | None:
        """Return the documented path that matches the path of a request."""
        return next(
            (template for pattern, template in self.templates if pattern.fullmatch(path)), None
        )

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield every (METHOD, path, operation)."""
        for path, item in self.content["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    yield method.upper(), path, operation

    def check(self, method: str, path: str, status: int, headers: Headers, body: bytes) -> None:
        """Raise DriftError if the response differs from the document or the contract."""
        try:
            self._check_everywhere(status, headers, body, method)
            if method != "OPTIONS":
                self._check_operation(method, path, status, headers, body)
        except DriftError as drift:
            shown = body[:2000].decode(errors="replace")
            raise DriftError(
                f"{method} {path} -> {status}: {drift}\n{dict(headers)}\n{shown}"
            ) from None

    def _check_everywhere(self, status: int, headers: Headers, body: bytes, method: str) -> None:
        """Check what holds for every response."""
        if not headers.get("X-Request-ID"):
            raise DriftError("no X-Request-ID")
        if status < 400:
            return
        if headers.get("Content-Type") != "application/json":
            raise DriftError("an error that is not JSON")
        if status in REQUIRED_HEADERS and not headers.get(REQUIRED_HEADERS[status]):
            raise DriftError(f"no {REQUIRED_HEADERS[status]}")
        if method == "HEAD":
            return
        error = _parsed(body)
        _validate(ENVELOPE, error)
        if INTERNALS.search(body.decode()):
            raise DriftError("the response shows internals")
        code = error["error"]["code"]
        if code not in CODES.get(status, {code}):
            raise DriftError(f"{code} does not belong to {status}")
        if code.endswith("_TOKEN") and headers.get("WWW-Authenticate") != "Bearer":
            raise DriftError("no WWW-Authenticate: Bearer")
        if (code == "VALIDATION_ERROR") is not ("fields" in error["error"]):
            raise DriftError("a VALIDATION_ERROR lists fields, and only that")
        if code == "VALIDATION_ERROR":
            messages = [
                (name, text)
                for name, texts in error["error"]["details"].items()
                for text in texts
                if isinstance(texts, list) and isinstance(text, str)
            ]
            fields = error["error"]["fields"]
            if len(messages) != len(fields) or not all(map(_is_same, messages, fields)):
                raise DriftError("details and fields must be the same messages by field")
        if status == 500 and error["error"]["details"] != {"requestId": headers["X-Request-ID"]}:
            raise DriftError("a 500 must name the request id")

    def _check_operation(
        self, method: str, path: str, status: int, headers: Headers, body: bytes
    ) -> None:
        """Check the response against its operation."""
        template = self.template_of(path)
        if template is None:
            if status not in (404, 413):
                raise DriftError("the path is not documented")
            return
        operation_method = "get" if method == "HEAD" else method.lower()
        operation = self.content["paths"][template].get(operation_method)
        if operation is None:
            if status not in (404, 405, 413):  # 404: the path only looks like the documented one
                raise DriftError("the method is not documented")
            return
        place = f"#/paths/{pointer_of(template)}/{operation_method}/responses/{status}"
        response = operation["responses"].get(str(status))
        if response is None:
            raise DriftError(f"the status is not documented: {sorted(operation['responses'])}")
        if "$ref" in response:
            place = response["$ref"]
            response = self.content["components"]["responses"][place.rpartition("/")[2]]
        contents = response.get("content", {})
        if method == "HEAD" or not contents:
            if body:
                raise DriftError("a body where none is documented")
            if not contents and "Content-Type" in headers and method != "HEAD":
                raise DriftError("a content type without a body")
            return
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if media_type not in contents:
            raise DriftError(f"the content type is not documented: {sorted(contents)}")
        if media_type == "application/json":
            pointer = f"{place}/content/{pointer_of(media_type)}/schema"
            _validate(self.validator(pointer), _parsed(body))

    def check_request(
        self, method: str, path: str, names: Iterable[str], body: str | bytes
    ) -> None:
        """Raise DriftError if an accepted request has keys that the document does not name."""
        template = self.template_of(path)
        operation = template and self.content["paths"][template].get(
            "get" if method == "HEAD" else method.lower()
        )
        if not template or not operation:
            return
        known = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        if unknown := set(names) - known:
            raise DriftError(
                f"{method} {path} accepts parameters that are not documented: {sorted(unknown)}"
            )
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            place = f"#/paths/{pointer_of(template)}/{method.lower()}/requestBody/content/application~1json/schema"
            # The service may be more lenient with values (it trims text), but not with keys
            for error in self.validator(place).iter_errors(_pruned(_parsed(body))):
                if error.kind.name == "additionalProperties":
                    raise DriftError(
                        f"{method} {path} accepts a body that is not documented: {error.message}"
                    )

    def validator(self, pointer: str) -> Draft202012Validator:
        """Return the cached validator of one schema of the document."""
        if pointer not in self.validators:
            self.validators[pointer] = Draft202012Validator(
                {"$ref": f"urn:document{pointer}"},
                registry=self.registry,
                validate_formats=True,
                formats={"date-time": lambda text: DATE_TIME.fullmatch(text) is not None},
            )
        return self.validators[pointer]


def _is_same(message: tuple[str, str], field: Mapping[str, str]) -> bool:
    """Return whether a message of details is the one of fields; one of a nested field has a prefix."""
    name, text = message
    return message == (field["field"], field["message"]) or (
        field["field"].startswith(f"{name}.") and text.endswith(f": {field['message']}")
    )


def pointer_of(key: str) -> str:
    """Escape a key for use in a JSON pointer inside a URL."""
    return quote(key.replace("~", "~0").replace("/", "~1"), safe="~")


def _parsed(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise DriftError(f"not JSON: {error}") from None


def _pruned(value: Any, depth: int = 50) -> Any:
    """Return a copy with null at that depth: no schema is as deep, and jsonschema_rs rejects deep values."""
    if not isinstance(value, dict | list) or not depth:
        return None if isinstance(value, dict | list) else value
    if isinstance(value, list):
        return [_pruned(each, depth - 1) for each in value]
    return {key: _pruned(each, depth - 1) for key, each in value.items()}


def _validate(validator: Draft202012Validator, value: Any) -> None:
    errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]
    if errors:
        raise DriftError("; ".join(errors))
