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
    """Name every route of the app as "METHOD /path"."""
    return {
        f"{method} {re.sub('<any[^>]+>', '<asset>', rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def call(client, route):
    """Call a route, with an example in place of what varies."""
    method, path = route.split()
    path = re.sub("<uuid:[^>]+>", str(uuid4()), path.replace("<asset>", "docs.js"))
    return client.open(re.sub("<[^>]+>", "1", path), method=method)


def test_says_who_one_is(alice):
    response = alice.get("/me")

    assert response.status_code == 200
    assert response.json == {**alice.user, "usage": response.json["usage"]}
    assert response.json["email"] == "alice@example.com"


@pytest.mark.parametrize("path", ["/me", "/auth/sessions"])
def test_answers_head_as_get_without_a_body(alice, client, path):
    full, response = alice.get(path), alice.head(path)

    assert response.status_code == 200
    assert response.data == b""
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert response.headers[name] == full.headers[name]
    assert client.head(path).status_code == 401


def test_the_public_set_is_exactly_this(app):
    answers = {route: call(app.test_client(), route) for route in routes(app)}
    closed = {
        route
        for route, answer in answers.items()
        if answer.status_code == 401 and not is_cookie_route(route)
    }

    public = set(answers) - closed
    print("Open to all:", *sorted(public), sep="\n  ")
    assert public == PUBLIC


def is_cookie_route(route):
    """Tell whether a route takes the refresh cookie in place of a token."""
    return route in {"POST /auth/refresh", "POST /auth/logout"}


def test_every_other_route_asks_for_a_token(app):
    for route in routes(app) - PUBLIC:
        response = call(app.test_client(), route)

        assert (route, response.status_code) == (route, 401)
        assert response.json["error"]["code"] == "MISSING_TOKEN"
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_document_calls_public_what_the_guard_lets_pass(client):
    documented = {
        f"{method} {path}"
        for method, path, operation in client.document.operations()
        if not operation.get("security")
    }

    # Refresh and logout take the cookie; the page and the document do not describe themselves
    open_to_all = {route.replace("<name>", "{name}") for route in PUBLIC}
    assert documented == open_to_all - {"POST /auth/refresh", "POST /auth/logout"} - {
        route
        for route in PUBLIC
        if route == "GET /" or "/docs" in route or "/openapi.json" in route
    }


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWxpY2U6cGFzc3dvcmQ=", "Token abc", "abc"]
)
def test_without_a_bearer_token_says_that_it_is_missing(client, header):
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
def test_rejects_a_token_that_was_made_up(client, token):
    response = client.get(
        "/me", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    )

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_rejects_a_token_that_was_altered(alice):
    token = alice.token

    for place in (0, 5, len(token) // 2, len(token) - 3):
        alice.token = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def other_spellings(token):
    """Return the texts that lenient base64 would read as the same signature."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    place = letters.index(token[-1])
    same = [letters[place + more] for more in (1, 2, 3)]  # the last two bits are not used
    standard = token[:-43] + token[-43:].replace("-", "+").replace("_", "/")
    more = [f"{token}=", f"{token}==", f"{token}!!", f"{token[:-20]}!{token[-20:]}", standard]
    return [*[token[:-1] + letter for letter in same], *(text for text in more if text != token)]


def test_rejects_another_spelling_of_a_signature(alice, app):
    for text in other_spellings(alice.token):
        response = alice.get("/me", headers={"Authorization": f"Bearer {text}"})
        assert response.json["error"]["code"] == "INVALID_TOKEN"
    for text in other_spellings(alice.refresh_token):
        response = app.test_client(use_cookies=False).post(
            "/auth/refresh", headers={"Cookie": f"refreshToken={text}"}
        )
        assert response.json["error"]["code"] == "INVALID_TOKEN"
    words = ["user", "reset-password", "alice@example.com"]
    reset = app.test_cli_runner().invoke(args=words).output.strip().partition("token=")[2]
    for text in other_spellings(reset):
        body = {"token": text, "newPassword": "an even better battery"}
        response = alice.post("/auth/password-reset/confirm", json=body)
        assert list(response.json["error"]["details"]) == ["token"]


def test_takes_neither_kind_of_token_for_the_other(alice):
    access, cookie = alice.token, alice.refresh_token
    alice.token = cookie
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"

    alice.refresh_token = access
    assert alice.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"


def test_takes_the_scheme_in_any_case(alice):
    token, alice.token = alice.token, None

    assert alice.get("/me", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_a_token_lasts_15_minutes(alice, clock):
    clock.advance(minutes=14, seconds=50)
    assert alice.get("/me").status_code == 200

    clock.advance(seconds=70)  # a minute more, because the clocks of servers differ
    response = alice.get("/me")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "TOKEN_EXPIRED"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_refresh_brings_an_old_client_back(alice, clock):
    clock.advance(minutes=16)
    assert alice.get("/me").json["error"]["code"] == "TOKEN_EXPIRED"

    alice.take(alice.post("/auth/refresh"))

    assert alice.get("/me").status_code == 200


def test_an_old_token_of_an_ended_session_is_not_worth_a_refresh(alice, clock):
    assert alice.post("/auth/logout").status_code == 204
    clock.advance(minutes=16)

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_a_token_dies_with_its_session(alice, database):
    database.execute("DELETE FROM sessions")

    response = alice.get("/me")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_a_token_dies_with_its_user(alice, database):
    if not database.is_postgresql:
        database.execute("DELETE FROM sessions")
    database.execute("DELETE FROM users")

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_a_session_that_has_run_out_does_not_count(alice, clock):
    clock.advance(days=8)

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_looks_before_the_body_and_the_parameters(client):
    response = client.post("/movies?x=1", data="{", content_type="text/plain")

    assert response.status_code == 401


def test_answers_no_stranger_whether_a_movie_exists(alice, client):
    there = alice.post("/movies", json={"title": "Alien"}).json["id"]

    assert client.get(f"/movies/{there}").json == client.get("/movies/999999").json
