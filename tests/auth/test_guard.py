"""GET /me, and the guard before every view."""

import re
import string
from uuid import uuid4

import pytest
from itsdangerous import TimestampSigner

PUBLIC = {
    "POST /auth/signup",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "POST /auth/password-reset",
    "POST /auth/email-revert",
    "POST /auth/password-reset/confirm",
    "GET /health",
    "GET /ready",
    "GET /openapi.json",
    "GET /",
    "GET /docs",
    "GET /docs/",
    "GET /docs/<asset>",
    "GET /images/<name>",
    "PUT /images/<name>",
}


def routes(app):
    """List every route of the app as "METHOD /path"."""
    return {
        f"{method} {re.sub('<any[^>]+>', '<asset>', rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def call(client, route):
    """Call a route with example values for its parameters."""
    method, path = route.split()
    path = re.sub("<uuid:[^>]+>", str(uuid4()), path.replace("<asset>", "docs.js"))
    return client.open(re.sub("<[^>]+>", "1", path), method=method)


def test_me_returns_the_caller(alice):
    response = alice.get("/me")

    assert response.status_code == 200
    assert response.json == {**alice.user, "usage": response.json["usage"]}
    assert response.json["email"] == "alice@example.com"


@pytest.mark.parametrize("path", ["/me", "/auth/sessions"])
def test_head_of_account_returns_the_headers_of_get(alice, client, path):
    full, response = alice.get(path), alice.head(path)

    assert response.status_code == 200
    assert response.data == b""
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert response.headers[name] == full.headers[name]
    assert client.head(path).status_code == 401


def test_public_routes_are_exactly_these(app):
    responses = {route: call(app.test_client(), route) for route in routes(app)}
    closed = {
        route
        for route, response in responses.items()
        if response.status_code == 401 and not is_cookie_route(route)
    }

    public = set(responses) - closed
    print("Open to all:", *sorted(public), sep="\n  ")
    assert public == PUBLIC


def is_cookie_route(route):
    """Tell whether a route accepts the refresh cookie instead of a token."""
    return route in {"POST /auth/refresh", "POST /auth/logout"}


def test_other_routes_without_token_return_401(app):
    for route in routes(app) - PUBLIC:
        response = call(app.test_client(), route)

        assert (route, response.status_code) == (route, 401)
        assert response.json["error"]["code"] == "MISSING_TOKEN"
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_openapi_security_matches_public_routes(client):
    documented = {
        f"{method} {path}"
        for method, path, operation in client.document.operations()
        if not operation.get("security")
    }

    # Refresh and logout take the cookie; /docs and /openapi.json do not describe themselves
    open_to_all = {route.replace("<name>", "{name}") for route in PUBLIC}
    assert documented == open_to_all - {"POST /auth/refresh", "POST /auth/logout"} - {
        route
        for route in PUBLIC
        if route == "GET /" or "/docs" in route or "/openapi.json" in route
    }


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWxpY2U6cGFzc3dvcmQ=", "Token abc", "abc"]
)
def test_missing_bearer_token_returns_401(client, header):
    response = client.get("/me", headers={"Authorization": header})

    assert response.status_code == 401
    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        ".",
        "ä",
        "x" * 4000,
        pytest.param(
            TimestampSigner("guessed", salt="access").sign(uuid4().hex).decode(), id="other-key"
        ),
    ],
)
def test_forged_access_token_returns_401(client, token):
    response = client.get(
        "/me", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    )

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_altered_access_token_is_rejected(alice):
    token = alice.token

    for place in (0, 5, len(token) // 2, len(token) - 3):
        alice.token = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def other_encodings(token):
    """Return other encodings that lenient base64 decodes to the same signature."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    place = letters.index(token[-1])
    same = [letters[place + more] for more in (1, 2, 3)]  # the last two bits are not used
    standard = token[:-43] + token[-43:].replace("-", "+").replace("_", "/")
    more = [f"{token}=", f"{token}==", f"{token}!!", f"{token[:-20]}!{token[-20:]}", standard]
    return [*[token[:-1] + letter for letter in same], *(text for text in more if text != token)]


def test_noncanonical_signature_encoding_is_rejected(alice, app):
    for text in other_encodings(alice.token):
        response = alice.get("/me", headers={"Authorization": f"Bearer {text}"})
        assert response.json["error"]["code"] == "INVALID_TOKEN"
    for text in other_encodings(alice.refresh_token):
        response = app.test_client(use_cookies=False).post(
            "/auth/refresh", headers={"Cookie": f"refreshToken={text}"}
        )
        assert response.json["error"]["code"] == "INVALID_TOKEN"
    words = ["user", "reset-password", "alice@example.com"]
    reset = app.test_cli_runner().invoke(args=words).output.strip().partition("token=")[2]
    for text in other_encodings(reset):
        body = {"token": text, "newPassword": "an even better battery"}
        response = alice.post("/auth/password-reset/confirm", json=body)
        assert list(response.json["error"]["details"]) == ["token"]


def test_access_and_refresh_tokens_are_not_interchangeable(alice):
    access, cookie = alice.token, alice.refresh_token
    alice.token = cookie
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"

    alice.refresh_token = access
    assert alice.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"


def test_bearer_scheme_is_case_insensitive(alice):
    token, alice.token = alice.token, None

    assert alice.get("/me", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_access_token_expires_after_15_minutes(alice, clock):
    clock.advance(minutes=14, seconds=50)
    assert alice.get("/me").status_code == 200

    clock.advance(seconds=70)  # a minute more, because the clocks of servers differ
    response = alice.get("/me")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "TOKEN_EXPIRED"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_refresh_replaces_expired_access_token(alice, clock):
    clock.advance(minutes=16)
    assert alice.get("/me").json["error"]["code"] == "TOKEN_EXPIRED"

    alice.use_session(alice.post("/auth/refresh"))

    assert alice.get("/me").status_code == 200


def test_expired_token_of_ended_session_is_invalid(alice, clock):
    assert alice.post("/auth/logout").status_code == 204
    clock.advance(minutes=16)

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_token_of_deleted_session_returns_401(alice, database):
    database.execute("DELETE FROM sessions")

    response = alice.get("/me")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_token_of_deleted_user_is_invalid(alice, database):
    if not database.is_postgresql:
        database.execute("DELETE FROM sessions")
    database.execute("DELETE FROM users")

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_token_of_expired_session_is_invalid(alice, clock):
    clock.advance(days=8)

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_authentication_precedes_validation(client):
    response = client.post("/movies?x=1", data="{", content_type="text/plain")

    assert response.status_code == 401


def test_anonymous_client_cannot_probe_movies(alice, client):
    movie_id = alice.post("/movies", json={"title": "Alien"}).json["id"]

    assert client.get(f"/movies/{movie_id}").json == client.get("/movies/999999").json
