"""POST /auth/signup."""
# ruff: noqa: RUF001  look-alike characters are tested

from importlib import import_module
from unittest.mock import ANY

import pytest

from ..client import PASSWORD

ANN = {"name": "Ann Example", "email": "ann@example.com", "password": PASSWORD}
LOGIN = {"password": PASSWORD}


def test_signup_creates_account_and_logs_in(client):
    response = client.post("/auth/signup", json=ANN)

    assert response.status_code == 201
    user = {
        "id": ANY,
        "name": "Ann Example",
        "email": "ann@example.com",
        "role": "user",
        "preferences": {"theme": "system", "language": "en"},
        "createdAt": ANY,
    }
    assert response.json == {"user": user, "accessToken": ANY}
    client.use_session(response, 201)
    assert client.profile() == response.json["user"]
    assert client.post("/auth/refresh").status_code == 200


def test_signup_sets_http_only_cookie(client):
    response = client.post("/auth/signup", json=ANN)

    assert response.status_code == 201
    name, _, rest = response.headers["Set-Cookie"].partition("=")
    assert name == "refreshToken"
    attributes = {part for part in rest.split("; ")[1:] if not part.startswith("Expires=")}
    assert attributes == {"HttpOnly", "Path=/auth", "SameSite=Strict", "Max-Age=604800"}


def test_signup_over_https_sets_secure_cookie(client):
    response = client.post("/auth/signup", json=ANN, base_url="https://api.example.com")

    assert response.status_code == 201
    assert "; Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "email",
    ["ann@example.com", " ann@example.com\n", "ANN@Example.COM", "ａｎｎ@example.com"],
)
def test_signup_normalizes_the_email(client, email):
    response = client.post("/auth/signup", json={**ANN, "email": email})

    assert response.status_code == 201
    assert response.json["user"]["email"] == "ann@example.com"


@pytest.mark.parametrize("email", ["ann@example.com", "Ann@Example.Com ", "ａｎｎ@example.com"])
def test_signup_with_taken_email_returns_409(client, email):
    assert client.post("/auth/signup", json=ANN).status_code == 201

    response = client.post("/auth/signup", json={**ANN, "email": email, "name": "Another Ann"})

    assert response.status_code == 409
    assert response.json == {"error": {"code": "USER_EXISTS", "message": ANY, "details": {}}}
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("email", "stored"),
    [
        ("ann@B\u00dcCHER.de", "ann@b\u00fccher.de"),
        ("ann@xn--bcher-kva.de", "ann@b\u00fccher.de"),
        ("ann@XN--BCHER-KVA.DE", "ann@b\u00fccher.de"),
        ("ann@bu\u0308cher.de", "ann@b\u00fccher.de"),
        ("ann@b\u00fccher\u3002de", "ann@b\u00fccher.de"),
        ("ann@fa\u00df.de", "ann@fa\u00df.de"),
        ("ann@xn--fa-hia.de", "ann@fa\u00df.de"),
        ("ann@fass.de", "ann@fass.de"),
        ("ann@ΣΊΣΥΦΟΣ.gr", "ann@σίσυφοσ.gr"),
        ("ann@σίσυφος.gr", "ann@σίσυφος.gr"),
        ("ann@हिन्दी.example", "ann@हिन्दी.example"),
        ("ann@İ.example", "ann@i̇.example"),
        ("ann@a--b.example.com", "ann@a--b.example.com"),
    ],
)
def test_signup_normalizes_the_email_domain(client, email, stored):
    response = client.post("/auth/signup", json={**ANN, "email": email})

    assert response.status_code == 201
    assert response.json["user"]["email"] == stored
    assert client.post("/auth/login", json={**LOGIN, "email": email}).status_code == 200
    assert client.post("/auth/login", json={**LOGIN, "email": stored}).status_code == 200


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("İsmail@example.com", "not supported: 'İ'"),
        ("e\u0301ric@example.com", "not supported: 'é'"),
        ("σίσυφος@example.com", "not supported"),
        ("a\u200bnn@example.com", "not supported: ZERO WIDTH SPACE"),
        ("x" * 65 + "@example.com", "too long before the @-sign"),
        ("=?utf-8?q?x?=@example.com", "must not contain =?"),
        ('"ann"@example.com', "Quoting"),
        ("ann@[192.0.2.1]", "bracketed"),
        ("Ann <ann@example.com>", "display name"),
        ("mailto:ann@example.com", "':'"),
        ("ann@example,com", "','"),
        ("ann@exam\u00adple.com", "SOFT HYPHEN"),
        ("ann@corp.local", "special-use"),
        ("ann@shop.test", "special-use"),
        ("ann@localhost", "should have a period"),
        ("ann", "must have an @-sign"),
    ],
)
def test_undeliverable_email_is_rejected_with_reason(client, email, reason):
    response = client.post("/auth/signup", json={**ANN, "email": email})

    assert response.status_code == 400
    [message] = response.json["error"]["details"]["email"]
    assert reason in message
    assert message.endswith(".")
    [field] = response.json["error"]["fields"]
    assert field["code"] == ("too_long" if "too long" in message else "invalid")


