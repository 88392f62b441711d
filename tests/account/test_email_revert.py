"""POST /auth/email-revert: undo an email change from the old address."""

import re

import pytest

from ..client import PASSWORD
from ..helpers import NEW_PASSWORD, log_in
from .test_reset_password import confirm, is_token_rejected, token_in

THIEF = "thief@example.com"


@pytest.fixture
def alice(mailing_app):
    """Alice, with a mail server."""
    return mailing_app.test_client().sign_up("Alice")


@pytest.fixture
def client(mailing_app):
    """An anonymous client, with a mail server."""
    return mailing_app.test_client()


@pytest.fixture
def thief(alice, client):
    """A client with Alice's password."""
    return alice.application.test_client().log_in("alice@example.com")


def change_email(user, email=THIEF, password=PASSWORD):
    """Change the email."""
    body = {"email": email, "currentPassword": password}
    response = user.patch("/me", json=body)
    assert response.status_code == 200
    return response


@pytest.fixture
def token(thief, mailbox):
    """The revert token mailed to Alice after the thief's email change."""
    change_email(thief)
    return token_in(mailbox.next()[1])


def revert(client, token):
    """Revert the email change."""
    return client.post("/auth/email-revert", json={"token": token})


def sign_up(client, email):
    """Return the response to a signup."""
    return client.post("/auth/signup", json={"name": "Bob", "email": email, "password": PASSWORD})


def test_email_change_mails_revert_link(thief, mailbox):
    change_email(thief)

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    [link] = re.findall(r"https?://\S+", mail.get_content())
    assert re.fullmatch(r"https://app\.example\.com/revert-email\?token=[\w.-]+", link)
    assert THIEF not in mail.as_string()


def test_revert_restores_the_account(alice, thief, token, client, mailbox):
    token_client = alice.application.test_client()
    token_client.token = thief.post("/auth/tokens", json={"name": "Backdoor"}).json["token"]

    response = revert(client, token)

    assert response.status_code == 204
    assert response.data == b""
    for user in (alice, thief, token_client):
        assert user.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert thief.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    for email in ("alice@example.com", THIEF):
        body = {"email": email, "password": PASSWORD}
        assert client.post("/auth/login", json=body).json["error"]["code"] == "INVALID_CREDENTIALS"
    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert confirm(client, token_in(mail)).status_code == 204
    assert log_in(client, NEW_PASSWORD) == 200


def test_revert_token_survives_later_changes(thief, token, client, mailbox):
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert thief.put("/me/password", json=body).status_code == 204
    mailbox.next()
    change_email(thief, "thief2@example.com", NEW_PASSWORD)
    later = token_in(mailbox.next()[1])

    assert revert(client, token).status_code == 204

    assert mailbox.next()[0] == ["alice@example.com"]
    assert is_token_rejected(revert(client, later))


def test_changes_can_be_reverted_in_reverse_order(thief, token, client, mailbox):
    change_email(thief, "thief2@example.com")
    later = token_in(mailbox.next()[1])
    assert revert(client, later).status_code == 204
    assert mailbox.next()[0] == [THIEF]

    assert revert(client, token).status_code == 204
    assert mailbox.next()[0] == ["alice@example.com"]


def test_revert_token_works_once(token, client, mailbox):
    assert revert(client, token).status_code == 204
    mailbox.next()

    assert is_token_rejected(revert(client, token))


@pytest.mark.parametrize(("days", "status"), [(6.99, 204), (7.01, 400)])
def test_revert_token_expires_after_7_days(token, client, clock, days, status):
    clock.advance(days=days)

    response = revert(client, token)

    assert response.status_code == status
    assert status == 204 or is_token_rejected(response)


def test_account_deletion_invalidates_revert_token(thief, token, client):
    assert thief.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert is_token_rejected(revert(client, token))


def test_invalid_revert_token_is_rejected(thief, token, client, mailbox):
    reset = client.post("/auth/password-reset", json={"email": THIEF})
    assert reset.status_code == 202
    others = [token_in(mailbox.next()[1]), thief.token, thief.refresh_token]
    altered = ("A" if token[0] != "A" else "B") + token[1:]

    for forged in (*others, altered, token[:-1], "x", "a.b.c", "", "0" * 1000):
        assert is_token_rejected(revert(client, forged))
    assert is_token_rejected(confirm(client, token))
    assert thief.get("/me").status_code == 200


def test_old_email_is_reserved_for_7_days(token, client, clock, mailing_app):
    bob = mailing_app.test_client().sign_up("Bob")
    taken = sign_up(client, THIEF).json

    assert sign_up(client, "ALICE@example.com").json == taken
    body = {"email": "alice@example.com", "currentPassword": PASSWORD}
    assert bob.patch("/me", json=body).json["error"]["code"] == "USER_EXISTS"
    clock.advance(days=7, minutes=1)
    assert sign_up(client, "alice@example.com").status_code == 201


def test_user_can_change_back_to_the_old_email(alice, client, mailbox):
    change_email(alice, "alicia@example.com")
    token = token_in(mailbox.next()[1])

    assert change_email(alice, "alice@example.com").json["email"] == "alice@example.com"
    assert mailbox.next()[0] == ["alicia@example.com"]
    assert revert(client, token).status_code == 204


def test_revert_keeps_sessions_of_other_users(token, client, mailing_app):
    bob = mailing_app.test_client().sign_up("Bob")

    assert revert(client, token).status_code == 204

    assert bob.get("/me").status_code == 200


def test_email_change_purges_expired_rows(thief, token, clock, database):
    clock.advance(days=7, minutes=1)
    bob = thief.application.test_client().sign_up("Bob")

    change_email(bob, "bobby@example.com")

    assert database.execute("SELECT email FROM email_changes") == [("bob@example.com",)]


def test_revert_to_reassigned_email_is_rejected(token, client, monkeypatch, clock):
    """With clock skew, one server releases the email that another would still restore."""
    clock.advance(days=8)
    assert sign_up(client, "alice@example.com").status_code == 201
    clock.advance(days=-2)

    assert is_token_rejected(revert(client, token))


def test_one_of_concurrent_email_changes_succeeds(alice, thief, run_before):
    run_before("change_email", lambda: change_email(thief))

    response = alice.patch("/me", json={"email": "alicia@example.com", "currentPassword": PASSWORD})

    assert response.status_code == 400
    assert alice.get("/me").json["email"] == THIEF


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_password_change_sends_notification(alice, client, mailbox, is_forgotten):
    if is_forgotten:
        client.post("/auth/password-reset", json={"email": "alice@example.com"})
        assert confirm(client, token_in(mailbox.next()[1])).status_code == 204
    else:
        body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
        assert alice.put("/me/password", json=body).status_code == 204

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert "password was changed" in mail["Subject"]
    assert "://" not in mail.get_content()


def test_password_change_notifications_are_limited(make_app, mailbox):
    app = make_app(SMTP_URL=mailbox.url, FRONTEND_URL="https://x.example", RATELIMIT_ENABLED="true")
    alice = app.test_client().sign_up("Alice")
    body = {"currentPassword": PASSWORD, "newPassword": PASSWORD}

    assert [alice.put("/me/password", json=body).status_code for _ in range(6)] == [204] * 5 + [429]
    app.extensions["outbox"].join()
