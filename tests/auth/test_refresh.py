"""POST /auth/refresh: rotation, the grace period, replay, and allowed origins."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from movies_api.models import sessions

from ..conftest import app_for, config_for
from ..helpers import ANN
from ..servers import SECRET_KEY

DAY = 24 * 3600
OTHER_KEY = "another-key-5b8e2d7f9a1c4e6083f7a2d5c9b1e4f6"


def max_age(response):
    """Return the Max-Age of the refresh cookie in seconds."""
    attributes = dict(
        part.partition("=")[::2] for part in response.headers["Set-Cookie"].split("; ")
    )
    return int(attributes["Max-Age"])


def refresh_with(client, value):
    """Refresh with the given cookie value."""
    client.refresh_token = value
    return client.post("/auth/refresh")


def test_refresh_returns_new_token_and_cookie(alice):
    before, alice.token = alice.refresh_token, None

    response = alice.post("/auth/refresh")

    assert response.status_code == 200
    assert response.json["user"] == alice.user
    assert alice.refresh_token != before
    assert alice.use_session(response).profile() == alice.user


def test_refresh_keeps_the_previous_access_token_valid(alice):
    assert alice.post("/auth/refresh").status_code == 200

    assert alice.get("/me").status_code == 200


def test_refresh_without_cookie_returns_401(alice):
    alice.refresh_token = None

    response = alice.post("/auth/refresh")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize(
    "value", ["", "x", "a.b.c", "ä", "x" * 3000, "0" * 32 + "." + "A" * 43 + "." + "B" * 43]
)
def test_forged_refresh_cookie_returns_401(app, value):
    response = app.test_client(use_cookies=False).post(
        "/auth/refresh", headers={"Cookie": f"refreshToken={value}"}
    )

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert "Set-Cookie" not in response.headers


def test_altered_refresh_cookie_is_rejected(alice):
    value = alice.refresh_token

    for place in (0, len(value) // 2, len(value) - 3):
        altered = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        assert refresh_with(alice, altered).json["error"]["code"] == "INVALID_TOKEN"
    assert refresh_with(alice, value).status_code == 200


def test_tabs_with_the_same_cookie_get_the_same_successor(alice, make_client):
    value = alice.refresh_token
    tabs = [alice, make_client(), make_client()]

    responses = [refresh_with(tab, value) for tab in tabs]

    assert [response.status_code for response in responses] == [200, 200, 200]
    assert len({tab.refresh_token for tab in tabs}) == 1
    assert refresh_with(tabs[2], tabs[0].refresh_token).status_code == 200


def test_previous_cookie_is_accepted_within_grace_period(alice, clock):
    first = alice.refresh_token
    second = (refresh_with(alice, first), alice.refresh_token)[1]
    clock.advance(seconds=29)

    assert refresh_with(alice, first).status_code == 200
    assert alice.refresh_token == second
    assert refresh_with(alice, second).status_code == 200


def test_cookie_two_rotations_old_returns_the_newest(alice, clock):
    first = alice.refresh_token
    second = (refresh_with(alice, first), alice.refresh_token)[1]
    clock.advance(seconds=10)
    third = (refresh_with(alice, second), alice.refresh_token)[1]
    clock.advance(seconds=10)

    assert refresh_with(alice, first).status_code == 200
    assert alice.refresh_token == third


def test_previous_cookie_is_valid_until_successor_is_used(alice, clock):
    first = alice.refresh_token
    second = (refresh_with(alice, first), alice.refresh_token)[1]
    for _ in range(3):
        clock.advance(days=2)
        assert refresh_with(alice, first).status_code == 200
        assert alice.refresh_token == second

    assert refresh_with(alice, second).status_code == 200
    assert alice.refresh_token != second


@pytest.mark.parametrize(("seconds", "status"), [(29, 200), (31, 401)])
def test_previous_cookie_is_valid_for_grace_period_after(alice, clock, seconds, status):
    first = alice.refresh_token
    second = (refresh_with(alice, first), alice.refresh_token)[1]
    clock.advance(days=1)
    third = (refresh_with(alice, second), alice.refresh_token)[1]
    clock.advance(seconds=seconds)

    assert refresh_with(alice, first).status_code == status
    if status == 200:
        assert alice.refresh_token == third


def test_grace_period_starts_at_first_use(alice, clock):
    first = alice.refresh_token
    second = (refresh_with(alice, first), alice.refresh_token)[1]
    refresh_with(alice, second)
    clock.advance(seconds=20)
    assert refresh_with(alice, second).status_code == refresh_with(alice, first).status_code == 200
    clock.advance(seconds=11)

    assert refresh_with(alice, first).status_code == 401


def replace_twice(client):
    """Refresh twice, so that the first value is older than the previous one; return it."""
    first = client.refresh_token
    for _ in range(2):
        assert client.post("/auth/refresh").status_code == 200
    return first


def test_replay_after_grace_period_ends_the_session(alice, make_client, clock):
    stolen = replace_twice(alice)
    newest = alice.refresh_token
    clock.advance(seconds=31)

    response = refresh_with(make_client(), stolen)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert refresh_with(alice, newest).json["error"]["code"] == "INVALID_TOKEN"


def test_cookie_newer_than_restored_database_is_accepted(alice, database, clock):
    [backup] = database.execute(select(sessions))
    values = [alice.refresh_token]
    for _ in range(5):
        clock.advance(minutes=20)
        assert alice.post("/auth/refresh").status_code == 200
        values.append(alice.refresh_token)
    columns = {name: backup._mapping[name] for name in ("generation", "last_used_at", "expires_at")}
    database.execute(update(sessions).values(**columns, superseded={}))

    assert refresh_with(alice, values[5]).status_code == 200

    assert alice.use_session(refresh_with(alice, values[5])).profile() == alice.user
    assert refresh_with(alice, values[4]).status_code == 200  # another tab, within the grace period
    assert alice.post("/auth/refresh").status_code == 200
    assert refresh_with(alice, values[2]).status_code == 401


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("seconds", [-50, 50])
def test_clock_skew_is_not_treated_as_replay(alice, clock, seconds, monkeypatch):
    first = replace_twice(alice)
    real = datetime.now

    class Skewed(datetime):
        @classmethod
        def now(cls, tz=None):
            return real(tz) + timedelta(seconds=seconds)

    monkeypatch.setattr("movies_api.db.datetime", Skewed)

    assert refresh_with(alice, first).status_code == 200
    assert alice.use_session(alice.post("/auth/refresh")).get("/me").status_code == 200


def test_replay_of_much_older_cookie_ends_the_session(alice, clock):
    stolen = alice.refresh_token
    for _ in range(3):
        clock.advance(minutes=20)
        assert alice.post("/auth/refresh").status_code == 200

    assert refresh_with(alice, stolen).status_code == 401
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_replay_keeps_other_sessions(alice, make_client, clock):
    phone = make_client().log_in("alice@example.com")
    stolen = replace_twice(alice)
    clock.advance(seconds=31)

    assert refresh_with(alice, stolen).status_code == 401
    assert phone.get("/me").status_code == 200


def test_failed_refresh_does_not_clear_the_cookie(alice, clock):
    stolen = replace_twice(alice)
    clock.advance(seconds=31)

    for value in (stolen, stolen, "x"):
        response = refresh_with(alice, value)
        assert response.status_code == 401
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 30)])
def test_refresh_extends_the_session(alice, clock, remember, days):
    alice.log_in("alice@example.com", remember=remember)
    clock.advance(days=days - 1)

    response = alice.post("/auth/refresh")

    assert response.status_code == 200
    assert max_age(response) == days * DAY
    clock.advance(days=days - 1)
    assert alice.post("/auth/refresh").status_code == 200


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 30)])
def test_unused_session_expires(alice, clock, remember, days):
    alice.log_in("alice@example.com", remember=remember)
    clock.advance(days=days, seconds=1)

    response = alice.post("/auth/refresh")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_session_ends_90_days_after_login(alice, clock):
    for _ in range(14):
        clock.advance(days=6)
        assert max_age(alice.post("/auth/refresh")) <= 7 * DAY
    assert max_age(alice.post("/auth/refresh")) == pytest.approx(6 * DAY, abs=5)
    value = alice.refresh_token
    clock.advance(days=6)

    assert refresh_with(alice, value).status_code == 401


def test_remembered_session_ends_90_days_after_login(alice, clock):
    alice.log_in("alice@example.com", remember=True)
    ages = []
    for _ in range(3):
        clock.advance(days=29)
        ages.append(max_age(alice.post("/auth/refresh")))
    assert ages == [30 * DAY, 30 * DAY, 3 * DAY]
    value = alice.refresh_token
    clock.advance(days=3)

    assert refresh_with(alice, value).status_code == 401


def test_refresh_token_is_stored_only_as_hash(alice, database):
    value = alice.refresh_token

    [stored] = database.execute("SELECT * FROM sessions")

    _session, _generation, *parts = value.split(".")
    assert parts
    assert not [part for part in parts if part in str(stored)]
    alice.post("/auth/refresh")
    [stored] = database.execute("SELECT * FROM sessions")
    assert not [part for part in parts if part in str(stored)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_refresh_from_allowed_origin_succeeds(alice, headers):
    response = alice.post("/auth/refresh", headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000.evil.example"},
        {"Origin": "https://localhost:3000"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_refresh_from_disallowed_origin_returns_403(alice, headers):
    value = alice.refresh_token

    response = alice.post("/auth/refresh", headers=headers)

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert alice.refresh_token == value
    assert alice.post("/auth/refresh").status_code == 200


def test_samesite_none_cookie_is_secure(app, database, tmp_path):
    client = (
        app_for(config_for(database.url, tmp_path, COOKIE_SAMESITE="None"))
        .test_client()
        .sign_up("Alice")
    )

    response = client.post("/auth/refresh")

    assert response.status_code == 200
    old, new = (set(each.split("; ")) for each in response.headers.getlist("Set-Cookie"))
    assert {"SameSite=None", "Secure", "Partitioned"} <= new
    # That of another setting would be sent, too, and first
    assert {"refreshToken=", "Max-Age=0", "Path=/auth"} <= old
    assert "Partitioned" not in old


@pytest.mark.parametrize("samesite", ["Strict", "Lax"])
def test_same_site_cookie_is_not_partitioned(make_app, samesite):
    response = make_app(COOKIE_SAMESITE=samesite).test_client().post("/auth/signup", json=ANN)

    assert "Partitioned" not in response.headers["Set-Cookie"]


def refresh_with_all(app, *values):
    """Refresh with several cookies of the same name, as browsers send them."""
    cookies = "; ".join(f"refreshToken={value}" for value in values)
    client = app.test_client(use_cookies=False)
    return client.post("/auth/refresh", headers={"Cookie": cookies})


def test_first_valid_of_several_cookies_is_used(app, alice, bob, make_client):
    ended = make_client().log_in("alice@example.com")
    values = ["another-app", ended.refresh_token, bob.refresh_token, alice.refresh_token, ""]
    ended.post("/auth/logout")

    response = refresh_with_all(app, *values)

    assert response.status_code == 200
    assert response.json["user"] == bob.user


def test_newest_cookie_of_one_session_is_used(app, alice, clock):
    # As after a change to COOKIE_SAMESITE=None: the old cookie is not replaced
    old = replace_twice(alice)
    clock.advance(seconds=31)

    for _ in range(3):
        response = refresh_with_all(app, old, alice.refresh_token)
        assert response.status_code == 200


PREFIX = {"X-Forwarded-Prefix": "/api", "X-Forwarded-For": "192.0.2.1"}


@pytest.mark.parametrize(
    ("hops", "prefix", "path"),
    [
        ("0", "/api", "/auth"),
        ("1", "/api", "/api/auth"),
        ("2", "/api/", "/api/auth"),
        ("1", "/evil, /api", "/api/auth"),
        ("1", "", "/auth"),
        ("1", "/", "/auth"),
        ("1", "/a;Domain=b", "/a%3BDomain=b/auth"),
    ],
)
def test_cookie_path_has_prefix_of_trusted_proxy(make_app, hops, prefix, path):
    client = make_app(PROXY_HOPS=hops).test_client()

    signup = client.post("/auth/signup", json=ANN, headers={**PREFIX, "X-Forwarded-Prefix": prefix})
    client.token = signup.json["accessToken"]
    logout = client.post("/auth/logout", headers={**PREFIX, "X-Forwarded-Prefix": prefix})

    for response in (signup, logout):
        assert f"Path={path}" in response.headers["Set-Cookie"].split("; ")


def test_urls_have_prefix_of_trusted_proxy(make_app):
    alice = make_app(PROXY_HOPS="1").test_client().sign_up("Alice")

    movie = alice.post("/movies", json={"title": "Alien"}, headers=PREFIX)
    movies = alice.get("/movies", headers=PREFIX)
    upload = alice.post("/images", json={"contentType": "image/png", "size": 1}, headers=PREFIX)
    document = alice.get("/openapi.json", headers=PREFIX)

    assert movie.headers["Location"] == f"/api/movies/{movie.json['id']}"
    assert all("/api/movies?" in link for link in movies.headers["Link"].split(", "))
    assert upload.json["uploadUrl"].startswith("http://localhost/api/images/")
    assert upload.json["imageUrl"].startswith("http://localhost/api/images/")
    assert document.json["servers"] == [{"url": "http://localhost/api"}]


def test_two_step_key_rotation_keeps_sessions_valid(alice, database, tmp_path):
    both = [f"{SECRET_KEY},{OTHER_KEY}", f"{OTHER_KEY},{SECRET_KEY}", OTHER_KEY]
    old, *releases = (
        app_for(config_for(database.url, tmp_path, SECRET_KEY=keys)).test_client()
        for keys in (SECRET_KEY, *both)
    )
    # At each step, processes of two releases run concurrently
    for running in zip([old, *releases], releases, strict=False):
        for _ in range(2):
            for client in running:
                client.token = alice.token
                assert client.get("/me").status_code == 200
                alice.use_session(refresh_with(client, alice.refresh_token))
                alice.refresh_token = client.refresh_token

    old.token = alice.token
    assert old.get("/me").json["error"]["code"] == "INVALID_TOKEN"
