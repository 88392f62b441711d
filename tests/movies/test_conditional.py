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
    """Where it is."""
    return f"/movies/{movie['id']}"


def change(client, method, url, **headers):
    """Edit or delete with the given headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {} if method == "DELETE" else {"json": {"title": "Aliens"}}
    return client.open(url, method=method, headers=named, **body)


def test_answers_304_to_a_client_that_is_up_to_date(alice, url):
    tag = alice.get(url).headers["ETag"]

    for method in ("GET", "HEAD"):
        response = alice.open(url, method=method, headers={"If-None-Match": tag})

        assert response.status_code == 304
        assert response.data == b""
        assert response.headers["ETag"] == tag


@pytest.mark.parametrize("tags", ['"x", {tag}', "W/{tag}", "*"])
def test_finds_its_tag_among_others(alice, url, tags):
    tag = alice.get(url).headers["ETag"]

    assert alice.get(url, headers={"If-None-Match": tags.format(tag=tag)}).status_code == 304


@pytest.mark.parametrize("tags", ['"x"', '""', "nonsense", "", '"', "W/"])
def test_sends_the_movie_to_a_client_that_has_none(alice, url, tags):
    assert alice.get(url, headers={"If-None-Match": tags}).status_code == 200


def test_sends_the_movie_to_a_client_that_is_behind(alice, url):
    tag = alice.get(url).headers["ETag"]
    alice.patch(url, json={"title": "Aliens"})

    response = alice.get(url, headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.json["title"] == "Aliens"
    assert response.headers["ETag"] != tag


def test_an_image_that_moves_is_another_answer_and_the_same_version(make_app, alice):
    body = {"title": "Alien", "imageUrl": data_url(make_image())}
    url = alice.post("/movies", json=body).headers["Location"]
    tag = alice.get(url).headers["ETag"]
    assert alice.get(url, headers={"If-None-Match": tag}).status_code == 304
    moved = make_app(IMAGE_BASE_URL="https://cdn.example.com").test_client()
    moved.token = alice.token

    response = moved.get(url, headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.json["imageUrl"].startswith("https://cdn.example.com/images/")
    assert moved.delete(url, headers={"If-Match": tag}).status_code == 204


def test_an_edit_answers_with_the_tag_that_the_next_one_needs(alice, url):
    tag = alice.get(url).headers["ETag"]
    for title in ("Aliens", "Alien 3"):
        response = alice.patch(url, json={"title": title}, headers={"If-Match": tag})
        assert response.status_code == 200
        tag = response.headers["ETag"]

    assert alice.get(url).headers["ETag"] == tag


@pytest.mark.parametrize("method", EDITS)
def test_writes_when_the_tag_matches(alice, url, method):
    tag = alice.get(url).headers["ETag"]

    assert change(alice, method, url, If_Match=f'"x", {tag}').status_code == (
        204 if method == "DELETE" else 200
    )


@pytest.mark.parametrize("method", EDITS)
@pytest.mark.parametrize(
    "tags", ['"x"', '"-1"', '"99999999999999999999"', "nonsense", "", '""', '"01"', "W/{tag}"]
)
def test_rejects_to_write_over_what_was_not_read(alice, movie, url, method, tags):
    tag = alice.get(url).headers["ETag"]

    response = change(alice, method, url, If_Match=tags.format(tag=tag))

    assert response.status_code == 412
    assert response.json["error"]["code"] == "PRECONDITION_FAILED"
    assert alice.get(url).json == movie


@pytest.mark.parametrize("method", EDITS)
def test_rejects_a_tag_that_has_become_old(alice, url, method):
    tag = alice.get(url).headers["ETag"]
    alice.patch(url, json={"year": "1979"})

    assert change(alice, method, url, If_Match=tag).status_code == 412
    assert alice.get(url).json["year"] == "1979"


@pytest.mark.parametrize("method", EDITS)
def test_a_star_matches_any_movie(alice, url, method):
    assert change(alice, method, url, If_Match="*").status_code == (
        204 if method == "DELETE" else 200
    )


@pytest.mark.parametrize("method", EDITS)
@pytest.mark.parametrize("tags", ['"1"', "*", "nonsense"])
def test_a_movie_that_is_not_there_is_404_and_not_412(alice, method, tags):
    assert change(alice, method, "/movies/999999", If_Match=tags).status_code == 404


@pytest.mark.parametrize("method", EDITS)
def test_another_persons_movie_is_403_whatever_the_tag(alice, bob, movie, url, method):
    for tags in (alice.get(url).headers["ETag"], '"x"', "*"):
        assert change(bob, method, url, If_Match=tags).status_code == 403
    assert alice.get(url).json == movie


def test_lists_carry_a_tag_that_changes_with_them(alice, url):
    tag = alice.get("/movies").headers["ETag"]
    assert alice.get("/movies", headers={"If-None-Match": tag}).status_code == 304

    alice.patch(url, json={"title": "Aliens"})

    assert alice.get("/movies", headers={"If-None-Match": tag}).status_code == 200


def test_me_carries_a_tag_too(alice):
    tag = alice.get("/me").headers["ETag"]

    assert alice.get("/me", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["/movies", "/me", "/movies/1"])
def test_asks_who_one_is_before_it_says_304(client, path):
    assert client.get(path, headers={"If-None-Match": "*"}).status_code == 401


def test_nothing_is_kept_by_caches_on_the_way(alice, url):
    for path in (url, "/movies", "/me"):
        assert {"no-store", "private"} & set(alice.get(path).headers["Cache-Control"].split(", "))
