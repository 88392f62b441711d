"""POST /auth/tokens, and what an API token allows."""

import re
from datetime import datetime, timedelta

import pytest

from movies_api.api.blueprint import is_public

from ..client import PASSWORD


@pytest.fixture
def created(alice):
    """The response to a new API token."""
    response = alice.post("/auth/tokens", json={"name": " Nightly backup ", "expiresInDays": 30})
    assert response.status_code == 201
    return response.json


@pytest.fixture
def token_client(created, make_client):
    """A client with Alice's API token."""
    token_client = make_client()
    token_client.token = created["token"]
    return token_client


def listed(client):
    """Return the API token as GET /auth/sessions lists it."""
    [token] = [each for each in client.get("/auth/sessions").json["items"] if each["kind"] == "token"]  # fmt: skip
    return token


def test_api_token_is_shown_once_and_listed_as_session(alice, created, database):
    assert set(created) == {"id", "name", "token", "scope", "expiresAt"}
    assert created["name"] == "Nightly backup"
    assert re.fullmatch(r"mov_[0-9a-f]{32}[\w-]{43}", created["token"])
    shown = ("id", "name", "scope", "expiresAt")
    assert [listed(alice)[key] for key in shown] == [created[key] for key in shown]
    assert created["token"] not in alice.get("/auth/sessions").text
    secret = created["token"][-43:]
    assert not [row for row in database.execute("SELECT * FROM sessions") if secret in str(row)]


def test_api_token_reads_and_writes_movies(token_client, alice):
    added = token_client.post("/movies", json={"title": "Alien"})

    assert added.status_code == 201
    assert added.json["ownerId"] == alice.user["id"]
    assert token_client.get("/movies").json["items"] == alice.get("/movies").json["items"]
    assert token_client.delete(added.headers["Location"]).status_code == 204
    assert token_client.profile() == alice.user


READ = {"write", "read"}
SHARE = {*READ, "share"}
# Which scopes may call what; all other routes that are not public are closed to API tokens
OPEN_TO = {
    "GET /movies": SHARE,
    "GET /movies/<row:movie_id>": SHARE,
    "GET /movies/stats": READ,
    "POST /movies": {"write"},
    "DELETE /movies": {"write"},
    "PUT /movies/<row:movie_id>": {"write"},
    "PATCH /movies/<row:movie_id>": {"write"},
    "DELETE /movies/<row:movie_id>": {"write"},
    "GET /movies/export": READ,
    "POST /movies/import": {"write"},
    "POST /images": {"write"},
    "GET /me": READ,
    "DELETE /auth/sessions/<uuid:session_id>": SHARE,  # its own
}


@pytest.fixture
def make_script(alice, make_client):
    """A function that returns a token_client of Alice with a token of that scope."""

    def make(scope):
        response = alice.post("/auth/tokens", json={"name": scope, "scope": scope})
        assert response.status_code == 201
        assert response.json["scope"] == scope
        token_client = make_client()
        token_client.token = response.json["token"]
        return token_client

    return make


@pytest.mark.parametrize("scope", ["write", "read", "share"])
def test_may_call_only_the_routes_of_its_scope(app, alice, make_script, scope):
    token_client = make_script(scope)
    movie = alice.post("/movies", json={"title": "Alien"}).json["id"]
    with app.test_request_context():
        routes = {
            (f"{method} {rule.rule}", method)
            for rule in app.url_map.iter_rules()
            for method in rule.methods - {"OPTIONS", "HEAD"}
            if not is_public(rule.endpoint)
        }

    assert OPEN_TO.keys() <= {name for name, _ in routes}
    for name, method in sorted(routes, reverse=True):
        path = name.split()[1].replace("<row:movie_id>", str(movie))
        path = path.replace("<uuid:session_id>", "7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37")
        response = token_client.open(path, method=method)
        if scope in OPEN_TO.get(name, ()) and "sessions" not in name:
            assert response.status_code != 403, name
        else:
            assert response.status_code == 403, name
            assert response.json["error"]["code"] == "FORBIDDEN"
    assert token_client.head("/movies").status_code == 200


