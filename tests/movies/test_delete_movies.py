"""DELETE /movies?ids=: delete several movies, all or none."""

import random

import pytest

from ..image_helpers import data_url, make_image
from .test_list_movies import add

MAX_ID = 2**63 - 1


def ids_of(client):
    """Return the ids of the client's movies, ascending."""
    return sorted(movie["id"] for movie in client.get("/movies/export").json)


def test_delete_movies_deletes_the_given_ids(alice, bob):
    ids = [movie["id"] for movie in add(alice, "One", "Two", "Three", "Four")]
    add(bob, "His")

    response = alice.delete(f"/movies?ids={ids[2]}, 0{ids[0]},{ids[0]}")

    assert response.status_code == 204
    assert response.data == b""
    assert ids_of(alice) == [ids[1], ids[3]]
    assert alice.get("/movies").json["meta"]["total"] == 2
    assert len(ids_of(bob)) == 1


def test_delete_movies_matches_a_model(alice, bob):
    """404 if one is missing, else 403 if one is another user's, else all are deleted."""
    hers = {movie["id"] for movie in add(alice, *(f"Movie {number}" for number in range(30)))}
    his = {movie["id"] for movie in add(bob, "His", "His too")}
    rng = random.Random(7)

    for _ in range(40):
        ids = rng.sample(sorted(hers), min(len(hers), rng.randint(0, 3)))
        ids += rng.sample([*his, 10**6, MAX_ID, 0], rng.choice([0, 0, 1, 2]))
        response = alice.delete(f"/movies?ids={','.join(map(str, ids))}")

        if not ids:
            assert response.status_code == 400
        elif missing := sorted(set(ids) - hers - his):
            assert response.status_code == 404
            assert response.json["error"]["details"] == {"ids": missing}
        elif others := sorted(set(ids) & his):
            assert response.status_code == 403
            assert response.json["error"]["details"] == {"ids": others}
        else:
            assert response.status_code == 204
            hers -= set(ids)
        assert ids_of(alice) == sorted(hers)
    assert ids_of(bob) == sorted(his)


@pytest.mark.parametrize(
    "query",
    [
        "",
        *(f"?ids={each}" for each in ("", "%20", "1,", ",1", "1,,2", "x", "-1", "1.0", "%D9%A1")),
        *(f"?ids={each}" for each in ("1;2", "1&ids=2", ",".join(map(str, range(101))))),
    ],
)
def test_delete_movies_requires_1_to_100_ids(alice, query):
    add(alice, "Alien")

    response = alice.delete(f"/movies{query}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["ids"]
    assert len(ids_of(alice)) == 1


def test_delete_movies_accepts_100_ids_and_ignores_repeated_ones(alice):
    ids = [movie["id"] for movie in add(alice, *["Alien"] * 100)]

    response = alice.delete(f"/movies?ids={','.join(map(str, ids * 2))}")

    assert response.status_code == 204
    assert ids_of(alice) == []


def test_delete_movies_with_id_over_64_bits_returns_404(alice):
    assert alice.delete(f"/movies?ids={2**70},{'9' * 3000}").status_code == 404


def test_delete_movies_marks_their_images_as_unused(alice, database):
    movies = [
        alice.post(
            "/movies", json={"title": "x", "imageUrl": data_url(make_image(colour=(n, 0, 0)))}
        )
        for n in range(2)
    ]

    alice.delete(f"/movies?ids={','.join(str(movie.json['id']) for movie in movies)}")

    assert database.execute("SELECT count(*) FROM images WHERE unused_since IS NULL") == [(0,)]


def test_anonymous_delete_movies_returns_401(client):
    assert client.delete("/movies?ids=1").status_code == 401
