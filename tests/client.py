"""The test client, which validates responses and records SQL statements."""

from __future__ import annotations

import re
from json import dumps
from typing import Any, cast

import psycopg2.extensions
from flask.testing import FlaskClient
from sqlalchemy import Engine, Pool, event
from werkzeug.test import TestResponse

from .document import Document

PASSWORD = "correct horse battery"
ASSETS = ("/docs", "/openapi.json")

# The statements of the last request of any client, as the database receives them
recorded: list[str] = []
_prepared: dict[str, str] = {}


class RecordingCursor(psycopg2.extensions.cursor):
    """Records executed statements; for a prepared statement, its text with the values."""

    def execute(self, statement: str, values: Any = None) -> None:
        """Record and execute."""
        verb, _, rest = statement.partition(" ")
        if verb == "PREPARE":
            name, _, text = rest.partition(" AS ")
            _prepared[name] = text
        elif verb == "EXECUTE":
            sent = [self.mogrify("%s", [value]).decode() for value in values]
            text = _prepared[rest.partition("(")[0]]
            recorded.append(re.sub(r"\$(\d+)", lambda found: sent[int(found[1]) - 1], text))
        elif verb not in {"SET", "DEALLOCATE"}:
            recorded.append(self.mogrify(statement, values).decode())
        super().execute(statement, values)


@event.listens_for(Pool, "connect")
def _prepare_connection(connection: Any, _record: Any) -> None:
    """Record the statements on PostgreSQL; on SQLite, do not wait for the disk at each commit."""
    if isinstance(connection, psycopg2.extensions.connection):
        connection.cursor_factory = RecordingCursor
    else:
        connection.execute("PRAGMA synchronous = OFF")


@event.listens_for(Engine, "before_cursor_execute")
def _record_sqlite(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if connection.dialect.name == "sqlite" and not statement.startswith(
        ("BEGIN", "PRAGMA", "ROLLBACK")
    ):
        recorded.append(statement)


class Client(FlaskClient):
    """A client that fails the test when a response does not match the OpenAPI document.

    `user` and `token` are those of the logged-in user; `statements` is the SQL of the last request.
    """

    undocumented: tuple[str, ...] = ASSETS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user: dict[str, Any] = {}
        self.statements: list[str] = []

    @property
    def token(self) -> str | None:
        """The access token sent with every request; set it to None to send none."""
        header: str = self.environ_base.get("HTTP_AUTHORIZATION", "")
        return header.removeprefix("Bearer ") or None

    @token.setter
    def token(self, token: str | None) -> None:
        self.environ_base.pop("HTTP_AUTHORIZATION", None)
        if token is not None:
            self.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    @property
    def refresh_token(self) -> str | None:
        """The refresh cookie; set it to restore an old one, or to None to remove it."""
        cookie = self.get_cookie("refreshToken", path="/auth")
        return cookie.value if cookie else None

    @refresh_token.setter
    def refresh_token(self, value: str | None) -> None:
        if value is None:
            self.delete_cookie("refreshToken", path="/auth")
        else:
            self.set_cookie("refreshToken", value, path="/auth", httponly=True, samesite="Strict")

    def sign_up(self, name: str) -> Client:
        """Sign up as a new user with that name; return the client."""
        email = f"{name.lower()}@example.com"
        response = self.post(
            "/auth/signup", json={"name": name, "email": email, "password": PASSWORD}
        )
        return self.use_session(response, 201)

    def log_in(self, email: str, **more: Any) -> Client:
        """Log in as an existing user; return the client."""
        response = self.post("/auth/login", json={"email": email, "password": PASSWORD, **more})
        return self.use_session(response, 200)

    def use_session(self, response: TestResponse, status: int = 200) -> Client:
        """Use the user and the token of a login response from now on."""
        assert response.status_code == status, response.text
        assert response.json is not None
        self.user, self.token = response.json["user"], response.json["accessToken"]
        return self

    def profile(self) -> dict[str, Any]:
        """Return the user of GET /me without `usage`, as a login returns it."""
        response = self.get("/me")
        assert response.status_code == 200, response.text
        return {key: value for key, value in response.json.items() if key != "usage"}  # type: ignore[union-attr]

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request and check the response."""
        if "json" in kwargs:
            # In ASCII, so that invalid text can be sent, too
            kwargs["data"] = dumps(kwargs.pop("json"))
            kwargs.setdefault("content_type", "application/json")
        sent = kwargs.get("data", "")
        recorded.clear()
        response = super().open(*args, **kwargs)
        request, body = response.request, response.get_data()
        self.statements = list(recorded)  # including those of a streamed body
        response.close()
        if request.path != "/" and not request.path.startswith(self.undocumented):
            self.document.check(
                request.method, request.path, response.status_code, response.headers, body
            )
            if response.status_code < 400 and request.method != "OPTIONS":
                self.document.check_request(request.method, request.path, request.args, sent)
        return response

    @property
    def document(self) -> Document:
        """The OpenAPI document of the app, loaded once."""
        documents = self.application.extensions
        if "tests.document" not in documents:
            response = FlaskClient(self.application, self.response_wrapper).get("/openapi.json")
            assert response.json is not None
            documents["tests.document"] = Document(response.json)
        return cast(Document, documents["tests.document"])
