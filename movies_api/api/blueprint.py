"""Blueprints and the OpenAPI document, which is derived from the views."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

import flask_smorest
import marshmallow as ma
from flask import Flask, current_app, request
from flask.sessions import NullSession, SessionInterface
from flask.wrappers import Response

from .error_docs import (
    ERROR_RESPONSES,
    INFO,
    SECURITY_SCHEMES,
    error_response,
    error_schemas,
    status_of,
)
from .errors import abort_validation, abort_with
from .fields import UNKNOWN_PARAMETER, RequestSchema, camel_case
from .request_parser import MAX_ID, OrjsonProvider, Request, RequestParser, RowIdConverter

ID = "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"
ROW_ID = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID, "example": 1}


def response_header(name: str, description: str) -> dict[str, Any]:
    """Return the documentation of a header."""
    return {name: {"schema": {"type": "string"}, "description": description}}


ETAG = response_header("ETag", "Version of the returned resource.")
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "example": '"0"',
    "description": "ETag of your copy. If it is current, the response is a 304 without a body.",
}

KEY_ORDER = (
    *("openapi", "info", "tags", "paths", "components"),
    *("summary", "description", "operationId", "security"),
    *("parameters", "requestBody", "responses"),
)

NO_BODY = RequestSchema()
View = TypeVar("View", bound=Callable[..., Any])


def _annotate(**values: Any) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view._apidoc = {**getattr(view, "_apidoc", {}), **values}  # type: ignore[attr-defined]
        return view

    return decorate


def runs_in(pool: str) -> Callable[[View], View]:
    """Run the view in the given thread pool; see thread_pools.py."""
    return _annotate(pool=pool)


def scopes(*names: str) -> Callable[[View], View]:
    """Allow API tokens with one of these scopes to call the view; by default none may."""
    return _annotate(scopes=names)


def raises(*names: str) -> Callable[[View], View]:
    """Document these entries of ERROR_RESPONSES; the errors of all routes are added."""
    return _annotate(errors=names)


# Marks a view as public; all other views require authentication
public = _annotate(public=True)


class Blueprint(flask_smorest.Blueprint):
    """A blueprint that derives the common parts of each operation's documentation."""

    ARGUMENTS_PARSER = RequestParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Register the callback that documents what all operations share."""
        super().__init__(*args, **kwargs)
        # After the arguments, which overwrite earlier entries, and before the responses
        self._prepare_doc_cbks.insert(1, self._prepare_common_doc)

    def arguments(self, schema: Any, **kwargs: Any) -> Any:
        """Instantiate the schema once instead of per request."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **kwargs)

    def _store_endpoint_docs(self, endpoint: str, *args: Any, **options: Any) -> None:
        """Derive the operationId from the view's name, for generated clients."""
        super()._store_endpoint_docs(endpoint, *args, **options)
        name, methods = camel_case(endpoint), options.get("methods", ["GET"])
        for method in methods:
            suffix = f"By{method.title()}" if len(methods) > 1 else ""
            self._docs[endpoint][method.lower()]["name"] = name + suffix

    @staticmethod
    def _prepare_common_doc(
        doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any
    ) -> dict[str, Any]:
        """Set the operationId, the security scheme and the common errors and headers."""
        doc["operationId"] = doc_info["name"]
        has_body = method in {"post", "put", "patch"} or "requestBody" in doc
        is_json = has_body and "requestBody" not in doc_info.get("manual_doc", {})
        named = list(doc_info.get("errors", ()))
        usual = ["INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE"]
        usual.append("BAD_REQUEST" if is_json else "INVALID_PARAMETERS")
        usual += ["REQUEST_ENTITY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"] if has_body else []
        doc["security"] = []
        if not doc_info.get("public"):
            named.append("SCOPE_NOT_ALLOWED")
            usual.append("UNAUTHORIZED")
            doc["security"] = [{"accessToken": []}]
            doc["x-scopes"] = list(doc_info.get("scopes", ()))
            allowed = " or ".join(f"`{scope}`" for scope in doc["x-scopes"])
            needs = f"a login or an API token with the scope {allowed}" if allowed else "a login"
            about, manual = doc_info["docstring"], doc_info.setdefault("manual_doc", {})
            text = manual.get("description", about.get("description", ""))
            manual["description"] = f"{text}\n\nRequires {needs}.".strip()
        responses = doc_info.setdefault("response", {}).setdefault("responses", {})
        errors: dict[int, list[str]] = {}
        for name in named:
            errors.setdefault(status_of(name), []).append(name)
        for name in usual:
            errors.setdefault(status_of(name), [name])
        for status, names in errors.items():
            merged = {**error_response(*names), "content_type": None}
            responses[status] = [merged] if len(names) > 1 else names
        if method == "get":
            responses[304] = ["NOT_MODIFIED"]
            responses[200][0].setdefault("headers", {}).update(ETAG)
            doc.setdefault("parameters", []).append(IF_NONE_MATCH)
        return doc


class Api(flask_smorest.Api):
    """The OpenAPI document, with our errors."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Do nothing: errors.py handles errors."""

    def _register_pagination_header(self) -> None:
        """Do nothing: the list of movies documents its own pagination."""

    def _register_responses(self) -> None:
        """Register each error response with its description and examples."""
        for name in ERROR_RESPONSES:
            self.spec.components.response(name, error_response(name), lazy=True)
        for name, schema in error_schemas().items():
            self.spec.components.schema(name, schema)
        unchanged = {"description": "The resource still matches If-None-Match."}
        self.spec.components.response("NOT_MODIFIED", unchanged, lazy=True)


