"""POST /movies with an Idempotency-Key: a retry creates no second movie."""

from importlib import import_module

import pytest

from ..concurrency import run_parallel, statuses
from ..helpers import ANN, titles
from ..image_helpers import data_url, make_image

KEY = {"Idempotency-Key": "0f3c9b1d-7e5a-4286 ~"}


def add(client, title="Alien", headers=KEY, **fields):
    """Create a movie with the key; return the response."""
    return client.post("/movies", json={"title": title, **fields}, headers=headers)


def test_repeated_key_returns_the_current_movie(alice):
    first = add(alice)
    edited = alice.patch(f"/movies/{first.json['id']}", json={"rating": 7})

    again = add(alice, "Another body")

    assert again.status_code == 201
    assert again.json == edited.json
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == edited.headers["ETag"]
    assert titles(alice) == ["Alien"]


def test_other_key_other_user_or_no_key_creates_another_movie(alice, bob):
    add(alice)
    add(alice, headers={"Idempotency-Key": KEY["Idempotency-Key"].upper()})
    add(alice, headers={})
    add(alice, headers={})
    add(bob)

    assert len(titles(alice)) == 4
    assert len(titles(bob)) == 1


def test_key_of_a_deleted_movie_creates_a_new_movie(alice):
    first = add(alice).json
    alice.delete(f"/movies/{first['id']}")

    second = add(alice)

    assert second.status_code == 201
    assert second.json["id"] > first["id"]


def test_key_expires_after_24_hours(alice, clock):
    first = add(alice).json["id"]
    clock.advance(hours=23, minutes=59)
    alice.log_in(alice.user["email"])
    assert add(alice).json["id"] == first
    clock.advance(minutes=1)

    second, third = add(alice), add(alice)

    assert second.status_code == 201
    assert second.json["id"] == third.json["id"] > first
    assert titles(alice) == ["Alien", "Alien"]


def test_replay_stores_no_image_and_needs_no_quota(make_app, files):
    alice = make_app(MAX_MOVIES_PER_USER="1").test_client().sign_up("Alice")
    first = add(alice).json
    assert add(alice, headers={}).status_code == 403
    before = files()

    replay = add(alice, imageUrl=data_url(make_image()))

    assert replay.status_code == 201
    assert replay.json == first
    assert files() == before


@pytest.mark.parametrize("key", ["", "x" * 129, "caf\u00e9", "a\tb"])
def test_malformed_idempotency_key_returns_400(alice, key):
    response = add(alice, headers={"Idempotency-Key": key})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["Idempotency-Key"]
    assert titles(alice) == []


def test_key_used_by_a_concurrent_request_returns_its_movie(alice, monkeypatch):
    first = add(alice).json
    views = import_module("movies_api.movies.views")
    lookups = [lambda *_: None, views.movie_from_key]

    def look_up(*values):
        return lookups.pop(0)(*values)

    monkeypatch.setattr(views, "movie_from_key", look_up)

    response = add(alice)

    assert response.status_code == 201
    assert response.json == first


def test_twenty_concurrent_retries_create_one_movie(service):
    token = service.request("POST", "/auth/signup", ANN).json["accessToken"]

    responses = run_parallel(
        [lambda: service.request("POST", "/movies", {"title": "Alien"}, token, KEY)] * 20
    )

    assert statuses(responses) == {201: 20}
    assert len({response.json["id"] for response in responses}) == 1
    assert service.request("GET", "/movies", token=token).json["meta"]["total"] == 1
