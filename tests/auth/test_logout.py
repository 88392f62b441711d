"""POST /auth/logout."""

import pytest


def is_logged_in(client):
    """Tell whether the client's access token is valid."""
    return client.get("/me").status_code == 200


@pytest.fixture
def phone(alice, make_client):
    """Alice, logged in on a second device."""
    return make_client().log_in("alice@example.com")


@pytest.fixture
def laptop(alice, make_client):
    """Alice, logged in on a third device."""
    return make_client().log_in("alice@example.com")


def test_logout_ends_the_session_and_clears_the_cookie(alice):
    value = alice.refresh_token

    response = alice.post("/auth/logout")

    assert response.status_code == 204
    assert response.data == b""
    assert response.headers["Set-Cookie"].startswith("refreshToken=;")
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert "Path=/auth" in response.headers["Set-Cookie"]
    assert alice.refresh_token is None
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    alice.refresh_token = value
    assert alice.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"


def test_logout_with_bearer_token_only(alice):
    alice.refresh_token = None

    assert alice.post("/auth/logout").status_code == 204
    assert not is_logged_in(alice)


def test_logout_with_cookie_only(alice):
    token, alice.token = alice.token, None

    assert alice.post("/auth/logout").status_code == 204
    alice.token = token
    assert not is_logged_in(alice)


def test_logout_with_cookie_after_access_token_expiry(alice, clock):
    clock.advance(minutes=16)
    alice.token = None

    assert alice.post("/auth/logout").status_code == 204


@pytest.mark.parametrize(
    ("query", "alive"),
    [
        ("", (False, True, True)),
        ("?scope=this", (False, True, True)),
        ("?scope=others", (True, False, False)),
        ("?scope=all", (False, False, False)),
    ],
)
def test_logout_ends_sessions_in_scope(alice, phone, laptop, query, alive):
    response = alice.post(f"/auth/logout{query}")

    assert response.status_code == 204
    assert (is_logged_in(alice), is_logged_in(phone), is_logged_in(laptop)) == alive


@pytest.mark.parametrize("scope", ["this", "others", "all"])
def test_logout_keeps_sessions_of_other_users(alice, bob, scope):
    assert alice.post(f"/auth/logout?scope={scope}").status_code == 204

    assert is_logged_in(bob)


