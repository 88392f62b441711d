"""POST /auth/login."""
# ruff: noqa: RUF001  look-alike characters are tested

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from time import process_time
from unittest.mock import ANY

import pytest
from passlib.hash import argon2

from ..client import PASSWORD
from ..conftest import app_for, config_for


def test_login_returns_user_and_token(alice, client):
    response = client.post("/auth/login", json={"email": "alice@example.com", "password": PASSWORD})

    assert response.status_code == 200
    assert response.json == {"user": alice.user, "accessToken": ANY}
    assert client.use_session(response).profile() == alice.user
    assert client.refresh_token


@pytest.mark.parametrize(
    "email", ["ALICE@example.com", "  alice@example.com ", "ａlice@example.com"]
)
def test_login_normalizes_the_email(alice, client, email):
    response = client.post("/auth/login", json={"email": email, "password": PASSWORD})

    assert response.status_code == 200
    assert response.json["user"] == alice.user


@pytest.mark.parametrize(
    "password", ["wrong password", PASSWORD.upper(), f" {PASSWORD}", f"{PASSWORD} ", "", "x" * 128]
)
def test_login_with_wrong_password_returns_401(alice, client, password):
    response = client.post("/auth/login", json={"email": "alice@example.com", "password": password})

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_CREDENTIALS"
    assert "Set-Cookie" not in response.headers
    assert "WWW-Authenticate" not in response.headers


def test_login_does_not_trim_the_password(client):
    ann = {"email": "ann@example.com", "password": "  spaces matter  "}
    assert client.post("/auth/signup", json={**ann, "name": "Ann"}).status_code == 201

    assert client.post("/auth/login", json=ann).status_code == 200
    assert client.post("/auth/login", json={**ann, "password": "spaces matter"}).status_code == 401


def test_unknown_email_and_wrong_password_get_the_same_response(alice, client):
    wrong = client.post(
        "/auth/login", json={"email": "alice@example.com", "password": "wrong password"}
    )
    unknown = client.post(
        "/auth/login", json={"email": "nobody@example.com", "password": "wrong password"}
    )

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json == unknown.json
    assert wrong.json == {"error": {"code": "INVALID_CREDENTIALS", "message": ANY, "details": {}}}
    assert {name for name, _ in wrong.headers} == {name for name, _ in unknown.headers}


def test_unknown_email_and_wrong_password_take_the_same_time(app, database, tmp_path):
    slow = app_for(
        config_for(database.url, tmp_path, ARGON2_MEMORY_KIB="1024", ARGON2_TIME_COST="60")
    )
    client = slow.test_client().sign_up("Alice")

    def seconds(email):
        started = process_time()
        assert (
            client.post(
                "/auth/login", json={"email": email, "password": "wrong password"}
            ).status_code
            == 401
        )
        return process_time() - started

    known = min(seconds("alice@example.com") for _ in range(3))
    unknown = min(seconds("nobody@example.com") for _ in range(3))
    assert unknown > known * 0.6
    assert known > unknown * 0.6


def test_concurrent_password_hashes_are_limited(alice, database, tmp_path, monkeypatch):
    app = app_for(config_for(database.url, tmp_path, ARGON2_CONCURRENCY="2"))
    real, lock, running, peaks, is_exceeded = argon2.verify.__func__, Lock(), [], [], Event()

    def verify(cls, *values):
        with lock:
            running.append(1)
            peaks.append(len(running))
        if len(running) > 2:
            is_exceeded.set()
        is_exceeded.wait(0.1)  # long enough for a third to start, if allowed
        running.pop()
        return real(cls, *values)

    monkeypatch.setattr(argon2, "verify", classmethod(verify))
    login = {"email": "alice@example.com", "password": "wrong password"}

    def log_in(_):
        return app.test_client().post("/auth/login", json=login).status_code

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(log_in, range(6))) == [401] * 6

    assert len(peaks) == 6
    assert max(peaks) == 2


@pytest.mark.parametrize(
    ("more", "days"), [({}, 7), ({"remember": False}, 7), ({"remember": True}, 30)]
)
def test_remember_sets_the_cookie_lifetime(alice, client, more, days):
    response = client.post(
        "/auth/login", json={"email": "alice@example.com", "password": PASSWORD, **more}
    )

    assert response.status_code == 200
    assert f"Max-Age={days * 24 * 3600};" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("samesite", ["Strict", "Lax", "None"])
def test_refresh_cookie_has_all_attributes(alice, make_app, scheme, samesite):
    app = make_app(PROXY_HOPS="1", COOKIE_SAMESITE=samesite)
    client = app.test_client(use_cookies=False)
    body = {"email": "alice@example.com", "password": PASSWORD}
    headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-For": "192.0.2.1"}
    wanted = {"HttpOnly", "Path=/auth", f"SameSite={samesite}"}
    wanted |= {"Secure"} if scheme == "https" or samesite == "None" else set()
    wanted |= {"Partitioned"} if samesite == "None" else set()

    for path, more, age in [
        ("/auth/login", {"json": body}, 7 * 24 * 3600),
        ("/auth/refresh", {}, 7 * 24 * 3600),
        ("/auth/logout", {}, 0),
    ]:
        response = client.post(path, headers=headers, **more)
        assert response.status_code < 300
        cookie, *attributes = response.headers.getlist("Set-Cookie")[-1 if age else 0].split("; ")
        found = {each for each in attributes if not each.startswith("Expires=")}
        assert found == wanted | {f"Max-Age={age}"}
        headers["Cookie"] = cookie


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email", "password"}),
        ({"email": "alice@example.com"}, {"password"}),
        ({"email": "alice@example.com", "password": PASSWORD, "remember": "yes"}, {"remember"}),
        ({"email": "alice@example.com", "password": PASSWORD, "remember": []}, {"remember"}),
        ({"email": "alice@example.com", "password": PASSWORD, "remember": 0}, {"remember"}),
        ({"email": "alice@example.com", "password": PASSWORD, "remeber": True}, {"remeber"}),
        ({"email": "alice@example.com", "password": 12345678}, {"password"}),
        ({"email": ["alice@example.com"], "password": PASSWORD}, {"email"}),
    ],
)
def test_invalid_login_field_returns_400(alice, client, body, fields):
    response = client.post("/auth/login", json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert set(response.json["error"]["details"]) == fields


def test_login_keeps_other_sessions(alice, make_client):
    phone = make_client().log_in("alice@example.com")

    assert phone.token != alice.token
    assert alice.get("/me").status_code == phone.get("/me").status_code == 200


def test_default_argon2_hash_follows_owasp(app, database, tmp_path):
    standard = {"ARGON2_MEMORY_KIB": "", "ARGON2_TIME_COST": "", "ARGON2_PARALLELISM": ""}
    app_for(config_for(database.url, tmp_path, **standard)).test_client().sign_up("Alice")

    [(stored,)] = database.execute("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_login_rehashes_after_argon2_parameter_change(alice, database, tmp_path):
    changed = app_for(
        config_for(database.url, tmp_path, ARGON2_MEMORY_KIB="32", ARGON2_TIME_COST="2")
    )
    client = changed.test_client()

    client.log_in("alice@example.com")

    [(stored,)] = database.execute("SELECT password_hash FROM users")
    assert "$m=32,t=2,p=1$" in stored
    client.log_in("alice@example.com")
    assert database.execute("SELECT password_hash FROM users") == [(stored,)]


def test_login_from_disallowed_origin_returns_403(alice, client):
    body = {"email": "alice@example.com", "password": PASSWORD}

    response = client.post("/auth/login", json=body, headers={"Origin": "https://evil.example"})

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
