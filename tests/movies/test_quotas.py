"""Limits of an account: movies, image bytes, API tokens and logins; its usage in GET /me."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from movies_api.auth.rate_limits import PER_NETWORK
from movies_api.models import sessions

from ..client import PASSWORD
from ..concurrency import run_parallel, statuses
from ..helpers import ANN, titles
from ..image_helpers import data_url, make_animation, make_image, path_of, request_upload
from ..import_helpers import fill, import_file
from ..servers import gunicorn

IMAGES = [make_image(colour=(number * 10, 0, 0)) for number in range(20)]


def usage(client):
    """Return the usage of GET /me."""
    return client.get("/me").json["usage"]


def add(client, data, title="Alien"):
    """Create a movie with the image in the request."""
    return client.post("/movies", json={"title": title, "imageUrl": data_url(data)})


def upload_image(client, data):
    """Upload an image to an upload URL; return the response."""
    upload = request_upload(client, data)
    return client.put(path_of(upload["uploadUrl"]), data=data)


def is_quota_error(response, name):
    """Return whether the response is a 403 that names this limit."""
    error = response.json["error"]
    return (response.status_code, error["code"]) == (403, "QUOTA_EXCEEDED") and name in error[
        "message"
    ]


@pytest.fixture
def make_alice(make_app):
    """A function that creates Alice on an app with other limits."""
    return lambda **limits: make_app(**limits).test_client().sign_up("Alice")


@contextmanager
def ann_with_limits(database, **limits):
    """Run the service with these limits; yield a function that sends requests as Ann."""
    with gunicorn(database.url, workers=2, **limits) as service:
        token = service.request("POST", "/auth/signup", ANN).json["accessToken"]
        yield lambda method, path, body=None: service.request(method, path, body, token)


def test_usage_is_in_me_but_not_in_a_login(alice):
    assert usage(alice) == {
        "movies": 0,
        "imageBytes": 0,
        "limits": {"movies": 100_000, "imageBytes": 1_000_000_000},
    }
    assert "usage" not in alice.user
    assert "usage" not in alice.post("/auth/refresh").json["user"]

    alice.post("/movies", json={"title": "Alien"})
    add(alice, make_image())

    assert usage(alice)["movies"] == 2
    assert usage(alice)["imageBytes"] > 0


# --- movies


def test_movie_over_the_limit_returns_403(make_alice):
    alice = make_alice(MAX_MOVIES_PER_USER="2")
    first, _ = (alice.post("/movies", json={"title": "Alien"}) for _ in range(2))

    response = alice.post("/movies", json={"title": "Aliens"})

    assert is_quota_error(response, "2 movies")
    assert alice.put(first.headers["Location"], json={"title": "Brazil"}).status_code == 200
    assert alice.delete(first.headers["Location"]).status_code == 204
    assert alice.post("/movies", json={"title": "Aliens"}).status_code == 201


def test_image_of_a_movie_over_the_limit_is_not_stored(make_alice, database):
    alice = make_alice(MAX_MOVIES_PER_USER="1")
    alice.post("/movies", json={"title": "Alien"})

    assert is_quota_error(add(alice, make_image()), "1 movies")
    assert database.execute("SELECT * FROM images") == []


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
def test_import_adds_rows_up_to_the_limit(make_alice, query):
    alice = make_alice(MAX_MOVIES_PER_USER="5")
    for title in ("Alien", "Brazil"):
        alice.post("/movies", json={"title": title})
    file = "title\nAlien\n" + "".join(f"Movie {number}\n" for number in range(6))

    response = import_file(alice, file, query)

    assert response.status_code == 200
    assert response.json["counts"] == {"added": 3, "skipped": 1, "rejected": 3}
    actions = [row["action"] for row in response.json["rows"]]
    assert actions == ["skipped", *["added"] * 3, *["rejected"] * 3]
    assert {row["reason"] for row in response.json["rows"][-3:]} == {
        "Your account has reached its limit of 5 movies."
    }
    assert response.json["rejected"] == "title\nMovie 3\nMovie 4\nMovie 5\n"
    if query:
        assert usage(alice)["movies"] == 2
    else:
        assert usage(alice)["movies"] == 5
        assert titles(alice)[:3] == ["Movie 0", "Movie 1", "Movie 2"]


def test_import_into_a_full_account_rejects_all_rows(alice, make_app, database):
    fill(database, alice.user["id"], 7)
    client = make_app(MAX_MOVIES_PER_USER="3").test_client()  # the limit is lowered
    client.token = alice.token

    assert import_file(client, "title\nAlien\n").json["counts"] == {
        "added": 0,
        "skipped": 0,
        "rejected": 1,
    }


@pytest.mark.slow
def test_concurrent_movies_exceed_the_limit_at_most_by_their_number(app, database):
    with ann_with_limits(database, MAX_MOVIES_PER_USER="5") as ann:
        for _ in range(4):
            assert ann("POST", "/movies", {"title": "Alien"}).status == 201

        found = statuses(run_parallel([partial(ann, "POST", "/movies", {"title": "Alien"})] * 20))

        assert set(found) <= {201, 403}
        assert found[201] >= 1
        assert ann("POST", "/movies", {"title": "Alien"}).status == 403
        assert ann("GET", "/me").json["usage"]["movies"] == 4 + found[201]


@pytest.mark.slow
def test_concurrent_imports_stop_exactly_at_the_limit(app, database):
    file = ("title\n" + "".join(f"Movie {number}\n" for number in range(400))).encode()
    with ann_with_limits(database, MAX_MOVIES_PER_USER="1000") as ann:
        call = partial(ann, "POST", "/movies/import?onDuplicate=allow", file)

        responses = run_parallel([call] * 4)

        assert statuses(responses) == {200: 4}
        assert sorted(each.json["counts"]["added"] for each in responses) == [0, 200, 400, 400]
        assert ann("GET", "/me").json["usage"]["movies"] == 1000


# --- image bytes


def test_image_counts_once_per_user_however_it_is_sent(alice, bob, files):
    stored = alice.get(path_of(add(alice, make_image()).json["imageUrl"])).content_length
    assert usage(alice)["imageBytes"] == stored

    add(alice, make_image(), "the same again")
    assert usage(alice)["imageBytes"] == stored
    upload_image(bob, make_image())
    assert usage(bob)["imageBytes"] == stored
    import_file(bob, json.dumps([{"title": "Brazil", "imageUrl": data_url(make_animation("PNG"))}]))
    assert usage(bob)["imageBytes"] > stored
    assert len(files()) == 2
    assert usage(alice)["imageBytes"] == stored


def test_image_of_another_user_does_not_count(alice, bob):
    url = add(alice, make_image()).json["imageUrl"]

    assert bob.post("/movies", json={"title": "Alien", "imageUrl": url}).status_code == 201

    assert usage(bob)["imageBytes"] == 0


def test_upload_url_over_the_remaining_bytes_returns_403(make_alice):
    alice = make_alice(MAX_IMAGE_BYTES_PER_USER="1024")
    used = alice.get(path_of(add(alice, make_image()).json["imageUrl"])).content_length
    wanted = {"contentType": "image/png", "size": 1024 - used}

    assert alice.post("/images", json=wanted).status_code == 201
    response = alice.post("/images", json={**wanted, "size": 1025 - used})

    assert is_quota_error(response, "1024 bytes of images")


@pytest.fixture
def full_alice(make_alice, database):
    """Alice, with a movie and an image, at her limit of image bytes."""
    alice = make_alice(MAX_IMAGE_BYTES_PER_USER="1024")
    movie = add(alice, make_image())
    assert movie.status_code == 201
    alice.movie = movie.json
    alice.upload = request_upload(alice, IMAGES[0])
    database.execute("UPDATE uploads SET size = 1024")
    return alice


def test_image_over_the_limit_returns_403_however_it_is_sent(full_alice, files, database):
    before = files()
    one = f"/movies/{full_alice.movie['id']}"

    responses = [
        add(full_alice, IMAGES[0]),
        full_alice.put(one, json={"imageUrl": data_url(IMAGES[0])}),
        full_alice.patch(one, json={"imageUrl": data_url(IMAGES[0])}),
        full_alice.put(path_of(full_alice.upload["uploadUrl"]), data=IMAGES[0]),
    ]

    assert [is_quota_error(each, "1024 bytes of images") for each in responses] == [True] * 4
    assert files() == before
    assert database.execute("SELECT count(*) FROM images") == [(1,)]
    assert full_alice.get(one).json == full_alice.movie


def test_counted_image_can_be_sent_again_at_the_limit(full_alice):
    assert add(full_alice, make_image()).status_code == 201


def test_import_rejects_rows_with_images_over_the_limit(full_alice):
    rows = [{"title": "Brazil", "imageUrl": data_url(IMAGES[0])}, {"title": "Cube"}]

    response = import_file(full_alice, json.dumps(rows))

    assert response.json["counts"] == {"added": 1, "skipped": 0, "rejected": 1}
    assert "1024 bytes of images" in response.json["rows"][0]["reason"]
    assert response.json["rejected"] == rows[:1]


@pytest.mark.slow
def test_concurrent_images_exceed_the_limit_at_most_by_their_number(app, database):
    with ann_with_limits(database, MAX_IMAGE_BYTES_PER_USER="1024") as ann:
        calls = [
            partial(ann, "POST", "/movies", {"title": "Alien", "imageUrl": data_url(data)})
            for data in IMAGES
        ]
        assert calls[0]().status == 201
        database.execute("UPDATE uploads SET size = 1024 - 500")

        found = statuses(run_parallel(calls[1:]))

        assert set(found) <= {201, 403}
        assert found[201] >= 1
        later = {"title": "Alien", "imageUrl": data_url(make_animation("PNG"))}
        assert ann("POST", "/movies", later).status == 403
        assert ann("POST", "/images", {"contentType": "image/png", "size": 200}).status == 403


# --- all ways of uploading share one rate limit


@pytest.fixture
def limit_uploads(monkeypatch):
    """A function that limits the uploads per client IP."""
    return lambda times: monkeypatch.setattr(PER_NETWORK["image"], "amount", times)


def test_all_ways_of_uploading_share_one_rate_limit(make_alice, limit_uploads):
    alice = make_alice(RATELIMIT_ENABLED="true")
    movie = alice.post("/movies", json={"title": "Alien"}).headers["Location"]
    limit_uploads(4)
    assert add(alice, make_image()).status_code == 201
    assert alice.patch(movie, json={"imageUrl": data_url(make_image())}).status_code == 200
    assert alice.put(movie, json={"imageUrl": data_url(make_image())}).status_code == 200
    upload = request_upload(alice, make_image())

    for response in (
        add(alice, make_image()),
        alice.patch(movie, json={"imageUrl": data_url(make_image())}),
        alice.post("/images", json={"contentType": "image/png", "size": 1}),
    ):
        assert response.status_code == 429
        assert response.headers["Retry-After"]
    assert alice.put(path_of(upload["uploadUrl"]), data=make_image()).status_code == 201
    movie = alice.post("/movies", json={"title": "Alien", "imageUrl": upload["imageUrl"]})
    assert movie.status_code == 201, "it was counted when the URL was requested"


def test_import_rejects_rows_over_the_upload_rate_limit(make_alice, limit_uploads):
    alice = make_alice(RATELIMIT_ENABLED="true")
    limit_uploads(2)
    rows = [
        {"title": f"Movie {number}", "imageUrl": data_url(data)}
        for number, data in enumerate(IMAGES[:4])
    ]

    dry = import_file(alice, json.dumps(rows), "?dryRun=true")
    real = import_file(alice, json.dumps(rows))

    assert dry.json["counts"]["added"] == 4, "a dry run uploads nothing"
    assert real.json["counts"] == {"added": 2, "skipped": 0, "rejected": 2}
    assert "Too many requests" in real.json["rows"][3]["reason"]
    assert real.json["rejected"] == rows[2:]


# --- API tokens and logins


def test_api_tokens_are_limited(make_alice):
    alice = make_alice(MAX_TOKENS_PER_USER="2", MAX_SESSIONS_PER_USER="1")
    first, _ = (alice.post("/auth/tokens", json={"name": "Backup"}) for _ in range(2))

    response = alice.post("/auth/tokens", json={"name": "Backup"})

    assert is_quota_error(response, "2 API tokens")
    assert alice.delete(f"/auth/sessions/{first.json['id']}").status_code == 204
    assert alice.post("/auth/tokens", json={"name": "Backup"}).status_code == 201


def test_expired_api_token_does_not_count(make_alice, clock):
    alice = make_alice(MAX_TOKENS_PER_USER="1")
    alice.post("/auth/tokens", json={"name": "Backup", "expiresInDays": 1})
    clock.advance(days=2)
    alice.log_in(alice.user["email"])

    assert alice.post("/auth/tokens", json={"name": "Backup"}).status_code == 201


@pytest.mark.slow
def test_concurrent_tokens_exceed_the_limit_at_most_by_their_number(app, database):
    with ann_with_limits(database, MAX_TOKENS_PER_USER="5") as ann:
        make = partial(ann, "POST", "/auth/tokens", {"name": "Backup"})

        found = statuses(run_parallel([make] * 20))

        assert set(found) <= {201, 403}
        assert found[201] >= 5
        assert make().status == 403


def test_login_over_the_limit_ends_the_least_recently_used_session(make_alice, clock):
    first = make_alice(MAX_SESSIONS_PER_USER="3")
    token = first.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    devices = [first]
    for _ in range(2):
        clock.advance(minutes=1)
        devices.append(first.application.test_client().log_in("alice@example.com"))
    clock.advance(minutes=1)
    assert first.use_session(first.post("/auth/refresh")).get("/me").status_code == 200
    clock.advance(minutes=1)

    devices.append(first.application.test_client().log_in("alice@example.com"))

    assert [each.get("/me").status_code for each in devices] == [200, 401, 200, 200]
    kinds = [each["kind"] for each in first.get("/auth/sessions").json["items"]]
    assert sorted(kinds) == ["login"] * 3 + ["token"]
    assert devices[1].post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    first.token = token
    assert first.get("/me").status_code == 200


def test_session_limit_does_not_affect_other_users(make_app):
    app = make_app(MAX_SESSIONS_PER_USER="1")
    alice, bob = (app.test_client().sign_up(name) for name in ("Alice", "Bob"))

    again = app.test_client().log_in("bob@example.com")

    found = [each.get("/me").status_code for each in (alice, bob, again)]
    assert found == [200, 401, 200]


@pytest.mark.slow
def test_concurrent_logins_succeed_and_the_next_enforces_the_limit(app, database):
    login = {"email": ANN["email"], "password": PASSWORD}
    with ann_with_limits(database, MAX_SESSIONS_PER_USER="5", ARGON2_CONCURRENCY="4") as ann:
        call = partial(ann, "POST", "/auth/login", login)

        responses = run_parallel([call] * 20)

        assert statuses(responses) == {200: 20}
        assert call().status == 200
        assert database.execute("SELECT count(*) FROM sessions") == [(5,)]


def test_login_purges_at_most_100_expired_sessions(alice, database):
    [row] = database.execute(select(sessions))
    past = {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}
    rows = [{**row._mapping, **past, "id": uuid4()} for _ in range(250)]
    database.execute(insert(sessions), rows)
    if database.is_postgresql:
        database.execute("ANALYZE sessions")

    alice.log_in("alice@example.com")

    assert database.execute("SELECT count(*) FROM sessions") == [(152,)]
