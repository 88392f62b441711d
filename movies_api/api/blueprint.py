"""The API and its OpenAPI document, derived from what each view is."""

from collections.abc import Callable
from copy import deepcopy
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
import marshmallow as ma
from flask import Flask, current_app, request
from flask.sessions import NullSession, SessionInterface
from flask.wrappers import Response

from .error_docs import ERROR_RESPONSES, INTRODUCTION, error_response
from .errors import abort_validation, abort_with
from .fields import RequestSchema
from .request_parser import MAX_ID, OrjsonProvider, Request, RequestParser, RowIdConverter

ETAG = {"ETag": {"schema": {"type": "string"}, "description": "The version of what is answered."}}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "description": "The ETag of what you have: if that is still so, the answer is 304, no body.",
}

# By our name of each: Python 3.13 renamed a status
RESPONSE_NAMES = {
    HTTPStatus[name].value: name for name in ERROR_RESPONSES if name in HTTPStatus.__members__
}
KEY_ORDER = (
    *("openapi", "info", "tags", "paths", "components"),
    *("summary", "description", "operationId", "security"),
    *("parameters", "requestBody", "responses"),
)


NO_BODY = RequestSchema()
View = TypeVar("View", bound=Callable[..., Any])


def runs_in(pool: str) -> Callable[[View], View]:
    """Have the server run a view in that pool of threads; see thread_pools.py."""

    def decorate(view: View) -> View:
        view._apidoc = {**getattr(view, "_apidoc", {}), "pool": pool}  # type: ignore[attr-defined]
        return view

    return decorate


class ErrorBodySchema(ma.Schema):
    """The inside of the envelope."""

    code = ma.fields.String(required=True, metadata={"description": "Fit to act on."})
    message = ma.fields.String(required=True, metadata={"description": "Fit to show to a person."})
    details = ma.fields.Dict(
        required=True, metadata={"description": "Of a VALIDATION_ERROR: the messages, by field."}
    )


class ErrorSchema(ma.Schema):
    """The envelope of every error."""

    error = ma.fields.Nested(ErrorBodySchema, required=True)


class Blueprint(flask_smorest.Blueprint):
    """A room's routes, documented with the answers that follow from what they are."""

    ARGUMENTS_PARSER = RequestParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add what every operation shares to its documentation."""
        super().__init__(*args, **kwargs)
        # Behind the arguments, which would overwrite what is there, and before the answers
        self._prepare_doc_cbks.insert(1, self._prepare_common_doc)

    def arguments(self, schema: Any, **kwargs: Any) -> Any:
        """Take the schema's instance, made once and not per request."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **kwargs)

    def _store_endpoint_docs(self, endpoint: str, *args: Any, **options: Any) -> None:
        """Name each operation after its view, for those who generate a client."""
        super()._store_endpoint_docs(endpoint, *args, **options)
        verb, *nouns = endpoint.split("_")
        name, methods = verb + "".join(map(str.title, nouns)), options.get("methods", ["GET"])
        for method in methods:
            suffix = f"By{method.title()}" if len(methods) > 1 else ""
            self._docs[endpoint][method.lower()]["name"] = name + suffix

    @staticmethod
    def _prepare_common_doc(
        doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any
    ) -> dict[str, Any]:
        """Derive name, security, and the errors and headers that any such operation has."""
        doc["operationId"] = doc_info["name"]
        statuses = {400, 500, 503}
        if method in {"post", "put", "patch"} or "requestBody" in doc:
            statuses |= {413, 415}
        if not doc_info.get("public"):
            statuses |= {401}
            doc["security"] = [{"accessToken": []}]
        responses = doc_info.setdefault("response", {}).setdefault("responses", {})
        for status in sorted(statuses):
            responses.setdefault(status, [RESPONSE_NAMES[status]])
        if method == "get":
            responses[304] = ["NOT_MODIFIED"]
            responses[200][0].setdefault("headers", {}).update(ETAG)
            doc.setdefault("parameters", []).append(IF_NONE_MATCH)
        return doc


