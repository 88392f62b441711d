"""Parse JSON bodies, query strings and ids in paths."""

import re
from itertools import islice
from typing import IO, Any, NoReturn

import flask
import marshmallow as ma
import orjson
from flask import current_app
from flask.json.provider import JSONProvider
from flask.wrappers import Response
from webargs.flaskparser import FlaskParser
from werkzeug.routing import BaseConverter
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_input_stream

from ..config import current_config
from .errors import Message, abort_validation, abort_with

MAX_ID = 2**63 - 1
MAX_NAMED_FIELDS = 20
ONLY_ONCE = Message("Must be given only once.", "duplicate")
DATA_URL = re.compile(rb'"\s*data:[^"]*')
JSON_OPTIONS = orjson.OPT_UTC_Z


class Request(flask.Request):
    """A request that raises an error wherever a truncated body is read."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """Return the body; reading a truncated one raises ClientDisconnected."""
        environ = dict(self.environ)
        if self.content_length is not None:
            # With this flag werkzeug accepts any end of the stream as the end of the body
            environ.pop("wsgi.input_terminated", None)
        return get_input_stream(environ, max_content_length=self.max_content_length)


class OrjsonProvider(JSONProvider):
    """JSON by orjson, which serializes UUID and datetime and rejects invalid JSON."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return JSON text."""
        return orjson.dumps(obj, option=JSON_OPTIONS).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Return the parsed JSON text."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a JSON response, without encoding the text twice."""
        option = JSON_OPTIONS | orjson.OPT_APPEND_NEWLINE
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), option=option)
        return current_app.response_class(body, mimetype="application/json")


class RequestParser(FlaskParser):
    """A parser whose errors use our envelope and name the field."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {}  # noqa: RUF012  as in webargs

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Return the body, a JSON object."""
        has_body = req.content_length or req.mimetype or "Transfer-Encoding" in req.headers
        if req.mimetype != "application/json" and has_body:
            abort_with(415)
        data = req.get_data(cache=False)
        if req.content_length is None:
            req.stream.read(1)  # a chunked body ends at the limit: another read raises the 413
        if exceeds_body_limit(data):
            limit = current_config().max_body_bytes
            abort_with(413, message=f"The request body is too large: the limit is {limit} bytes.")
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            abort_with(400, "INVALID_JSON", f"The request body is not valid JSON: {error}.")
        if not isinstance(body, dict):
            abort_with(400, "INVALID_JSON", "The request body must be a JSON object, e.g. {}.")
        return body

    def load_querystring(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Return the parameters; abort if one is repeated."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            abort_validation({name: [ONLY_ONCE] for name in repeated})
        return req.args.to_dict()

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Abort with the messages by wire field."""
        (messages,) = error.messages_dict.values()  # the only key is the location
        named = dict(islice(messages.items(), MAX_NAMED_FIELDS))  # known fields come first
        if left := len(messages) - len(named):
            more = Message(f"{left} more fields are unknown.", "unknown")
            named[list(named)[-1]].append(more)
        abort_validation(named)


def exceeds_body_limit(data: bytes) -> bool:
    """Return whether JSON exceeds the body limit, not counting an image inside it."""
    if len(data) <= (limit := current_config().max_body_bytes):
        return False
    # Only one image may exceed the limit: other JSON takes 30 times its size in memory
    longest = max((len(found[0]) for found in DATA_URL.finditer(data)), default=0)
    return len(data) - longest > limit


def row_id_from(digits: str) -> int:
    """Return the id; larger numbers than the column can store become MAX_ID."""
    return min(int(digits.lstrip("0")[:20] or 0), MAX_ID)


class RowIdConverter(BaseConverter):
    """The id of a row in a path."""

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        """Return the id."""
        return row_id_from(value)
