"""POST /auth/tokens, and what a script may do with one."""

import re
from datetime import datetime, timedelta

import pytest

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
    assert set(made) == {"id", "name", "token", "expiresAt"}
    assert made["name"] == "Nightly backup"
    assert re.fullmatch(r"mov_[0-9a-f]{32}[\w-]{43}", made["token"])
    assert {key: listed(alice)[key] for key in ("id", "name", "expiresAt")} == {
        key: made[key] for key in ("id", "name", "expiresAt")
    }
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
    assert script.patch("/me", json={"preferences": {"theme": "dark"}}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/tokens", {"name": "Another"}),
        ("PUT", "/me/password", {"currentPassword": PASSWORD, "newPassword": "a new password"}),
        ("DELETE", "/me", {"password": PASSWORD}),
        ("PATCH", "/me", {"email": "alicia@example.com", "currentPassword": PASSWORD}),
        ("DELETE", "/auth/sessions/{session}", None),
        ("POST", "/auth/logout?scope=others", None),
        ("POST", "/auth/logout?scope=all", None),
        ("GET", "/admin/stats", None),
    ],
)
def test_may_not_do_what_only_a_person_may(script, alice, method, path, body):
    [session] = [each for each in script.get("/auth/sessions").json["items"] if not each["current"]]
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
    script.get("/me")
    assert not [each for each in script.statements if each.startswith("UPDATE")]
    assert listed(script)["lastUsedAt"] == first

    clock.advance(minutes=2)
    script.get("/me")
    assert len([each for each in script.statements if each.startswith("UPDATE")]) == 1
    script.get("/me")
    assert not [each for each in script.statements if each.startswith("UPDATE")]

    noted = listed(script)["lastUsedAt"]
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