def test_signup_conflict_in_the_database_returns_409(client, database, monkeypatch):
    """The unique index rejects the second of two signups that both pass the lookup."""
    client.post("/auth/signup", json=ANN)
    monkeypatch.setattr(
        import_module("movies_api.auth.views"), "is_email_taken", lambda _email: False
    )

    response = client.post("/auth/signup", json=ANN)

    assert response.status_code == 409
    assert response.json["error"]["code"] == "USER_EXISTS"
    assert database.execute("SELECT count(*) FROM users") == [(1,)]


def test_signup_trims_the_name(client):
    response = client.post("/auth/signup", json={**ANN, "name": "  Ann Example  "})

    assert response.status_code == 201
    assert response.json["user"]["name"] == "Ann Example"


@pytest.mark.parametrize("name", ["Al", "x" * 100, "Zoë Ångström", "李雷", "Ann 🎬"])
def test_name_of_2_to_100_characters_is_accepted(client, name):
    response = client.post("/auth/signup", json={**ANN, "name": name})

    assert response.status_code == 201
    assert response.json["user"]["name"] == name


@pytest.mark.parametrize("password", ["8 chars!", "x" * 127 + "y", "пароль🔑!", "        "])
def test_password_of_8_to_128_characters_is_accepted(client, password):
    response = client.post("/auth/signup", json={**ANN, "password": password})

    assert response.status_code == 201
    login = client.post("/auth/login", json={"email": ANN["email"], "password": password})
    assert login.status_code == 200


PERSONAL = ["anna.bell@example.com", "ANNA.Bell@Example.com", "anna.bell", "anna example", "Ａnna Example", " Anna Example "]  # fmt: skip


@pytest.mark.parametrize("password", PERSONAL)
def test_rejects_a_password_that_is_ones_own_email_or_name(client, password):
    anna = {"name": "Anna Example", "email": "Anna.Bell@example.com", "password": password}

    response = client.post("/auth/signup", json=anna)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["password"]
    assert client.post("/auth/signup", json={**anna, "password": f"{password}!"}).status_code == 201


@pytest.mark.parametrize(
    "name", ["\u200b\u200b", "\u3164\u3164", "\u2800 \u2800", "\ufe0f\u034f", "\U000e0041\u2060"]
)
def test_rejects_a_name_that_cannot_be_seen(client, name):
    response = client.post("/auth/signup", json={**ANN, "name": name})

    assert response.status_code == 400
    assert response.json["error"]["details"] == {"name": ["Must contain visible characters."]}


@pytest.mark.parametrize(
    "name", ["نص\u200cعربي", "\u200bA", "क्\u200dष", "👩\u200d👩\ufe0f", "\u0301a"]
)
def test_keeps_joiners_beside_what_can_be_seen(client, name):
    response = client.post("/auth/signup", json={**ANN, "name": name})

    assert response.json["user"]["name"] == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "A"),
        ("name", " A "),
        ("name", "x" * 101),
        ("name", "An\x00n"),
        ("name", "Ann\nExample"),
        ("name", ""),
        ("name", None),
        ("name", 12),
        ("name", ["Ann"]),
        ("email", "ann"),
        ("email", "ann@"),
        ("email", "@example.com"),
        ("email", "ann@exam ple.com"),
        ("email", "ann@@example.com"),
        ("email", f"{'x' * 250}@example.com"),
        ("email", f"{'㎏' * 125}@example.com"),
        ("email", "ann\x00@example.com"),
        ("email", "ann@xn--\u00fc.de"),
        ("email", "ann@xn--a.de"),
        ("email", "ann@-\u00fc.de"),
        ("email", "ann@\u00fc..de"),
        ("email", "ann@\u00fc.de."),
        ("email", "ann@\U0001f4a9.la"),
        ("email", "ann@" + "\u00fc" * 64 + ".de"),
        ("email", "\u00fc.de"),
        ("email", ""),
        ("email", None),
        ("email", {"a": 1}),
        ("password", "seven c"),
        ("password", "x" * 129),
        ("password", "password"),
        ("password", "PassWord1"),
        ("password", "12345678"),
        ("password", "qwertyuiop"),
        ("password", ""),
        ("password", None),
        ("password", 1234567890),
        ("role", "admin"),
        ("isAdmin", True),
    ],
)
def test_invalid_signup_field_returns_400(client, database, field, value):
    response = client.post("/auth/signup", json={**ANN, field: value})

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert database.execute("SELECT count(*) FROM users") == [(0,)]


def test_signup_reports_all_invalid_fields(client):
    response = client.post(
        "/auth/signup", json={"email": "ann", "password": "short", "nickname": "A"}
    )

    assert response.status_code == 400
    assert set(response.json["error"]["details"]) == {"name", "email", "password", "nickname"}
    assert all(
        name in response.json["error"]["message"]
        for name in ("name", "email", "password", "nickname")
    )


def test_password_is_neither_returned_nor_stored(client, database):
    response = client.post("/auth/signup", json=ANN)

    assert response.status_code == 201
    assert PASSWORD not in response.text
    [stored] = database.execute("SELECT * FROM users")
    assert PASSWORD not in str(stored)
    assert stored.password_hash.startswith("$argon2id$")
    assert stored.password_hash not in response.text


def test_signup_from_disallowed_origin_returns_403(client):
    response = client.post("/auth/signup", json=ANN, headers={"Origin": "https://evil.example"})

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