class NoSessions(SessionInterface):
    """Replace Flask's unused sessions, which cost 16 µs per request."""

    session = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        """Return the shared empty session."""
        return self.session


def init_api(app: Flask) -> Api:
    """Set up request handling and return the API that blueprints register with."""
    app.request_class = Request
    app.session_interface = NoSessions()
    app.json = OrjsonProvider(app)
    app.url_map.converters["row"] = RowIdConverter
    app.before_request(reject_content_encoding)
    app.before_request(reject_unknown_query_params)
    app.before_request(reject_unexpected_body)
    app.after_request(add_etag)
    app.config.update(
        API_TITLE="Movies API",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
        API_SPEC_OPTIONS={
            "info": INFO,
            "servers": [{"url": "/"}],
            "components": {"securitySchemes": SECURITY_SCHEMES},
        },
    )
    api = Api(app)
    api.register_converter(RowIdConverter, lambda _: {**ROW_ID})
    converter = api.ma_plugin.converter
    converter.map_to_openapi_type(ma.fields.Url, "string", "uri")
    converter.add_attribute_function(document_one_of)
    # A request may have read-only fields
    converter.attribute_functions.remove(converter.field2read_only)
    return api


def document_one_of(self: Any, field: ma.fields.Field[Any], **_: Any) -> dict[str, Any]:
    """Return the OpenAPI schema of a field with one of two schemas; the first has more keys.

    `self` is apispec's converter.
    """
    refs = [self.resolve_nested_schema(schema) for schema in field.metadata.get("schemas", ())]
    if not refs:
        return {}
    self.spec.components.schemas[refs[1]["$ref"].rpartition("/")[2]]["not"] = {**refs[0]}
    return {"oneOf": refs}


def reject_content_encoding() -> None:
    """Abort with 415 if the body is compressed: no route accepts compression."""
    if request.method not in {"POST", "PUT", "PATCH"} or request.endpoint is None:
        return
    if request.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
        abort_with(415, message="Send the body without compression: remove Content-Encoding.")


def reject_unknown_query_params() -> None:
    """Reject query parameters on a route that declares none; ignoring them would lose data."""
    if not request.query_string or request.endpoint is None or request.method == "OPTIONS":
        return
    try:
        request.query_string.decode()
    except UnicodeDecodeError:  # unlike escaped bytes, raw ones break request.args
        abort_validation({"query": ["The query string must be UTF-8."]})
    if not request.args:
        return
    apidoc = _apidoc_of(request.endpoint)
    if apidoc and not _has_arguments(apidoc, "query"):
        abort_validation({name: [UNKNOWN_PARAMETER] for name in request.args})


def reject_unexpected_body() -> None:
    """Reject a non-empty body on a route that accepts none; ignoring it would lose data."""
    if request.method not in {"POST", "PUT", "PATCH"} or request.endpoint is None:
        return
    apidoc = _apidoc_of(request.endpoint)
    if "requestBody" in apidoc.get("manual_doc", {}) or _has_arguments(apidoc, "json"):
        return
    if request.content_length or request.get_data():  # a chunked body has no Content-Length
        Blueprint.ARGUMENTS_PARSER.parse(NO_BODY, request, location="json")


def add_etag(response: Response) -> Response:
    """Add an ETag to a successful read, or return 304 if the client has that version."""
    if request.method in {"GET", "HEAD"} and response.status_code == 200:
        if "ETag" not in response.headers and not response.is_streamed:
            response.add_etag()
        if "HTTP_IF_NONE_MATCH" in request.environ:
            # If-Match is for writes: on a read werkzeug would return a 412 without the envelope
            response.make_conditional({**request.environ, "HTTP_IF_MATCH": ""})
    return response


def openapi_spec(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of the app."""
    api = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    content: dict[str, Any] = deepcopy(api.spec.to_dict())
    for path in content["paths"].values():
        for parameter in path.get("parameters", []):
            noun = parameter["name"].removesuffix("_id")
            parameter.setdefault("description", f"ID of the {noun}.")
            _add_example(parameter)
        for method in path.keys() - {"parameters"}:
            path[method] = _in_order(path[method])
            for parameter in path[method].get("parameters", []):
                _add_example(parameter)
    return _in_order(content)


def _add_example(parameter: dict[str, Any]) -> None:
    """Add an example to a parameter, which clients such as Postman send; allow an empty one."""
    if parameter["in"] == "query" and not parameter["required"]:
        parameter["allowEmptyValue"] = True  # the same as none
    schema = parameter["schema"]
    known = [schema[key] for key in ("example", "default", "minimum") if key in schema]
    known += [*schema.get("enum", []), ID if schema.get("format") == "uuid" else ""]
    parameter.setdefault("example", known[0])
    schema.pop("example", None)


def _in_order(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the document with its keys and responses in reading order."""
    if "responses" in part:
        part["responses"] = dict(sorted(part["responses"].items()))
    return {**{key: part[key] for key in KEY_ORDER if key in part}, **part}


def is_public(endpoint: str) -> bool:
    """Return whether the endpoint's view is public."""
    return "public" in _apidoc_of(endpoint)


def scopes_of(endpoint: str) -> tuple[str, ...]:
    """Return the scopes of API tokens that may call the endpoint's view."""
    return tuple(_apidoc_of(endpoint).get("scopes", ()))


def _apidoc_of(endpoint: str) -> dict[str, Any]:
    return getattr(current_app.view_functions[endpoint], "_apidoc", {})


def _has_arguments(apidoc: dict[str, Any], location: str) -> bool:
    parameters = apidoc.get("arguments", {}).get("parameters", [])
    return any(each["in"] == location for each in parameters)
