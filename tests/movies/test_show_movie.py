"""GET /movies/{id}."""
# ruff: noqa: RUF001  the test data contains look-alike characters

import pytest

UNKNOWN_IDS = [
    "0",
    "999999999",
    str(2**63 - 1),
    str(2**63),
    str(2**64),
    "9" * 400,
    "-1",
    "1.5",
    "x",
    "%00",
    "1%20",
    "１",
    "_",
]


@pytest.fixture
def movie(alice):
    """A movie of Alice's."""
    return alice.post("/movies", json={"title": "Alien", "year": "1979"}).json


def test_get_movie_returns_the_movie(alice, movie):
    response = alice.get(f"/movies/{movie['id']}")

    assert response.status_code == 200
    assert response.json == movie
    assert response.headers["ETag"]


def test_get_of_another_users_movie_returns_403(movie, bob):
    response = bob.get(f"/movies/{movie['id']}")

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert "Alien" not in response.text


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("movie_id", UNKNOWN_IDS)
def test_unknown_movie_id_returns_404(alice, method, movie_id):
    response = alice.open(
        f"/movies/{movie_id}", method=method, **({"json": {}} if method.startswith("P") else {})
    )

    assert response.status_code == 404
    assert response.json["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "path", ["/movies/", "/movies/1/", "/movies//1", "/Movies", "/movies/1/cast"]
)
def test_unknown_movie_path_returns_404(alice, path):
    response = alice.get(path)

    assert response.status_code == 404
    assert response.json["error"]["code"] == "NOT_FOUND"


def test_get_movie_rejects_query_parameters(alice, movie):
    response = alice.get(f"/movies/{movie['id']}?fields=title")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["fields"]


def test_head_of_movie_matches_get(alice, movie):
    get, head = alice.get(f"/movies/{movie['id']}"), alice.head(f"/movies/{movie['id']}")

    assert head.status_code == 200
    assert head.data == b""
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


def test_head_of_movie_returns_the_same_errors(alice, bob, client, movie):
    assert alice.head("/movies/999999").status_code == 404
    assert bob.head(f"/movies/{movie['id']}").status_code == 403
    assert client.head(f"/movies/{movie['id']}").status_code == 401
