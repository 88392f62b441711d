"""PUT /me/password."""

import pytest

from ..client import PASSWORD
from ..helpers import NEW_PASSWORD, log_in


def change(client, current=PASSWORD, new=NEW_PASSWORD):
    """Change the password."""
    return client.put("/me/password", json={"currentPassword": current, "newPassword": new})


def test_password_change_takes_effect(alice, client):
    response = change(alice)

    assert response.status_code == 204
    assert response.data == b""
    assert log_in(client, PASSWORD) == 401
    assert log_in(client, NEW_PASSWORD) == 200


def test_password_change_ends_other_sessions_and_api_tokens(alice, make_client):
    phone, token_client = make_client().log_in("alice@example.com"), make_client()
    token_client.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert change(alice).status_code == 204

    assert alice.get("/me").status_code == alice.post("/auth/refresh").status_code == 200
    assert phone.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert phone.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert token_client.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_password_change_keeps_sessions_of_other_users(alice, bob):
    assert change(alice).status_code == 204

    assert bob.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong password", NEW_PASSWORD, "currentPassword"),
        (f" {PASSWORD}", NEW_PASSWORD, "currentPassword"),
        ("", NEW_PASSWORD, "currentPassword"),
        (None, NEW_PASSWORD, "currentPassword"),
        (PASSWORD, "short", "newPassword"),
        (PASSWORD, "e\u0301" * 7, "newPassword"),
        (PASSWORD, "\ufdfa", "newPassword"),
        (PASSWORD, "x" * 129, "newPassword"),
        (PASSWORD, "password123", "newPassword"),
        (PASSWORD, "PASSWORD123", "newPassword"),
        (PASSWORD, "Alice@example.com", "newPassword"),
        (PASSWORD, None, "newPassword"),
    ],
)
def test_invalid_password_change_returns_400(alice, make_client, current, new, field):
    phone = make_client().log_in("alice@example.com")

    response = change(alice, current, new)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert phone.get("/me").status_code == 200
    assert log_in(make_client(), PASSWORD) == 200


def test_common_password_is_reported_as_common(alice):
    details = change(alice, new="password123").json["error"]["details"]

    assert "common" in details["newPassword"][0]


def test_new_password_is_not_trimmed(alice, client):
    assert change(alice, new=f"  {NEW_PASSWORD} ").status_code == 204

    assert log_in(client, NEW_PASSWORD) == 401
    assert log_in(client, f"  {NEW_PASSWORD} ") == 200


def test_new_password_is_unicode_normalized(alice, client):
    assert change(alice, new="caf\u00e9 cr\u00e8me au lait").status_code == 204

    assert log_in(client, "cafe\u0301 cre\u0300me au lait") == 200


def test_password_change_with_api_token_returns_403(alice, make_client):
    token_client = make_client()
    token_client.token = alice.post("/auth/tokens", json={"name": "x"}).json["token"]

    assert change(token_client).json["error"]["code"] == "FORBIDDEN"
    assert log_in(make_client(), PASSWORD) == 200


def test_password_change_of_deleted_account_returns_401(alice, make_client, run_before):
    phone = make_client().log_in("alice@example.com")
    run_before("set_password_hash", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = change(phone)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