class Api(flask_smorest.Api):
    """The document, with our envelope in it."""

    ERROR_SCHEMA = ErrorSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave errors to errors.py."""

    def _register_pagination_header(self) -> None:
        """Leave pages to the list of movies."""

    def _register_responses(self) -> None:
        """Document each error with when it is given, and examples."""
        for name in ERROR_RESPONSES:
            self.spec.components.response(name, error_response(name, ErrorSchema), lazy=True)
        unchanged = {"description": "It is still what If-None-Match names."}
        self.spec.components.response("NOT_MODIFIED", unchanged, lazy=True)


class NoSessions(SessionInterface):
    """Stands for Flask's own sessions, which are not used, but would cost each request 16 µs."""

    session = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        """Return the one that holds nothing."""
        return self.session


def init_api(app: Flask) -> Api:
    """Return the API that blueprints register with."""
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
        API_VERSION="1.0.0",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
        API_SPEC_OPTIONS={"info": {"description": INTRODUCTION}},
    )
    api = Api(app)
    api.register_converter(
        RowIdConverter,
        lambda _: {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID},
    )
    api.spec.components.security_scheme(
        "accessToken",
        {"type": "http", "scheme": "bearer", "description": "From signup, login or refresh."},
    )
    api.spec.components.security_scheme(
        "refreshCookie",
        {
            "type": "apiKey",
            "in": "cookie",
            "name": "refreshToken",
            "description": "Set by signup, login and refresh; the browser sends it by itself.",
        },
    )
    return api


def reject_content_encoding() -> None:
    """Abort with 415 when a body is compressed: no route decompresses one."""
    if request.method not in {"POST", "PUT", "PATCH"} or request.endpoint is None:
        return
    if request.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
        abort_with(415, message="Send the body without compression: remove Content-Encoding.")


def reject_unknown_query_params() -> None:
    """Name the query parameters of a route that has none: silence loses data."""
    if not request.query_string or request.endpoint is None or request.method == "OPTIONS":
        return
    try:
        request.query_string.decode()
    except UnicodeDecodeError:  # what is escaped is replaced; this would break request.args
        abort_with(400, message="The query string must be UTF-8.")
    if not request.args:
        return
    apidoc = getattr(current_app.view_functions[request.endpoint], "_apidoc", None)
    if apidoc is not None and not any(
        each["in"] == "query" for each in apidoc.get("arguments", {}).get("parameters", [])
    ):
        abort_validation({name: ["Unknown parameter."] for name in request.args})


def reject_unexpected_body() -> None:
    """Name the keys of a body that comes to a route that takes none: silence loses data."""
    if request.method not in {"POST", "PUT", "PATCH"} or request.endpoint is None:
        return
    apidoc = getattr(current_app.view_functions[request.endpoint], "_apidoc", {})
    if "requestBody" in apidoc.get("manual_doc", {}) or any(
        each["in"] == "json" for each in apidoc.get("arguments", {}).get("parameters", [])
    ):
        return
    if request.content_length or request.get_data():  # a chunked one does not tell its length
        Blueprint.ARGUMENTS_PARSER.parse(NO_BODY, request, location="json")


def add_etag(response: Response) -> Response:
    """Give what was read an ETag, and answer 304 to a client that has it."""
    if request.method in {"GET", "HEAD"} and response.status_code == 200:
        if "ETag" not in response.headers and not response.is_streamed:
            response.add_etag()
        if "HTTP_IF_NONE_MATCH" in request.environ:
            # If-Match is for writes: on a read werkzeug would answer a 412 without the envelope
            response.make_conditional({**request.environ, "HTTP_IF_MATCH": ""})
    return response


def openapi_spec(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of the app."""
    api = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    content: dict[str, Any] = deepcopy(api.spec.to_dict())
    for path in content["paths"].values():
        for method in path.keys() - {"parameters"}:
            path[method] = _in_order(path[method])
    return _in_order(content)


def _in_order(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the document with its keys, and its answers, in the order of reading."""
    if "responses" in part:
        part["responses"] = dict(sorted(part["responses"].items()))
    return {**{key: part[key] for key in KEY_ORDER if key in part}, **part}


def public(view: View) -> View:
    """Open a view to callers without a session; everything else is closed."""
    about = {**getattr(view, "_apidoc", {}), "public": True}
    view._apidoc = about  # type: ignore[attr-defined]
    return view


def is_public(endpoint: str) -> bool:
    """Tell whether the endpoint's view is open to all."""
    return "public" in getattr(current_app.view_functions[endpoint], "_apidoc", {})
