"""POST /auth/refresh: rotation, the half minute of grace, theft, and whose pages may ask."""

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
    """Return the seconds the refresh cookie of an answer lives."""
    attributes = dict(
        part.partition("=")[::2] for part in response.headers["Set-Cookie"].split("; ")
    )
    return int(attributes["Max-Age"])


def present(client, value):
    """Refresh with one value of the cookie, whatever the jar holds."""
    client.refresh_token = value
    return client.post("/auth/refresh")


def test_trades_the_cookie_alone_for_a_new_token_and_a_new_cookie(alice):
    before, alice.token = alice.refresh_token, None

    response = alice.post("/auth/refresh")

    assert response.status_code == 200
    assert response.json["user"] == alice.user
    assert alice.refresh_token != before
    assert alice.take(response).profile() == alice.user


def test_keeps_the_session_so_that_requests_under_way_succeed(alice):
    assert alice.post("/auth/refresh").status_code == 200

    assert alice.get("/me").status_code == 200


def test_without_a_cookie_says_that_it_is_missing(alice):
    alice.refresh_token = None

    response = alice.post("/auth/refresh")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize(
    "value", ["", "x", "a.b.c", "ä", "x" * 3000, "0" * 32 + "." + "A" * 43 + "." + "B" * 43]
)
def test_rejects_a_cookie_that_was_made_up(app, value):
    response = app.test_client(use_cookies=False).post(
        "/auth/refresh", headers={"Cookie": f"refreshToken={value}"}
    )

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert "Set-Cookie" not in response.headers


