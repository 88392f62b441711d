"""ETag, If-None-Match and If-Match."""

import pytest

from ..image_helpers import data_url, make_image

EDITS = ["PUT", "PATCH", "DELETE"]


@pytest.fixture
def movie(alice):
    """A movie of Alice's."""
    return alice.post("/movies", json={"title": "Alien"}).json


@pytest.fixture
def url(movie):
    """The path of the movie."""
    return f"/movies/{movie['id']}"


def change(client, method, url, **headers):
    """Edit or delete with the given headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {} if method == "DELETE" else {"json": {"title": "Aliens"}}
    return client.open(url, method=method, headers=named, **body)


def test_matching_etag_returns_304(alice, url):
    etag = alice.get(url).headers["ETag"]

    for method in ("GET", "HEAD"):
        response = alice.open(url, method=method, headers={"If-None-Match": etag})

        assert response.status_code == 304
        assert response.data == b""
        assert response.headers["ETag"] == etag


@pytest.mark.parametrize("etags", ['"x", {etag}', "W/{etag}", "*"])
def test_if_none_match_accepts_list_weak_etag_and_star(alice, url, etags):
    etag = alice.get(url).headers["ETag"]

    assert alice.get(url, headers={"If-None-Match": etags.format(etag=etag)}).status_code == 304


@pytest.mark.parametrize("etags", ['"x"', '""', "nonsense", "", '"', "W/"])
def test_invalid_if_none_match_returns_the_movie(alice, url, etags):
    assert alice.get(url, headers={"If-None-Match": etags}).status_code == 200


def test_outdated_etag_returns_the_movie(alice, url):
    etag = alice.get(url).headers["ETag"]
    alice.patch(url, json={"title": "Aliens"})

    response = alice.get(url, headers={"If-None-Match": etag})

    assert response.status_code == 200
    assert response.json["title"] == "Aliens"
    assert response.headers["ETag"] != etag


def test_new_image_base_url_changes_the_response_but_not_the_version(make_app, alice):
    body = {"title": "Alien", "imageUrl": data_url(make_image())}
    url = alice.post("/movies", json=body).headers["Location"]
    etag = alice.get(url).headers["ETag"]
    assert alice.get(url, headers={"If-None-Match": etag}).status_code == 304
    moved = make_app(IMAGE_BASE_URL="https://cdn.example.com").test_client()
    moved.token = alice.token

    response = moved.get(url, headers={"If-None-Match": etag})

    assert response.status_code == 200
    assert response.json["imageUrl"].startswith("https://cdn.example.com/images/")
    assert moved.delete(url, headers={"If-Match": etag}).status_code == 204


def test_update_returns_the_new_etag(alice, url):
    etag = alice.get(url).headers["ETag"]
    for title in ("Aliens", "Alien 3"):
        response = alice.patch(url, json={"title": title}, headers={"If-Match": etag})
        assert response.status_code == 200
        etag = response.headers["ETag"]

    assert alice.get(url).headers["ETag"] == etag


@pytest.mark.parametrize("method", EDITS)
def test_write_with_matching_etag_succeeds(alice, url, method):
    etag = alice.get(url).headers["ETag"]

    assert change(alice, method, url, If_Match=f'"x", {etag}').status_code == (
        204 if method == "DELETE" else 200
    )


@pytest.mark.parametrize("method", EDITS)
@pytest.mark.parametrize(
    "etags", ['"x"', '"-1"', '"99999999999999999999"', "nonsense", "", '""', '"01"', "W/{etag}"]
)
def test_write_with_other_if_match_returns_412(alice, movie, url, method, etags):
    etag = alice.get(url).headers["ETag"]

    response = change(alice, method, url, If_Match=etags.format(etag=etag))

    assert response.status_code == 412
    assert response.json["error"]["code"] == "PRECONDITION_FAILED"
    assert alice.get(url).json == movie


@pytest.mark.parametrize("method", EDITS)
def test_write_with_outdated_etag_returns_412(alice, url, method):
    etag = alice.get(url).headers["ETag"]
    alice.patch(url, json={"year": "1979"})

    assert change(alice, method, url, If_Match=etag).status_code == 412
    assert alice.get(url).json["year"] == "1979"


@pytest.mark.parametrize("method", EDITS)
def test_if_match_star_matches_any_version(alice, url, method):
    assert change(alice, method, url, If_Match="*").status_code == (
        204 if method == "DELETE" else 200
    )


@pytest.mark.parametrize("method", EDITS)
@pytest.mark.parametrize("etags", ['"1"', "*", "nonsense"])
def test_write_to_missing_movie_returns_404_not_412(alice, method, etags):
    assert change(alice, method, "/movies/999999", If_Match=etags).status_code == 404


@pytest.mark.parametrize("method", EDITS)
def test_write_to_another_users_movie_returns_403_for_any_etag(alice, bob, movie, url, method):
    for etags in (alice.get(url).headers["ETag"], '"x"', "*"):
        assert change(bob, method, url, If_Match=etags).status_code == 403
    assert alice.get(url).json == movie


def test_movie_list_etag_changes_with_its_movies(alice, url):
    etag = alice.get("/movies").headers["ETag"]
    assert alice.get("/movies", headers={"If-None-Match": etag}).status_code == 304

    alice.patch(url, json={"title": "Aliens"})

    assert alice.get("/movies", headers={"If-None-Match": etag}).status_code == 200


def test_me_supports_if_none_match(alice):
    etag = alice.get("/me").headers["ETag"]

    assert alice.get("/me", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("path", ["/movies", "/me", "/movies/1"])
def test_authentication_is_checked_before_if_none_match(client, path):
    assert client.get(path, headers={"If-None-Match": "*"}).status_code == 401


def test_shared_caches_do_not_store_responses(alice, url):
    for path in (url, "/movies", "/me"):
        assert {"no-store", "private"} & set(alice.get(path).headers["Cache-Control"].split(", "))
