"""PATCH /me."""

import pytest

from ..client import PASSWORD

LANGUAGES = [
    *("en", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "de-CH-1901", "en-US-u-ca-gregory", "es-419"),
    *("zh-yue", "zh-yue-HK", "ar-arb", "zh-cmn-Hans-CN", "x-private", "en-x-a", "X-a-b", "haw"),
    *("en-a-bbb-x-a-ccc", "de-Latn-DE-1996-x-1", "ast-ES"),
    *("i-klingon", "I-Navajo", "en-GB-oed", "sgn-BE-FR", "art-lojban", "zh-min-nan", "no-bok"),
]


def change_email(client, email, **more):
    """Change the email, with the current password by default."""
    return client.patch("/me", json={"email": email, "currentPassword": PASSWORD, **more})


def test_edit_account_changes_only_the_name(alice):
    response = alice.patch("/me", json={"name": "  Alicia "})

    assert response.status_code == 200
    assert response.json == {**alice.user, "name": "Alicia"}
    assert alice.profile() == response.json


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"theme": "dark"}, {"theme": "dark", "language": "en"}),
        ({"language": "pt-BR"}, {"theme": "system", "language": "pt-BR"}),
        ({}, {"theme": "system", "language": "en"}),
    ],
)
def test_edit_account_merges_preferences(alice, sent, stored):
    response = alice.patch("/me", json={"preferences": sent})

    assert response.status_code == 200
    assert response.json == {**alice.user, "preferences": stored}
    assert alice.get("/me").json["preferences"] == stored


