"""DELETE /me."""

import pytest

from ..client import PASSWORD


def test_account_deletion_deletes_movies_sessions_and_api_tokens(alice, bob, make_client, database):
    phone = make_client().log_in("alice@example.com")
    token_client = make_client()
    token_client.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    for client in (alice, alice, bob):
        assert client.post("/movies", json={"title": "Alien"}).status_code == 201

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 204
    assert response.data == b""
    for client in (alice, phone, token_client):
        assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    for client in (alice, phone):
        assert client.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert database.execute("SELECT name, movie_count FROM users") == [("Bob", 1)]
    assert database.execute("SELECT count(*) FROM sessions") == [(1,)]
    assert database.execute("SELECT count(*) FROM movies") == [(1,)]


def test_deleted_account_frees_its_email(alice, make_client):
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
def test_account_deletion_without_valid_password_returns_400(alice, body, field):
    response = alice.delete("/me", json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.get("/me").status_code == 200


def test_account_deletion_with_api_token_returns_403(alice):
    token, alice.token = alice.token, alice.post("/auth/tokens", json={"name": "x"}).json["token"]

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    alice.token = token
    assert alice.get("/me").status_code == 200


def test_old_password_does_not_delete_account(alice, make_client, run_before):
    phone = make_client().log_in("alice@example.com")
    movie = alice.post("/movies", json={"title": "Alien"}).json
    body = {"currentPassword": PASSWORD, "newPassword": "an even better battery"}
    run_before("delete_account_data", lambda: alice.put("/me/password", json=body))

    response = phone.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["password"]
    assert alice.profile() == alice.user
    assert alice.get("/movies").json["items"] == [movie]


def test_second_account_deletion_returns_401(alice, make_client, run_before):
    phone = make_client().log_in("alice@example.com")
    run_before("delete_account_data", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = phone.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