def test_logout_of_others_keeps_own_cookie(alice, phone):
    response = alice.post("/auth/logout?scope=others")

    assert response.status_code == 204
    assert alice.post("/auth/refresh").status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("scope=everything", "scope"),
        ("scop=all", "scop"),
        ("scope=all&x=1", "x"),
    ],
)
def test_invalid_logout_parameter_returns_400(alice, query, name):
    response = alice.post(f"/auth/logout?{query}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == [name]
    assert is_logged_in(alice)


def test_anonymous_logout_returns_401(client):
    response = client.post("/auth/logout")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "MISSING_TOKEN"


def test_logout_from_disallowed_origin_returns_403(alice):
    alice_token, alice.token = alice.token, None

    response = alice.post("/auth/logout", headers={"Origin": "https://evil.example"})

    assert response.status_code == 403
    alice.token = alice_token
    assert is_logged_in(alice)


def test_logout_with_replayed_cookie_ends_the_session(alice, phone, clock, lines):
    old, token, alice.token = alice.refresh_token, alice.token, None
    alice.post("/auth/refresh")
    alice.post("/auth/refresh")
    clock.advance(seconds=31)
    alice.refresh_token = old

    response = alice.post("/auth/logout")

    assert response.status_code == 204
    assert [line["event"] for line in lines() if "event" in line][-1] == "refresh_replayed"
    alice.token = token
    assert not is_logged_in(alice)
    assert is_logged_in(phone)


def test_logout_accepts_just_rotated_cookie(alice):
    old, alice.token = alice.refresh_token, None
    token = alice.post("/auth/refresh").json["accessToken"]
    alice.refresh_token = old

    assert alice.post("/auth/logout").status_code == 204
    alice.token = token
    assert not is_logged_in(alice)


@pytest.mark.parametrize("scope", ["this", "all"])
@pytest.mark.parametrize("owner", ["phone", "bob"])
def test_logout_ends_session_of_cleared_cookie(alice, request, make_client, scope, owner):
    other = request.getfixturevalue(owner)
    browser = make_client()
    browser.token, browser.refresh_token = alice.token, other.refresh_token

    assert browser.post(f"/auth/logout?scope={scope}").status_code == 204

    assert browser.refresh_token is None
    assert not is_logged_in(alice)
    assert not is_logged_in(other)


def test_logout_of_others_keeps_session_of_cookie(alice, bob, make_client):
    browser = make_client()
    browser.token, browser.refresh_token = alice.token, bob.refresh_token

    assert browser.post("/auth/logout?scope=others").status_code == 204

    assert browser.refresh_token == bob.refresh_token
    assert is_logged_in(alice)
    assert is_logged_in(bob)


def test_logout_with_expired_access_token_only(alice, clock):
    alice.refresh_token = None
    clock.advance(minutes=16)

    assert alice.post("/auth/logout").status_code == 204
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_logout_with_cookie_and_invalid_token(alice):
    token, alice.token = alice.token, "made.up.token"

    assert alice.post("/auth/logout").status_code == 204
    alice.token = token
    assert not is_logged_in(alice)


@pytest.mark.parametrize("shown", ["token", "cookie", "both", "API token"])
def test_logout_of_ended_session_clears_the_cookie(alice, shown):
    token, cookie = alice.token, alice.refresh_token
    if shown == "API token":
        token, cookie = alice.post("/auth/tokens", json={"name": "x"}).json["token"], None
    assert alice.post("/auth/logout?scope=all").status_code == 204
    alice.token = None if shown == "cookie" else token

    for _ in range(2):
        alice.refresh_token = None if shown == "token" else cookie
        response = alice.post("/auth/logout")
        assert response.status_code == 204
        assert response.headers["Set-Cookie"].startswith("refreshToken=;")


@pytest.mark.parametrize("scope", ["others", "all"])
def test_logout_of_others_by_ended_session_returns_401(alice, phone, scope):
    assert alice.post("/auth/logout").status_code == 204

    response = alice.post(f"/auth/logout?scope={scope}")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert is_logged_in(phone)


def test_logout_with_forged_access_token_returns_401(client):
    client.token = "made.up.token"

    assert client.post("/auth/logout").json["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("cookie", ["x", "a.b.c.d", "0" * 200])
def test_logout_clears_cookie_of_another_service(client, cookie):
    client.refresh_token = cookie

    response = client.post("/auth/logout")

    assert response.status_code == 204
    assert client.refresh_token is None


def test_logout_ends_sessions_of_all_cookies(app, alice, phone, bob):
    cookies = [alice.refresh_token, "another-app", bob.refresh_token]

    response = app.test_client(use_cookies=False).post(
        "/auth/logout", headers={"Cookie": "; ".join(f"refreshToken={each}" for each in cookies)}
    )

    assert response.status_code == 204
    assert not is_logged_in(alice)
    assert not is_logged_in(bob)
    assert is_logged_in(phone)


@pytest.mark.parametrize("samesite", ["Strict", "Lax", "None"])
def test_logout_deletes_partitioned_and_unpartitioned_cookie(make_app, samesite):
    alice = make_app(COOKIE_SAMESITE=samesite).test_client().sign_up("Alice")

    response = alice.post("/auth/logout", base_url="https://localhost")

    found = [set(header.split("; ")) for header in response.headers.getlist("Set-Cookie")]
    assert [{"Partitioned"} <= attributes for attributes in found].count(True) == 1
    assert len(found) == 2
    for attributes in found:
        assert {"Max-Age=0", "Path=/auth", "Secure"} <= attributes