def test_the_document_names_the_scopes_of_each_route(client):
    paths = client.get("/openapi.json").json["paths"]

    found = {
        f"{method.upper()} {path}": set(about.get("x-scopes", ()))
        for path, methods in paths.items()
        for method, about in methods.items()
        if method != "parameters"
        and "accessToken" in str(about.get("security"))
        and "refreshCookie" not in str(about["security"])
    }
    names = {"<row:movie_id>": "{movie_id}", "<uuid:session_id>": "{session_id}"}
    expected = {
        re.sub("<.*>", lambda match: names[match[0]], name): scopes
        for name, scopes in OPEN_TO.items()
    }
    assert {name: scopes for name, scopes in found.items() if scopes} == expected


def test_says_which_scope_is_needed(make_script):
    token_client = make_script("share")

    messages = [
        token_client.open(path, method=method).json["error"]["message"]
        for method, path in [("DELETE", "/movies/1"), ("GET", "/me"), ("PATCH", "/me")]
    ]

    assert messages == [
        "This requires a login or an API token with the scope write.",
        "This requires a login or an API token with the scope write or read.",
        "API tokens cannot do this. Please log in.",
    ]


def test_a_shared_movie_has_no_notes(alice, make_script):
    movie = alice.post("/movies", json={"title": "Alien", "rating": 9, "notes": "Secret"}).json
    token_client, shown = make_script("share"), {key: movie[key] for key in movie if key != "notes"}
    assert movie["notes"] == "Secret"

    for query in ("", "?search=alien", "?sort=rating&limit=1", "?watched=false"):
        assert token_client.get(f"/movies{query}").json["items"] == [shown]
    assert token_client.get(f"/movies/{movie['id']}").json == shown
    assert make_script("read").get("/movies").json["items"] == [movie]


def test_a_shared_list_has_another_etag(alice, make_script):
    alice.post("/movies", json={"title": "Alien"})

    tags = [make_script(scope).get("/movies").headers["ETag"] for scope in ("read", "share")]

    assert tags[0] == alice.get("/movies").headers["ETag"] != tags[1]


def test_a_shared_movie_has_another_etag(alice, make_script):
    movie = alice.post("/movies", json={"title": "Alien"})
    path = movie.headers["Location"]

    tags = [make_script(scope).get(path).headers["ETag"] for scope in ("write", "read", "share")]

    assert tags[:2] == [movie.headers["ETag"]] * 2
    assert tags[2] != tags[0]
    shared = make_script("share").get(path, headers={"If-None-Match": tags[0]})
    assert shared.status_code == 200
    assert make_script("share").get(path, headers={"If-None-Match": tags[2]}).status_code == 304


@pytest.mark.parametrize("scope", ["write", "read", "share"])
@pytest.mark.parametrize("way", ["logout", "delete"])
def test_of_any_scope_may_end_itself(alice, make_script, scope, way):
    token_client = make_script(scope)
    session = listed(alice)["id"]

    if way == "logout":
        assert token_client.post("/auth/logout").status_code == 204
    else:
        assert token_client.delete(f"/auth/sessions/{session}").status_code == 204

    assert token_client.get("/movies").json["error"]["code"] == "INVALID_TOKEN"


def test_a_login_has_no_scope(alice):
    [login] = alice.get("/auth/sessions").json["items"]

    assert login["scope"] is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/tokens", {"name": "Another"}),
        ("PUT", "/me/password", {"currentPassword": PASSWORD, "newPassword": "a new password"}),
        ("DELETE", "/me", {"password": PASSWORD}),
        ("PATCH", "/me", {"email": "alicia@example.com", "currentPassword": PASSWORD}),
        ("PATCH", "/me", {"name": "Alicia"}),
        ("PATCH", "/me", {"preferences": {"theme": "dark"}}),
        ("GET", "/auth/sessions", None),
        ("DELETE", "/auth/sessions/{session}", None),
        ("POST", "/auth/logout?scope=others", None),
        ("POST", "/auth/logout?scope=all", None),
        ("GET", "/admin/stats", None),
    ],
)
def test_account_management_with_api_token_returns_403(token_client, alice, method, path, body):
    [session] = [each for each in alice.get("/auth/sessions").json["items"] if each["current"]]
    options = {} if body is None else {"json": body}

    response = token_client.open(path.format(session=session["id"]), method=method, **options)

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert alice.profile() == alice.user
    assert token_client.get("/me").status_code == 200


