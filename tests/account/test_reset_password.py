"""POST /auth/password-reset and POST /auth/password-reset/confirm."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from ..client import PASSWORD
from ..conftest import MAIL
from ..helpers import NEW_PASSWORD, log_in


@pytest.fixture
def alice(mailing_app):
    """Alice, with a mail server."""
    return mailing_app.test_client().sign_up("Alice")


@pytest.fixture
def client(mailing_app):
    """An anonymous client, with a mail server."""
    return mailing_app.test_client()


@pytest.fixture
def token(alice, client, mailbox):
    """The reset token mailed to Alice."""
    return request_reset(client, mailbox)


def request_reset(client, mailbox, email="alice@example.com"):
    """Request a reset and return the mailed token."""
    assert client.post("/auth/password-reset", json={"email": email}).status_code == 202
    return token_in(mailbox.next()[1])


def token_in(mail):
    """Return the token of the link in a mail."""
    [link] = re.findall(r"https?://\S+", mail.get_content())
    return parse_qs(urlsplit(link).query)["token"][0]


def confirm(client, token, password=NEW_PASSWORD):
    """Set the new password."""
    body = {"token": token, "newPassword": password}
    return client.post("/auth/password-reset/confirm", json=body)


def test_reset_mails_a_link_to_the_frontend(alice, client, mailbox):
    response = client.post(
        "/auth/password-reset",
        json={"email": " ALICE@example.com "},
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    )

    assert response.status_code == 202
    assert response.json == {}
    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert (mail["To"], mail["From"]) == ("alice@example.com", MAIL["MAIL_FROM"])
    [link] = re.findall(r"https?://\S+", mail.get_content())
    assert re.fullmatch(r"https://app\.example\.com/reset-password\?token=[\w.-]+", link)
    assert "evil" not in mail.as_string()


def test_reset_sets_the_password_without_logging_in(token, client):
    response = confirm(client, token)

    assert response.status_code == 204
    assert response.data == b""
    assert "Set-Cookie" not in response.headers
    assert log_in(client, PASSWORD) == 401
    assert log_in(client, NEW_PASSWORD) == 200


def test_reset_ends_all_sessions_and_api_tokens(alice, token, client):
    token_client = alice.application.test_client()
    token_client.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert confirm(client, token).status_code == 204

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert alice.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert token_client.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def is_token_rejected(response):
    """Tell whether the response rejects the token only."""
    error = response.json["error"]
    return (response.status_code, error["code"], list(error["details"])) == (
        400,
        "VALIDATION_ERROR",
        ["token"],
    )


def test_reset_token_works_once(token, client):
    assert confirm(client, token).status_code == 204

    assert is_token_rejected(confirm(client, token, "yet another password"))
    assert log_in(client, NEW_PASSWORD) == 200


def test_reset_invalidates_other_reset_tokens(token, client, mailbox):
    second = request_reset(client, mailbox)

    assert confirm(client, token).status_code == 204
    assert is_token_rejected(confirm(client, second))


def test_password_change_invalidates_reset_token(alice, token, client):
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert alice.put("/me/password", json=body).status_code == 204

    assert is_token_rejected(confirm(client, token, "yet another password"))


def test_email_change_invalidates_reset_token(alice, token, client, mailbox):
    body = {"email": "alicia@example.com", "currentPassword": PASSWORD}
    assert alice.patch("/me", json=body).status_code == 200
    assert "was changed" in mailbox.next()[1]["Subject"]

    assert is_token_rejected(confirm(client, token))


def test_account_deletion_invalidates_reset_token(alice, token, client):
    assert alice.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert is_token_rejected(confirm(client, token))


# Before zero: on a server whose clock is behind
@pytest.mark.parametrize(("minutes", "status"), [(-0.9, 204), (29, 204), (31, 400)])
def test_reset_token_expires_after_30_minutes(token, client, clock, minutes, status):
    clock.advance(minutes=minutes)

    response = confirm(client, token)

    assert response.status_code == status
    assert status == 204 or is_token_rejected(response)


def test_altered_reset_token_is_rejected(token, client):
    for place in (0, 33, len(token) // 2, len(token) - 3):
        altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert is_token_rejected(confirm(client, altered))
    for forged in ("x", "a.b.c", "", token + token, "\u00e4" * 50, "0" * 32):
        assert is_token_rejected(confirm(client, forged))
    assert log_in(client, PASSWORD) == 200


def test_tokens_of_different_kinds_are_not_interchangeable(alice, token, client):
    api_token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    kinds = {"access": alice.token, "refresh": alice.refresh_token, "api_token": api_token}

    for kind in kinds.values():
        assert is_token_rejected(confirm(client, kind))
    for kind in (token, alice.refresh_token, f"mov_{alice.refresh_token.replace('.', '')}"):
        client.token = kind
        assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    client.token = None
    session, _, secret, _ = alice.refresh_token.split(".")
    client.token = f"mov_{session}{secret}"
    assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    client.token = None
    for kind in (token, alice.token, api_token):
        client.refresh_token = kind
        assert client.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("password", ["short", "password123", "x" * 129, "alice@example.com"])
def test_reset_rejects_invalid_new_password(token, client, password):
    response = confirm(client, token, password)

    assert list(response.json["error"]["details"]) == ["newPassword"]
    assert confirm(client, token).status_code == 204


def test_reset_of_unknown_email_returns_the_same_response(alice, client, mailing_app, mailbox):
    known = client.post("/auth/password-reset", json={"email": "alice@example.com"})
    mailbox.next()
    unknown = client.post("/auth/password-reset", json={"email": "nobody@example.com"})
    mailing_app.extensions["outbox"].join()

    assert known.status_code == unknown.status_code == 202
    assert known.data == unknown.data
    assert set(dict(known.headers)) == set(dict(unknown.headers))
    assert mailbox.received.empty()


@pytest.mark.parametrize("email", ["nobody", "", None, "a@example.com\nBcc: b@example.com"])
def test_reset_of_malformed_email_returns_400(client, email):
    response = client.post("/auth/password-reset", json={"email": email})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["email"]


@pytest.mark.only_on("postgresql")
def test_reset_without_mail_server_returns_501(app, database):
    client = app.test_client().sign_up("Alice")

    for email in ("alice@example.com", "nobody@example.com"):
        response = client.post("/auth/password-reset", json={"email": email})
        assert response.status_code == 501
        assert response.json["error"]["code"] == "SMTP_URL_NOT_SET"


@pytest.mark.only_on("sqlite")
def test_reset_in_embedded_mode_logs_the_mail(app, database, lines):
    client = app.test_client().sign_up("Alice")

    response = client.post("/auth/password-reset", json={"email": "alice@example.com"})
    app.extensions["outbox"].join()

    assert response.status_code == 202
    [mail] = [line["message"] for line in lines() if "reset-password?token=" in line["message"]]
    token = re.search(r"http://localhost:3000/reset-password\?token=(\S+)", mail)[1]
    assert confirm(client, token).status_code == 204


def test_mailed_reset_link_is_not_logged(token, stream):
    assert token not in stream.getvalue()
    assert "alice@example.com" not in stream.getvalue()