def test_rejects_a_cookie_that_was_altered(alice):
    value = alice.refresh_token

    for place in (0, len(value) // 2, len(value) - 3):
        altered = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        assert present(alice, altered).json["error"]["code"] == "INVALID_TOKEN"
    assert present(alice, value).status_code == 200


def test_gives_all_tabs_that_refresh_at_once_the_same_successor(alice, make_client):
    value = alice.refresh_token
    tabs = [alice, make_client(), make_client()]

    answers = [present(tab, value) for tab in tabs]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({tab.refresh_token for tab in tabs}) == 1
    assert present(tabs[2], tabs[0].refresh_token).status_code == 200


def test_forgives_an_answer_that_was_lost(alice, clock):
    first = alice.refresh_token
    second = (present(alice, first), alice.refresh_token)[1]
    clock.advance(seconds=29)

    assert present(alice, first).status_code == 200
    assert alice.refresh_token == second
    assert present(alice, second).status_code == 200


def test_catches_up_a_client_that_is_two_values_behind(alice, clock):
    first = alice.refresh_token
    second = (present(alice, first), alice.refresh_token)[1]
    clock.advance(seconds=10)
    third = (present(alice, second), alice.refresh_token)[1]
    clock.advance(seconds=10)

    assert present(alice, first).status_code == 200
    assert alice.refresh_token == third


def test_the_previous_value_is_valid_until_its_replacement_is_presented(alice, clock):
    first = alice.refresh_token
    second = (present(alice, first), alice.refresh_token)[1]
    for _ in range(3):
        clock.advance(days=2)
        assert present(alice, first).status_code == 200
        assert alice.refresh_token == second

    assert present(alice, second).status_code == 200
    assert alice.refresh_token != second


@pytest.mark.parametrize(("seconds", "status"), [(29, 200), (31, 401)])
def test_and_for_half_a_minute_after(alice, clock, seconds, status):
    first = alice.refresh_token
    second = (present(alice, first), alice.refresh_token)[1]
    clock.advance(days=1)
    third = (present(alice, second), alice.refresh_token)[1]
    clock.advance(seconds=seconds)

    assert present(alice, first).status_code == status
    if status == 200:
        assert alice.refresh_token == third


def test_counts_the_half_minute_from_the_first_use(alice, clock):
    first = alice.refresh_token
    second = (present(alice, first), alice.refresh_token)[1]
    present(alice, second)
    clock.advance(seconds=20)
    assert present(alice, second).status_code == present(alice, first).status_code == 200
    clock.advance(seconds=11)

    assert present(alice, first).status_code == 401


def replace_twice(client):
    """Refresh twice, so that the first value is older than the previous one; return it."""
    first = client.refresh_token
    for _ in range(2):
        assert client.post("/auth/refresh").status_code == 200
    return first


def test_takes_an_older_value_after_the_half_minute_for_a_theft(alice, make_client, clock):
    stolen = replace_twice(alice)
    newest = alice.refresh_token
    clock.advance(seconds=31)

    response = present(make_client(), stolen)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    assert present(alice, newest).json["error"]["code"] == "INVALID_TOKEN"


def test_accepts_a_value_of_before_a_restore_of_the_database(alice, database, clock):
    [backup] = database.execute(select(sessions))
    values = [alice.refresh_token]
    for _ in range(5):
        clock.advance(minutes=20)
        assert alice.post("/auth/refresh").status_code == 200
        values.append(alice.refresh_token)
    columns = {name: backup._mapping[name] for name in ("generation", "last_used_at", "expires_at")}
    database.execute(update(sessions).values(**columns, superseded={}))

    assert present(alice, values[5]).status_code == 200

    assert alice.take(present(alice, values[5])).profile() == alice.user
    assert present(alice, values[4]).status_code == 200  # another tab, within half a minute
    assert alice.post("/auth/refresh").status_code == 200
    assert present(alice, values[2]).status_code == 401


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("seconds", [-50, 50])
def test_a_server_whose_clock_differs_sees_no_theft(alice, clock, seconds, monkeypatch):
    first = replace_twice(alice)
    real = datetime.now

    class Skewed(datetime):
        @classmethod
        def now(cls, tz=None):
            return real(tz) + timedelta(seconds=seconds)

    monkeypatch.setattr("movies_api.db.datetime", Skewed)

    assert present(alice, first).status_code == 200
    assert alice.take(alice.post("/auth/refresh")).get("/me").status_code == 200


def test_takes_a_value_from_several_rotations_ago_for_a_theft(alice, clock):
    stolen = alice.refresh_token
    for _ in range(3):
        clock.advance(minutes=20)
        assert alice.post("/auth/refresh").status_code == 200

    assert present(alice, stolen).status_code == 401
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_a_theft_ends_no_other_session(alice, make_client, clock):
    elsewhere = make_client().log_in("alice@example.com")
    stolen = replace_twice(alice)
    clock.advance(seconds=31)

    assert present(alice, stolen).status_code == 401
    assert elsewhere.get("/me").status_code == 200


def test_a_request_that_lost_never_clears_the_cookie(alice, clock):
    stolen = replace_twice(alice)
    clock.advance(seconds=31)

    for value in (stolen, stolen, "x"):
        response = present(alice, value)
        assert response.status_code == 401
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 30)])
def test_slides_on_from_each_use(alice, clock, remember, days):
    alice.log_in("alice@example.com", remember=remember)
    clock.advance(days=days - 1)

    response = alice.post("/auth/refresh")

    assert response.status_code == 200
    assert max_age(response) == days * DAY
    clock.advance(days=days - 1)
    assert alice.post("/auth/refresh").status_code == 200


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 30)])
def test_ends_a_session_that_was_not_used(alice, clock, remember, days):
    alice.log_in("alice@example.com", remember=remember)
    clock.advance(days=days, seconds=1)

    response = alice.post("/auth/refresh")

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"


def test_never_goes_past_90_days_from_login(alice, clock):
    for _ in range(14):
        clock.advance(days=6)
        assert max_age(alice.post("/auth/refresh")) <= 7 * DAY
    assert max_age(alice.post("/auth/refresh")) == pytest.approx(6 * DAY, abs=5)
    value = alice.refresh_token
    clock.advance(days=6)

    assert present(alice, value).status_code == 401


