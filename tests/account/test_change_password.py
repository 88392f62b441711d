"""PUT /me/password."""

import pytest

from ..client import PASSWORD
from ..helpers import NEW, log_in


def change(client, current=PASSWORD, new=NEW):
    """Change the password."""
    return client.put("/me/password", json={"currentPassword": current, "newPassword": new})


def test_counts_from_then_on(alice, client):
    response = change(alice)

    assert response.status_code == 204
    assert response.data == b""
    assert log_in(client, PASSWORD) == 401
    assert log_in(client, NEW) == 200


def test_ends_every_other_session_and_token_and_keeps_this_one(alice, make_client):
    phone, script = make_client().log_in("alice@example.com"), make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert change(alice).status_code == 204

    assert alice.get("/me").status_code == alice.post("/auth/refresh").status_code == 200
    assert phone.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert phone.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert script.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_leaves_others_alone(alice, bob):
    assert change(alice).status_code == 204

    assert bob.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong password", NEW, "currentPassword"),
        (f" {PASSWORD}", NEW, "currentPassword"),
        ("", NEW, "currentPassword"),
        (None, NEW, "currentPassword"),
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
def test_names_the_field_that_is_wrong_and_changes_nothing(alice, make_client, current, new, field):
    phone = make_client().log_in("alice@example.com")

    response = change(alice, current, new)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert phone.get("/me").status_code == 200
    assert log_in(make_client(), PASSWORD) == 200


def test_a_common_password_is_told_so(alice):
    details = change(alice, new="password123").json["error"]["details"]

    assert "common" in details["newPassword"][0]


def test_never_trims(alice, client):
    assert change(alice, new=f"  {NEW} ").status_code == 204

    assert log_in(client, NEW) == 401
    assert log_in(client, f"  {NEW} ") == 200


def test_one_letter_written_in_two_ways_is_one(alice, client):
    assert change(alice, new="caf\u00e9 cr\u00e8me au lait").status_code == 204

    assert log_in(client, "cafe\u0301 cre\u0300me au lait") == 200


def test_a_script_may_not(alice, make_client):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "x"}).json["token"]

    assert change(script).json["error"]["code"] == "FORBIDDEN"
    assert log_in(make_client(), PASSWORD) == 200


def test_an_account_that_goes_meanwhile_changes_no_password(alice, make_client, meanwhile):
    phone = make_client().log_in("alice@example.com")
    meanwhile("set_password_hash", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = change(phone)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
