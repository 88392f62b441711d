"""POST /auth/password-reset, and what the link of its mail does."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from ..client import PASSWORD
from ..conftest import MAIL
from ..helpers import NEW, log_in


@pytest.fixture
def alice(mailing_app):
    """Alice, where mail can be sent."""
    return mailing_app.test_client().sign_up("Alice")


@pytest.fixture
def client(mailing_app):
    """Nobody, where mail can be sent."""
    return mailing_app.test_client()


@pytest.fixture
def token(alice, client, mailbox):
    """The token of the mail that Alice gets."""
    return ask(client, mailbox)


def ask(client, mailbox, email="alice@example.com"):
    """Ask for a reset, and return the token of the mail."""
    assert client.post("/auth/password-reset", json={"email": email}).status_code == 202
    return token_in(mailbox.next()[1])


def token_in(mail):
    """Return the token of the one link in a mail."""
    [link] = re.findall(r"https?://\S+", mail.get_content())
    return parse_qs(urlsplit(link).query)["token"][0]


def confirm(client, token, password=NEW):
    """Set the new password."""
    body = {"token": token, "newPassword": password}
    return client.post("/auth/password-reset/confirm", json=body)


def test_mails_a_link_to_the_frontend(alice, client, mailbox):
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


def test_the_link_sets_the_password_and_logs_nobody_in(token, client):
    response = confirm(client, token)

    assert response.status_code == 204
    assert response.data == b""
    assert "Set-Cookie" not in response.headers
    assert log_in(client, PASSWORD) == 401
    assert log_in(client, NEW) == 200


def test_the_link_ends_all_sessions_and_tokens(alice, token, client):
    script = alice.application.test_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert confirm(client, token).status_code == 204

    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert alice.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert script.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def is_stale(response):
    """Tell whether an answer refuses the token, and nothing but it."""
    error = response.json["error"]
    return (response.status_code, error["code"], list(error["details"])) == (
        400,
        "VALIDATION_ERROR",
        ["token"],
    )


def test_the_link_works_once(token, client):
    assert confirm(client, token).status_code == 204

    assert is_stale(confirm(client, token, "yet another password"))
    assert log_in(client, NEW) == 200


def test_of_two_links_the_second_dies_with_the_first(token, client, mailbox):
    second = ask(client, mailbox)

    assert confirm(client, token).status_code == 204
    assert is_stale(confirm(client, second))


def test_the_link_dies_when_the_password_is_changed(alice, token, client):
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert alice.put("/me/password", json=body).status_code == 204

    assert is_stale(confirm(client, token, "yet another password"))


def test_the_link_dies_when_the_email_is_changed(alice, token, client, mailbox):
    body = {"email": "alicia@example.com", "currentPassword": PASSWORD}
    assert alice.patch("/me", json=body).status_code == 200
    assert "was changed" in mailbox.next()[1]["Subject"]

    assert is_stale(confirm(client, token))


def test_the_link_dies_with_the_account(alice, token, client):
    assert alice.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert is_stale(confirm(client, token))


# Before zero: on a server whose clock is behind
@pytest.mark.parametrize(("minutes", "status"), [(-0.9, 204), (29, 204), (31, 400)])
def test_the_link_lives_for_half_an_hour(token, client, clock, minutes, status):
    clock.advance(minutes=minutes)

    response = confirm(client, token)

    assert response.status_code == status
    assert status == 204 or is_stale(response)


def test_a_link_that_was_altered_does_nothing(token, client):
    for place in (0, 33, len(token) // 2, len(token) - 3):
        altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert is_stale(confirm(client, altered))
    for made_up in ("x", "a.b.c", "", token + token, "\u00e4" * 50, "0" * 32):
        assert is_stale(confirm(client, made_up))
    assert log_in(client, PASSWORD) == 200


def test_no_token_stands_for_one_of_another_kind(alice, token, client):
    script = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    kinds = {"access": alice.token, "refresh": alice.refresh_token, "script": script}

    for kind in kinds.values():
        assert is_stale(confirm(client, kind))
    for kind in (token, alice.refresh_token, f"mov_{alice.refresh_token.replace('.', '')}"):
        client.token = kind
        assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    client.token = None
    session, _, secret, _ = alice.refresh_token.split(".")
    client.token = f"mov_{session}{secret}"
    assert client.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    client.token = None
    for kind in (token, alice.token, script):
        client.refresh_token = kind
        assert client.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("password", ["short", "password123", "x" * 129, "alice@example.com"])
def test_the_new_password_must_be_one_that_signup_takes(token, client, password):
    response = confirm(client, token, password)

    assert list(response.json["error"]["details"]) == ["newPassword"]
    assert confirm(client, token).status_code == 204


def test_answers_alike_for_an_address_nobody_has(alice, client, mailing_app, mailbox):
    known = client.post("/auth/password-reset", json={"email": "alice@example.com"})
    mailbox.next()
    unknown = client.post("/auth/password-reset", json={"email": "nobody@example.com"})
    mailing_app.extensions["outbox"].join()

    assert known.status_code == unknown.status_code == 202
    assert known.data == unknown.data
    assert set(dict(known.headers)) == set(dict(unknown.headers))
    assert mailbox.given.empty()


@pytest.mark.parametrize("email", ["nobody", "", None, "a@example.com\nBcc: b@example.com"])
def test_names_an_email_that_is_none(client, email):
    response = client.post("/auth/password-reset", json={"email": email})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["email"]


@pytest.mark.only_on("postgresql")
def test_without_a_mail_server_says_which_setting_is_missing(app, database):
    client = app.test_client().sign_up("Alice")

    for email in ("alice@example.com", "nobody@example.com"):
        response = client.post("/auth/password-reset", json={"email": email})
        assert response.status_code == 501
        assert response.json["error"]["code"] == "SMTP_URL_NOT_SET"


@pytest.mark.only_on("sqlite")
def test_without_a_mail_server_on_ones_own_machine_the_log_holds_the_mail(app, database, lines):
    client = app.test_client().sign_up("Alice")

    ask_again = client.post("/auth/password-reset", json={"email": "alice@example.com"})
    app.extensions["outbox"].join()

    assert ask_again.status_code == 202
    [mail] = [line["message"] for line in lines() if "reset-password?token=" in line["message"]]
    token = re.search(r"http://localhost:3000/reset-password\?token=(\S+)", mail)[1]
    assert confirm(client, token).status_code == 204


def test_the_log_of_a_service_that_mails_holds_no_link(token, stream):
    assert token not in stream.getvalue()
    assert "alice@example.com" not in stream.getvalue()