def test_never_goes_past_90_days_when_told_to_remember_either(alice, clock):
    alice.log_in("alice@example.com", remember=True)
    ages = []
    for _ in range(3):
        clock.advance(days=29)
        ages.append(max_age(alice.post("/auth/refresh")))
    assert ages == [30 * DAY, 30 * DAY, 3 * DAY]
    value = alice.refresh_token
    clock.advance(days=3)

    assert present(alice, value).status_code == 401


def test_keeps_only_a_hash_in_the_table(alice, database):
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
def test_answers_curl_and_allowed_pages(alice, headers):
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
def test_rejects_pages_of_other_origins(alice, headers):
    value = alice.refresh_token

    response = alice.post("/auth/refresh", headers=headers)

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert alice.refresh_token == value
    assert alice.post("/auth/refresh").status_code == 200


def test_makes_the_cookie_fit_for_another_site_when_told(app, database, tmp_path):
    client = (
        app_for(config_for(database.url, tmp_path, COOKIE_SAMESITE="None"))
        .test_client()
        .sign_up("Alice")
    )

    response = client.post("/auth/refresh")

    assert response.status_code == 200
    attributes = response.headers["Set-Cookie"].split("; ")
    assert {"SameSite=None", "Secure", "Partitioned"} <= set(attributes)


@pytest.mark.parametrize("samesite", ["Strict", "Lax"])
def test_partitions_no_cookie_of_one_site(make_app, samesite):
    response = make_app(COOKIE_SAMESITE=samesite).test_client().post("/auth/signup", json=ANN)

    assert "Partitioned" not in response.headers["Set-Cookie"]


def present_all(app, *values):
    """Refresh with several cookies of the name, as browsers send them."""
    cookies = "; ".join(f"refreshToken={value}" for value in values)
    client = app.test_client(use_cookies=False)
    return client.post("/auth/refresh", headers={"Cookie": cookies})


def test_uses_the_first_valid_one_of_several_cookies(app, alice, bob, make_client):
    ended = make_client().log_in("alice@example.com")
    values = ["another-app", ended.refresh_token, bob.refresh_token, alice.refresh_token, ""]
    ended.post("/auth/logout")

    response = present_all(app, *values)

    assert response.status_code == 200
    assert response.json["user"] == bob.user


def test_of_two_cookies_of_one_session_uses_the_later_one(app, alice, clock):
    # As after a change to COOKIE_SAMESITE=None: the old cookie is not replaced
    old = replace_twice(alice)
    clock.advance(seconds=31)

    for _ in range(3):
        response = present_all(app, old, alice.refresh_token)
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
def test_the_cookie_has_the_path_prefix_of_a_trusted_proxy(make_app, hops, prefix, path):
    client = make_app(PROXY_HOPS=hops).test_client()

    signup = client.post("/auth/signup", json=ANN, headers={**PREFIX, "X-Forwarded-Prefix": prefix})
    client.token = signup.json["accessToken"]
    logout = client.post("/auth/logout", headers={**PREFIX, "X-Forwarded-Prefix": prefix})

    for response in (signup, logout):
        assert f"Path={path}" in response.headers["Set-Cookie"].split("; ")


def test_all_urls_have_the_path_prefix_of_a_trusted_proxy(make_app):
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


def test_rotates_keys_in_two_steps_without_logging_anybody_out(alice, database, tmp_path):
    both = [f"{SECRET_KEY},{OTHER_KEY}", f"{OTHER_KEY},{SECRET_KEY}", OTHER_KEY]
    old, *releases = (
        app_for(config_for(database.url, tmp_path, SECRET_KEY=keys)).test_client()
        for keys in (SECRET_KEY, *both)
    )
    # At each step, the processes of two releases run beside each other
    for running in zip([old, *releases], releases, strict=False):
        for _ in range(2):
            for client in running:
                client.token = alice.token
                assert client.get("/me").status_code == 200
                alice.take(present(client, alice.refresh_token))
                alice.refresh_token = client.refresh_token

    old.token = alice.token
    assert old.get("/me").json["error"]["code"] == "INVALID_TOKEN"
