"""DELETE /me."""

import pytest

from ..client import PASSWORD


def test_takes_movies_sessions_and_tokens_along(alice, bob, make_client, database):
    elsewhere = make_client().log_in("alice@example.com")
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    for client in (alice, alice, bob):
        assert client.post("/movies", json={"title": "Alien"}).status_code == 201

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 204
    assert response.data == b""
    for client in (alice, elsewhere, script):
        assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    for client in (alice, elsewhere):
        assert client.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert database.execute("SELECT name, movie_count FROM users") == [("Bob", 1)]
    assert database.execute("SELECT count(*) FROM sessions") == [(1,)]
    assert database.execute("SELECT count(*) FROM movies") == [(1,)]


def test_frees_the_email(alice, make_client):
    assert alice.delete("/me", json={"password": PASSWORD}).status_code == 204

    again = make_client().sign_up("Alice")

    assert again.user["id"] != alice.user["id"]
    assert again.get("/movies").json["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "password"),
        ({"password": ""}, "password"),
        ({"password": "wrong password"}, "password"),
        ({"password": PASSWORD, "sure": True}, "sure"),
    ],
)
def test_asks_for_the_password(alice, body, field):
    response = alice.delete("/me", json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.get("/me").status_code == 200


def test_a_script_may_not(alice):
    token, alice.token = alice.token, alice.post("/auth/tokens", json={"name": "x"}).json["token"]

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    alice.token = token
    assert alice.get("/me").status_code == 200


def test_the_password_before_does_not_end_the_account(alice, make_client, meanwhile):
    phone = make_client().log_in("alice@example.com")
    movie = alice.post("/movies", json={"title": "Alien"}).json
    body = {"currentPassword": PASSWORD, "newPassword": "an even better battery"}
    meanwhile("delete_account_data", lambda: alice.put("/me/password", json=body))

    response = phone.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["password"]
    assert alice.profile() == alice.user
    assert alice.get("/movies").json["items"] == [movie]


def test_an_account_goes_once(alice, make_client, meanwhile):
    phone = make_client().log_in("alice@example.com")
    meanwhile("delete_account_data", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = phone.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
