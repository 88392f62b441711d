"""Which address URLs name, and which addresses are recognized as ours."""

import pytest

from ..image_helpers import data_url, make_image

EVIL = "https://evil.example"


def add(person, url):
    """Add a movie with that image."""
    return person.post("/movies", json={"title": "Alien", "imageUrl": url})


def key_of(url):
    """Return the last part of an image's URL."""
    return url.rpartition("/")[2]


@pytest.fixture
def movie(alice):
    """A movie of Alice's with a stored image."""
    return add(alice, data_url(make_image())).json


@pytest.mark.parametrize(
    "base", [EVIL, "https://localhost", "http://localhost:3001", "http://localhost/x"]
)
def test_another_address_is_not_ours(alice, movie, base):
    url = f"{base}/images/{key_of(movie['imageUrl'])}"

    response = add(alice, url)

    assert response.status_code == 201
    assert response.json["imageUrl"] == url
    imported = alice.post("/movies/import", json=[{"title": "Aliens", "imageUrl": url}])
    assert imported.json["counts"]["added"] == 1
    assert alice.get("/movies?search=aliens").json["items"][0]["imageUrl"] == url


@pytest.mark.parametrize(
    "base",
    [
        "http://localhost",
        "HTTP://LocalHost",
        "https://api.example.com/films",
        "https://cdn.example.com",
        "https://old.example.com",
        "https://older.example.com/Api",
    ],
)
def test_our_addresses_are_the_one_called_and_those_in_the_settings(alice, movie, make_app, base):
    person = make_app(
        PUBLIC_URL="https://API.example.com/films/",
        IMAGE_BASE_URL="https://cdn.example.com",
        FORMER_URLS="https://old.example.com/, https://older.example.com/Api",
    ).test_client()
    person.token = alice.token

    response = add(person, f"{base}/images/{key_of(movie['imageUrl'])}?w=320")

    expected = f"https://cdn.example.com/images/{key_of(movie['imageUrl'])}"
    assert response.json["imageUrl"] == expected
    assert add(person, f"{base}/images/{'0' * 64}").status_code == 400


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({}, "http://localhost"),
        ({"PROXY_HOPS": "1"}, "https://app.example.com/api"),
        ({"PUBLIC_URL": "https://api.example.com/v"}, "https://api.example.com/v"),
        ({"PUBLIC_URL": "https://x.example", "PROXY_HOPS": "1"}, "https://x.example"),
    ],
)
def test_urls_name_the_public_address(alice, movie, make_app, settings, base):
    person = make_app(**settings).test_client()
    person.token = alice.token
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example, app.example.com",
        "X-Forwarded-Prefix": "/api",
    }

    shown = person.get(f"/movies/{movie['id']}", headers=headers)
    upload = person.post("/images", json={"contentType": "image/png", "size": 9}, headers=headers)

    for url in (shown.json["imageUrl"], upload.json["imageUrl"], upload.json["uploadUrl"]):
        assert url.startswith(f"{base}/images/")