@pytest.mark.parametrize("language", LANGUAGES)
def test_valid_language_tag_is_accepted(alice, language):
    response = alice.patch("/me", json={"preferences": {"language": language}})

    assert response.json["preferences"]["language"] == language


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "A"}, "name"),
        ({"name": "A" * 101}, "name"),
        ({"name": "Ann\nExample"}, "name"),
        ({"name": None}, "name"),
        ({"email": "nobody", "currentPassword": PASSWORD}, "email"),
        ({"colour": "red"}, "colour"),
        ({"password": PASSWORD}, "password"),
        ({"preferences": {"theme": "blue"}}, "preferences"),
        ({"preferences": {"colour": "red"}}, "preferences"),
        ({"preferences": {"language": "e"}}, "preferences"),
        ({"preferences": {"language": "en\nfr"}}, "preferences"),
        ({"preferences": {"language": "en_US"}}, "preferences"),
        ({"preferences": {"language": "x"}}, "preferences"),
        ({"preferences": {"language": "en-x"}}, "preferences"),
        ({"preferences": {"language": "en-x-abcdefghi"}}, "preferences"),
        ({"preferences": {"language": "en-a"}}, "preferences"),
        ({"preferences": {"language": "abcd-efg"}}, "preferences"),
        ({"preferences": {"language": "ar-arb-arb-arb-arb"}}, "preferences"),
        ({"preferences": {"language": "en-"}}, "preferences"),
        ({"preferences": {"language": "i-english"}}, "preferences"),
        ({"preferences": {"language": "i-\u212alingon"}}, "preferences"),
        ({"preferences": {"language": "en-" + "a" * 40}}, "preferences"),
        ({"preferences": {"language": "en-abcde" * 7000}}, "preferences"),
        ({"preferences": None}, "preferences"),
        ({"preferences": "dark"}, "preferences"),
    ],
)
def test_edit_account_with_invalid_field_returns_400(alice, body, field):
    response = alice.patch("/me", json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.profile() == alice.user


def test_edit_account_ignores_read_only_fields(alice):
    response = alice.patch("/me", json={**alice.user, "name": "Alicia", "role": "admin", "id": 7})

    assert response.status_code == 200
    assert response.json == {**alice.user, "name": "Alicia"}


def test_empty_account_edit_changes_nothing(alice):
    assert alice.patch("/me", json={}).json == alice.user


def test_email_change_with_current_password_succeeds(alice, client):
    response = change_email(alice, " ALICIA@Example.com ")

    assert response.status_code == 200
    assert response.json == {**alice.user, "email": "alicia@example.com"}
    assert client.log_in("alicia@example.com").user == response.json
    assert alice.get("/me").status_code == 200


@pytest.mark.parametrize("password", [None, "", "wrong password", f"{PASSWORD} "])
def test_email_change_with_wrong_password_returns_400(alice, password):
    body = {"email": "alicia@example.com", "name": "Alicia"}

    response = alice.patch("/me", json=body | ({"currentPassword": password} if password else {}))

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == ["currentPassword"]
    assert alice.profile() == alice.user


def test_equivalent_email_needs_no_password(alice):
    response = alice.patch("/me", json={"email": "ALICE@example.com", "name": "Alicia"})

    assert response.json == {**alice.user, "name": "Alicia"}


def test_unchanged_email_does_not_overwrite_concurrent_change(alice, make_client, run_before):
    phone = make_client().log_in("alice@example.com")
    run_before("change_user", lambda: change_email(phone, "alicia@example.com"))

    response = alice.patch("/me", json={"email": "alice@example.com", "name": "Alicia"})

    assert response.status_code == 200
    assert response.json == {**alice.user, "email": "alicia@example.com", "name": "Alicia"}


def test_old_password_does_not_change_email(alice, make_client, run_before):
    phone, new = make_client().log_in("alice@example.com"), "an even better battery"
    body = {"currentPassword": PASSWORD, "newPassword": new}
    run_before("change_email", lambda: alice.put("/me/password", json=body))

    response = change_email(phone, "alicia@example.com")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["currentPassword"]
    assert alice.profile() == alice.user


def test_email_change_of_deleted_account_returns_401(alice, make_client, run_before):
    phone = make_client().log_in("alice@example.com")
    run_before("change_email", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = change_email(phone, "alicia@example.com")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("email", ["bob@example.com", "BOB@EXAMPLE.COM"])
def test_change_to_taken_email_returns_409(alice, bob, email):
    response = change_email(alice, email, name="Alicia")

    assert response.status_code == 409
    assert response.json["error"]["code"] == "USER_EXISTS"
    assert alice.profile() == alice.user
    assert bob.profile() == bob.user


def test_email_change_notifies_old_address(mailing_app, mailbox):
    alice = mailing_app.test_client().sign_up("Alice")

    assert change_email(alice, "alicia@example.com", name="Visit evil.example").status_code == 200

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert mail["To"] == "alice@example.com"
    assert mail["From"] == "Movies <movies@example.com>"
    assert "was changed" in mail["Subject"]
    assert "evil" not in mail.as_string()
    assert "alicia" not in mail.as_string()


def test_unchanged_email_sends_no_notification(mailing_app, mailbox):
    alice = mailing_app.test_client().sign_up("Alice")

    assert change_email(alice, "alice@example.com").status_code == 200
    assert change_email(alice, "alicia@example.com", currentPassword="wrong").status_code == 400
    mailing_app.extensions["outbox"].join()

    assert mailbox.received.empty()


def test_email_change_without_mail_server_succeeds_and_is_logged(alice, lines, database):
    assert change_email(alice, "alicia@example.com").status_code == 200
    alice.application.extensions["outbox"].join()

    [logged] = [line["message"] for line in lines() if "SMTP_URL" in line["message"]]
    assert ("alice@example.com" in logged) is (not database.is_postgresql)


def test_edit_of_deleted_account_returns_401(alice, database):
    database.execute("DELETE FROM users")

    assert alice.patch("/me", json={"name": "Alicia"}).json["error"]["code"] == "INVALID_TOKEN"


def test_accepts_the_account_as_it_was_read(alice):
    account = alice.get("/me").json

    response = alice.patch("/me", json=account)

    assert response.status_code == 200
    assert response.json == {key: value for key, value in account.items() if key != "usage"}
