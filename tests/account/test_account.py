"""PATCH /me."""

import pytest

from ..client import PASSWORD

LANGUAGES = [
    *("en", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "de-CH-1901", "en-US-u-ca-gregory", "es-419"),
    *("zh-yue", "zh-yue-HK", "ar-arb", "zh-cmn-Hans-CN", "x-private", "en-x-a", "X-a-b", "haw"),
    *("en-a-bbb-x-a-ccc", "de-Latn-DE-1996-x-1", "ast-ES"),
    *("i-klingon", "I-Navajo", "en-GB-oed", "sgn-BE-FR", "art-lojban", "zh-min-nan", "no-bok"),
]


def move(client, email, **more):
    """Change the email, with the right password unless told otherwise."""
    return client.patch("/me", json={"email": email, "currentPassword": PASSWORD, **more})


def test_changes_the_name_alone(alice):
    response = alice.patch("/me", json={"name": "  Alicia "})

    assert response.status_code == 200
    assert response.json == {**alice.user, "name": "Alicia"}
    assert alice.profile() == response.json


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"theme": "dark"}, {"theme": "dark", "language": "en"}),
        ({"language": "pt-BR"}, {"theme": "system", "language": "pt-BR"}),
        ({}, {"theme": "system", "language": "en"}),
    ],
)
def test_merges_the_preferences(alice, sent, kept):
    response = alice.patch("/me", json={"preferences": sent})

    assert response.status_code == 200
    assert response.json == {**alice.user, "preferences": kept}
    assert alice.get("/me").json["preferences"] == kept


@pytest.mark.parametrize("language", LANGUAGES)
def test_takes_language_tags(alice, language):
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
def test_names_the_field_that_is_wrong(alice, body, field):
    response = alice.patch("/me", json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.profile() == alice.user


def test_takes_back_what_it_gave_and_ignores_what_only_we_write(alice):
    response = alice.patch("/me", json={**alice.user, "name": "Alicia", "role": "admin", "id": 7})

    assert response.status_code == 200
    assert response.json == {**alice.user, "name": "Alicia"}


def test_an_edit_of_nothing_is_none(alice):
    assert alice.patch("/me", json={}).json == alice.user


def test_changes_the_email_with_the_password(alice, client):
    response = move(alice, " ALICIA@Example.com ")

    assert response.status_code == 200
    assert response.json == {**alice.user, "email": "alicia@example.com"}
    assert client.log_in("alicia@example.com").user == response.json
    assert alice.get("/me").status_code == 200


@pytest.mark.parametrize("password", [None, "", "wrong password", f"{PASSWORD} "])
def test_keeps_the_email_without_the_right_password(alice, password):
    body = {"email": "alicia@example.com", "name": "Alicia"}

    response = alice.patch("/me", json=body | ({"currentPassword": password} if password else {}))

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == ["currentPassword"]
    assert alice.profile() == alice.user


def test_the_same_email_in_another_form_needs_no_password(alice):
    response = alice.patch("/me", json={"email": "ALICE@example.com", "name": "Alicia"})

    assert response.json == {**alice.user, "name": "Alicia"}


def test_an_email_that_was_not_changed_is_not_changed_back(alice, make_client, meanwhile):
    phone = make_client().log_in("alice@example.com")
    meanwhile("change_user", lambda: move(phone, "alicia@example.com"))

    response = alice.patch("/me", json={"email": "alice@example.com", "name": "Alicia"})

    assert response.status_code == 200
    assert response.json == {**alice.user, "email": "alicia@example.com", "name": "Alicia"}


def test_the_password_before_does_not_change_the_email(alice, make_client, meanwhile):
    phone, new = make_client().log_in("alice@example.com"), "an even better battery"
    body = {"currentPassword": PASSWORD, "newPassword": new}
    meanwhile("change_email", lambda: alice.put("/me/password", json=body))

    response = move(phone, "alicia@example.com")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["currentPassword"]
    assert alice.profile() == alice.user


def test_an_account_that_goes_meanwhile_changes_no_email(alice, make_client, meanwhile):
    phone = make_client().log_in("alice@example.com")
    meanwhile("change_email", lambda: alice.delete("/me", json={"password": PASSWORD}))

    response = move(phone, "alicia@example.com")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("email", ["bob@example.com", "BOB@EXAMPLE.COM"])
def test_rejects_an_email_that_is_taken(alice, bob, email):
    response = move(alice, email, name="Alicia")

    assert response.status_code == 409
    assert response.json["error"]["code"] == "USER_EXISTS"
    assert alice.profile() == alice.user
    assert bob.profile() == bob.user


def test_tells_the_old_address_by_mail(mailing_app, mailbox):
    alice = mailing_app.test_client().sign_up("Alice")

    assert move(alice, "alicia@example.com", name="Visit evil.example").status_code == 200

    recipients, mail = mailbox.next()
    assert recipients == ["alice@example.com"]
    assert mail["To"] == "alice@example.com"
    assert mail["From"] == "Movies <movies@example.com>"
    assert "was changed" in mail["Subject"]
    assert "evil" not in mail.as_string()
    assert "alicia" not in mail.as_string()


def test_sends_no_mail_when_the_email_stays(mailing_app, mailbox):
    alice = mailing_app.test_client().sign_up("Alice")

    assert move(alice, "alice@example.com").status_code == 200
    assert move(alice, "alicia@example.com", currentPassword="wrong").status_code == 400
    mailing_app.extensions["outbox"].join()

    assert mailbox.given.empty()


def test_the_mail_about_it_is_nobodys_business_on_a_server_that_cannot_send(alice, lines, database):
    assert move(alice, "alicia@example.com").status_code == 200
    alice.application.extensions["outbox"].join()

    [told] = [line["message"] for line in lines() if "SMTP_URL" in line["message"]]
    assert ("alice@example.com" in told) is (not database.is_postgresql)


def test_an_account_that_has_gone_is_a_401(alice, database):
    database.execute("DELETE FROM users")

    assert alice.patch("/me", json={"name": "Alicia"}).json["error"]["code"] == "INVALID_TOKEN"


def test_accepts_the_account_as_it_was_read(alice):
    account = alice.get("/me").json

    response = alice.patch("/me", json=account)

    assert response.status_code == 200
    assert response.json == {key: value for key, value in account.items() if key != "usage"}