def test_api_token_cannot_refresh(token_client):
    response = token_client.post("/auth/refresh")

    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize("by_owner", [True, False])
def test_deleted_api_token_is_rejected(alice, token_client, created, by_owner):
    response = (alice if by_owner else token_client).delete(f"/auth/sessions/{created['id']}")

    assert response.status_code == 204
    assert token_client.get("/movies").json["error"]["code"] == "INVALID_TOKEN"
    assert alice.get("/me").status_code == 200


def test_logout_ends_api_token(alice, token_client):
    assert token_client.post("/auth/logout").status_code == 204

    assert token_client.get("/me").status_code == 401
    assert alice.get("/me").status_code == 200


def test_api_token_expires_after_requested_days(token_client, clock):
    clock.advance(days=29, hours=23)
    assert token_client.get("/me").status_code == 200

    clock.advance(hours=2)

    assert token_client.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_api_token_survives_logout_of_its_creator(alice, token_client):
    assert alice.post("/auth/logout").status_code == 204

    assert token_client.get("/me").status_code == 200


def test_last_use_of_api_token_is_stored_every_15_minutes(alice, token_client, clock):
    first = listed(alice)["lastUsedAt"]
    clock.advance(minutes=14)
    alice.use_session(alice.post("/auth/refresh"))
    token_client.get("/me")
    assert not [each for each in token_client.statements if each.startswith("UPDATE")]
    assert listed(alice)["lastUsedAt"] == first

    clock.advance(minutes=2)
    token_client.get("/me")
    assert len([each for each in token_client.statements if each.startswith("UPDATE")]) == 1
    token_client.get("/me")
    assert not [each for each in token_client.statements if each.startswith("UPDATE")]

    last = listed(alice)["lastUsedAt"]
    ahead = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    assert timedelta(minutes=15) < ahead < timedelta(minutes=17)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x", "expiresInDays": 0}, "expiresInDays"),
        ({"name": "x", "expiresInDays": 367}, "expiresInDays"),
        ({"name": "x", "expiresInDays": 10**400}, "expiresInDays"),
        ({"name": "x", "expiresInDays": "30"}, "expiresInDays"),
        ({"name": "x", "expiresInDays": 1.5}, "expiresInDays"),
        ({"name": "x", "expiresInDays": True}, "expiresInDays"),
        ({"name": "x", "expiresInDays": None}, "expiresInDays"),
        ({"name": "x", "role": "admin"}, "role"),
        ({"name": "x", "scope": "admin"}, "scope"),
        ({"name": "x", "scope": "WRITE"}, "scope"),
        ({"name": "x", "scope": None}, "scope"),
        ({"name": "x", "scope": ["read"]}, "scope"),
    ],
)
def test_create_api_token_with_invalid_field_returns_400(alice, body, field):
    response = alice.post("/auth/tokens", json=body)

    assert response.status_code == 400
    assert field in response.json["error"]["details"] or (
        response.json["error"]["code"] == "INVALID_JSON" and 10**400 in body.values()
    )


def test_altered_api_token_is_rejected(alice, token_client, created):
    token = created["token"]
    for altered in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token[:4] + ("0" if token[4] != "0" else "1") + token[5:],
        token[:36],
        "mov_",
        "mov_x",
        token.removeprefix("mov_"),
        token.upper(),
        token + "A",
        "mov_" + token,
    ):
        token_client.token = altered
        assert token_client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
