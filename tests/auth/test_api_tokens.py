"""POST /auth/tokens, and what a script may do with one."""

import re
from datetime import datetime, timedelta

import pytest

from movies_api.api.blueprint import is_public

from ..client import PASSWORD


@pytest.fixture
def made(alice):
    """What the answer to a new token holds."""
    response = alice.post("/auth/tokens", json={"name": " Nightly backup ", "expiresInDays": 30})
    assert response.status_code == 201
    return response.json


@pytest.fixture
def script(made, make_client):
    """Alice's script."""
    script = make_client()
    script.token = made["token"]
    return script


def listed(client):
    """Return the script's token as the list of sessions has it."""
    [token] = [each for each in client.get("/auth/sessions").json["items"] if each["kind"] == "token"]  # fmt: skip
    return token


def test_is_shown_once_and_listed_like_a_session(alice, made, database):
    assert set(made) == {"id", "name", "token", "scope", "expiresAt"}
    assert made["name"] == "Nightly backup"
    assert re.fullmatch(r"mov_[0-9a-f]{32}[\w-]{43}", made["token"])
    shown = ("id", "name", "scope", "expiresAt")
    assert [listed(alice)[key] for key in shown] == [made[key] for key in shown]
    assert made["token"] not in alice.get("/auth/sessions").text
    secret = made["token"][-43:]
    assert not [row for row in database.execute("SELECT * FROM sessions") if secret in str(row)]


def test_reads_and_writes_movies(script, alice):
    added = script.post("/movies", json={"title": "Alien"})

    assert added.status_code == 201
    assert added.json["ownerId"] == alice.user["id"]
    assert script.get("/movies").json["items"] == alice.get("/movies").json["items"]
    assert script.delete(added.headers["Location"]).status_code == 204
    assert script.profile() == alice.user


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
    """A function that returns a script of Alice with a token of that scope."""

    def make(scope):
        response = alice.post("/auth/tokens", json={"name": scope, "scope": scope})
        assert response.status_code == 201
        assert response.json["scope"] == scope
        script = make_client()
        script.token = response.json["token"]
        return script

    return make


@pytest.mark.parametrize("scope", ["write", "read", "share"])
def test_may_call_only_the_routes_of_its_scope(app, alice, make_script, scope):
    script = make_script(scope)
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
        response = script.open(path, method=method)
        if scope in OPEN_TO.get(name, ()) and "sessions" not in name:
            assert response.status_code != 403, name
        else:
            assert response.status_code == 403, name
            assert response.json["error"]["code"] == "FORBIDDEN"
    assert script.head("/movies").status_code == 200


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
    script = make_script("share")

    messages = [
        script.open(path, method=method).json["error"]["message"]
        for method, path in [("DELETE", "/movies/1"), ("GET", "/me"), ("PATCH", "/me")]
    ]

    assert messages == [
        "This requires a login or an API token with the scope write.",
        "This requires a login or an API token with the scope write or read.",
        "API tokens cannot do this. Please log in.",
    ]


def test_a_shared_movie_has_no_notes(alice, make_script):
    movie = alice.post("/movies", json={"title": "Alien", "rating": 9, "notes": "Secret"}).json
    script, shown = make_script("share"), {key: movie[key] for key in movie if key != "notes"}
    assert movie["notes"] == "Secret"

    for query in ("", "?search=alien", "?sort=rating&limit=1", "?watched=false"):
        assert script.get(f"/movies{query}").json["items"] == [shown]
    assert script.get(f"/movies/{movie['id']}").json == shown
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
    script = make_script(scope)
    session = listed(alice)["id"]

    if way == "logout":
        assert script.post("/auth/logout").status_code == 204
    else:
        assert script.delete(f"/auth/sessions/{session}").status_code == 204

    assert script.get("/movies").json["error"]["code"] == "INVALID_TOKEN"


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
def test_may_not_do_what_only_a_person_may(script, alice, method, path, body):
    [session] = [each for each in alice.get("/auth/sessions").json["items"] if each["current"]]
    options = {} if body is None else {"json": body}

    response = script.open(path.format(session=session["id"]), method=method, **options)

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert alice.profile() == alice.user
    assert script.get("/me").status_code == 200


def test_opens_no_refresh(script):
    response = script.post("/auth/refresh")

    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize("by_owner", [True, False])
def test_ends_like_any_session(alice, script, made, by_owner):
    response = (alice if by_owner else script).delete(f"/auth/sessions/{made['id']}")

    assert response.status_code == 204
    assert script.get("/movies").json["error"]["code"] == "INVALID_TOKEN"
    assert alice.get("/me").status_code == 200


def test_may_log_itself_out(alice, script):
    assert script.post("/auth/logout").status_code == 204

    assert script.get("/me").status_code == 401
    assert alice.get("/me").status_code == 200


def test_lives_as_long_as_was_asked(script, clock):
    clock.advance(days=29, hours=23)
    assert script.get("/me").status_code == 200

    clock.advance(hours=2)

    assert script.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_outlives_the_login_that_made_it(alice, script):
    assert alice.post("/auth/logout").status_code == 204

    assert script.get("/me").status_code == 200


def test_notes_its_last_use_once_in_a_quarter_of_an_hour(alice, script, clock):
    first = listed(alice)["lastUsedAt"]
    clock.advance(minutes=14)
    alice.take(alice.post("/auth/refresh"))
    script.get("/me")
    assert not [each for each in script.statements if each.startswith("UPDATE")]
    assert listed(alice)["lastUsedAt"] == first

    clock.advance(minutes=2)
    script.get("/me")
    assert len([each for each in script.statements if each.startswith("UPDATE")]) == 1
    script.get("/me")
    assert not [each for each in script.statements if each.startswith("UPDATE")]

    noted = listed(alice)["lastUsedAt"]
    ahead = datetime.fromisoformat(noted) - datetime.fromisoformat(first)
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
def test_names_the_field_that_is_wrong(alice, body, field):
    response = alice.post("/auth/tokens", json=body)

    assert response.status_code == 400
    assert field in response.json["error"]["details"] or (
        response.json["error"]["code"] == "INVALID_JSON" and 10**400 in body.values()
    )


def test_a_token_that_was_altered_does_not_count(alice, script, made):
    token = made["token"]
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
        script.token = altered
        assert script.get("/me").json["error"]["code"] == "INVALID_TOKEN"
