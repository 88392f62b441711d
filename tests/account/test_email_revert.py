"""POST /auth/email-revert: what the old address can do about a change of email."""

import re

import pytest

from ..client import PASSWORD
from ..helpers import NEW, log_in
from .test_reset_password import confirm, is_stale, token_in

THIEF = "thief@example.com"


@pytest.fixture
def alice(mailing_app):
    """Alice, where mail can be sent."""
    return mailing_app.test_client().sign_up("Alice")


@pytest.fixture
def client(mailing_app):
    """Nobody, where mail can be sent."""
    return mailing_app.test_client()


@pytest.fixture
def thief(alice, client):
    """One who has Alice's password."""
    return alice.application.test_client().log_in("alice@example.com")


def move(person, email=THIEF, password=PASSWORD):
    """Change the email."""
    body = {"email": email, "currentPassword": password}
    response = person.patch("/me", json=body)
    assert response.status_code == 200
    return response


@pytest.fixture
def token(thief, mailbox):
    """The token of the mail to Alice's address after the thief has changed the email."""
    move(thief)
    return token_in(mailbox.next()[1])


def revert(client, token):
    """Use the token."""
    return client.post("/auth/email-revert", json={"token": token})


def sign_up(client, email):
    """Return the answer to a signup."""
    return client.post("/auth/signup", json={"name": "Bob", "email": email, "password": PASSWORD})


def test_the_mail_links_to_the_frontend(thief, mailbox):
    move(thief)

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    [link] = re.findall(r"https?://\S+", mail.get_content())
    assert re.fullmatch(r"https://app\.example\.com/revert-email\?token=[\w.-]+", link)
    assert THIEF not in mail.as_string()


def test_gives_the_account_back(alice, thief, token, client, mailbox):
    script = alice.application.test_client()
    script.token = thief.post("/auth/tokens", json={"name": "Backdoor"}).json["token"]

    response = revert(client, token)

    assert response.status_code == 204
    assert response.data == b""
    for person in (alice, thief, script):
        assert person.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert thief.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    for email in ("alice@example.com", THIEF):
        body = {"email": email, "password": PASSWORD}
        assert client.post("/auth/login", json=body).json["error"]["code"] == "INVALID_CREDENTIALS"
    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert confirm(client, token_in(mail)).status_code == 204
    assert log_in(client, NEW) == 200


def test_survives_later_changes_of_email_and_password(thief, token, client, mailbox):
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert thief.put("/me/password", json=body).status_code == 204
    mailbox.next()
    move(thief, "thief2@example.com", NEW)
    later = token_in(mailbox.next()[1])

    assert revert(client, token).status_code == 204

    assert mailbox.next()[0] == ["alice@example.com"]
    assert is_stale(revert(client, later))


def test_a_later_change_that_is_reverted_first_leaves_the_earlier_to_revert(
    thief, token, client, mailbox
):
    move(thief, "thief2@example.com")
    later = token_in(mailbox.next()[1])
    assert revert(client, later).status_code == 204
    assert mailbox.next()[0] == [THIEF]

    assert revert(client, token).status_code == 204
    assert mailbox.next()[0] == ["alice@example.com"]


def test_works_once(token, client, mailbox):
    assert revert(client, token).status_code == 204
    mailbox.next()

    assert is_stale(revert(client, token))


@pytest.mark.parametrize(("days", "status"), [(6.99, 204), (7.01, 400)])
def test_works_for_a_week(token, client, clock, days, status):
    clock.advance(days=days)

    response = revert(client, token)

    assert response.status_code == status
    assert status == 204 or is_stale(response)


def test_dies_with_the_account(thief, token, client):
    assert thief.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert is_stale(revert(client, token))


def test_rejects_what_is_no_token(thief, token, client, mailbox):
    reset = client.post("/auth/password-reset", json={"email": THIEF})
    assert reset.status_code == 202
    others = [token_in(mailbox.next()[1]), thief.token, thief.refresh_token]
    altered = ("A" if token[0] != "A" else "B") + token[1:]

    for made_up in (*others, altered, token[:-1], "x", "a.b.c", "", "0" * 1000):
        assert is_stale(revert(client, made_up))
    assert is_stale(confirm(client, token))
    assert thief.get("/me").status_code == 200


def test_nobody_else_gets_the_old_address_meanwhile(token, client, clock, mailing_app):
    bob = mailing_app.test_client().sign_up("Bob")
    taken = sign_up(client, THIEF).json

    assert sign_up(client, "ALICE@example.com").json == taken
    body = {"email": "alice@example.com", "currentPassword": PASSWORD}
    assert bob.patch("/me", json=body).json["error"]["code"] == "USER_EXISTS"
    clock.advance(days=7, minutes=1)
    assert sign_up(client, "alice@example.com").status_code == 201


def test_one_may_go_back_oneself(alice, client, mailbox):
    move(alice, "alicia@example.com")
    token = token_in(mailbox.next()[1])

    assert move(alice, "alice@example.com").json["email"] == "alice@example.com"
    assert mailbox.next()[0] == ["alicia@example.com"]
    assert revert(client, token).status_code == 204


def test_leaves_others_alone(token, client, mailing_app):
    bob = mailing_app.test_client().sign_up("Bob")

    assert revert(client, token).status_code == 204

    assert bob.get("/me").status_code == 200


def test_rows_that_are_too_old_go(thief, token, clock, database):
    clock.advance(days=7, minutes=1)
    bob = thief.application.test_client().sign_up("Bob")

    move(bob, "bobby@example.com")

    assert database.execute("SELECT email FROM email_changes") == [("bob@example.com",)]


def test_an_address_that_has_just_become_free_is_left_to_its_new_owner(
    token, client, monkeypatch, clock
):
    """Two servers whose clocks differ: one lets the address go, the other still reverts to it."""
    clock.advance(days=8)
    assert sign_up(client, "alice@example.com").status_code == 201
    clock.advance(days=-2)

    assert is_stale(revert(client, token))


def test_of_two_changes_at_once_one_is_made(alice, thief, meanwhile):
    meanwhile("change_email", lambda: move(thief))

    response = alice.patch("/me", json={"email": "alicia@example.com", "currentPassword": PASSWORD})

    assert response.status_code == 400
    assert alice.get("/me").json["email"] == THIEF


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_change_of_password_is_told_by_mail(alice, client, mailbox, is_forgotten):
    if is_forgotten:
        client.post("/auth/password-reset", json={"email": "alice@example.com"})
        assert confirm(client, token_in(mailbox.next()[1])).status_code == 204
    else:
        body = {"currentPassword": PASSWORD, "newPassword": NEW}
        assert alice.put("/me/password", json=body).status_code == 204

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert "password was changed" in mail["Subject"]
    assert "://" not in mail.get_content()


def test_changes_of_password_send_no_flood_of_mail(make_app, mailbox):
    app = make_app(SMTP_URL=mailbox.url, FRONTEND_URL="https://x.example", RATELIMIT_ENABLED="true")
    alice = app.test_client().sign_up("Alice")
    body = {"currentPassword": PASSWORD, "newPassword": PASSWORD}

    assert [alice.put("/me/password", json=body).status_code for _ in range(6)] == [204] * 5 + [429]
    app.extensions["outbox"].join()
