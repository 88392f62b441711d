"""DELETE /movies/{id}."""

import pytest


@pytest.fixture
def movie(alice):
    """A movie of Alice's."""
    return alice.post("/movies", json={"title": "Alien"}).json


def test_delete_movie_returns_204(alice, movie):
    response = alice.delete(f"/movies/{movie['id']}")

    assert response.status_code == 204
    assert response.data == b""
    assert alice.get(f"/movies/{movie['id']}").status_code == 404
    assert alice.get("/movies").json["meta"]["total"] == 0


def test_deleting_a_movie_twice_returns_404(alice, movie):
    assert alice.delete(f"/movies/{movie['id']}").status_code == 204

    assert alice.delete(f"/movies/{movie['id']}").status_code == 404
    assert alice.get("/movies").json["meta"]["total"] == 0


def test_delete_of_another_users_movie_returns_403(alice, bob, movie):
    response = bob.delete(f"/movies/{movie['id']}")

    assert response.status_code == 403
    assert alice.get(f"/movies/{movie['id']}").json == movie
    assert alice.get("/movies").json["meta"]["total"] == 1
    assert bob.get("/movies").json["meta"]["total"] == 0
