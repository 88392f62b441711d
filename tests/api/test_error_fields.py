"""error.fields: a code for each message, for frontends in other languages."""

import pytest

from ..image_helpers import data_url, make_image

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

ACCOUNT = {"name": "Ann", "email": "ann@example.org", "password": "correct horse battery"}


def fields_of(response):
    """Return the (field, code) pairs of an error."""
    assert response.status_code == 400, response.text
    return [(each["field"], each["code"]) for each in response.json["error"]["fields"]]


def test_fields_lists_the_messages_of_details_with_codes(alice):
    response = alice.post("/movies", json={"titel": "Alien", "year": "79"})

    assert response.status_code == 400
    assert response.json["error"]["details"] == {
        "title": ["Required."],
        "year": ["Must be a four-digit year, e.g. 1999."],
        "titel": ["Unknown field."],
    }
    assert response.json["error"]["fields"] == [
        {"field": "title", "code": "required", "message": "Required."},
        {"field": "year", "code": "invalid", "message": "Must be a four-digit year, e.g. 1999."},
        {"field": "titel", "code": "unknown", "message": "Unknown field."},
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("title", "required")),
        ({"title": None}, ("title", "required")),
        ({"title": " "}, ("title", "required")),
        ({"title": 1}, ("title", "invalid")),
        ({"title": "a\0b"}, ("title", "invalid")),
        ({"title": "x" * 256}, ("title", "too_long")),
        ({"title": "x", "rating": 11}, ("rating", "out_of_range")),
        ({"title": "x", "rating": "ten"}, ("rating", "invalid")),
        ({"title": "x", "watchedOn": "2999-01-01"}, ("watchedOn", "out_of_range")),
        ({"title": "x", "watchedOn": "yesterday"}, ("watchedOn", "invalid")),
        ({"title": "x", "imageUrl": "ftp://example.com"}, ("imageUrl", "invalid")),
        ({"title": "x", "imageUrl": f"http://localhost/images/{'0' * 64}"}, ("imageUrl", "not_found")),
        ({"title": "x", "imageUrl": "data:image/png;base64,QUJD"}, ("imageUrl", "invalid")),
    ],
)  # fmt: skip
def test_movie_errors_have_codes(alice, body, expected):
    assert fields_of(alice.post("/movies", json=body)) == [expected]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=101", ("limit", "out_of_range")),
        ("limit=x", ("limit", "invalid")),
        ("colour=red", ("colour", "unknown")),
        ("year=1&year=2", ("year", "duplicate")),
        ("sort=director", ("sort", "invalid_choice")),
        ("sort=year,-year", ("sort", "duplicate")),
        ("watched=maybe", ("watched", "invalid")),
        ("cursor=x", ("cursor", "invalid")),
        (f"search={'+'.join(map(str, range(17)))}", ("search", "too_long")),
    ],
)
def test_parameter_errors_have_codes(alice, query, expected):
    assert fields_of(alice.get(f"/movies?{query}")) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "A"}, ("name", "too_short")),
        ({"name": ""}, ("name", "required")),
        ({"email": "ann"}, ("email", "invalid")),
        ({"password": "x" * 129}, ("password", "too_long")),
        ({"password": "short"}, ("password", "too_short")),
        ({"password": ""}, ("password", "required")),
        ({"password": "password1"}, ("password", "too_weak")),
    ],
)
def test_signup_errors_have_codes(client, change, expected):
    assert fields_of(client.post("/auth/signup", json={**ACCOUNT, **change})) == [expected]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("DELETE", "/me", {"password": "wrong horse"}, ("password", "incorrect")),
        ("PATCH", "/me", {"email": "x@example.org"}, ("currentPassword", "required")),
        ("PATCH", "/me", {"preferences": {"theme": "red"}}, ("preferences.theme", "invalid_choice")),
        ("PATCH", "/me", {"preferences": {"language": "e"}}, ("preferences.language", "invalid")),
        ("POST", "/auth/tokens", {"name": "x", "expiresInDays": 0}, ("expiresInDays", "out_of_range")),
        ("POST", "/auth/email-revert", {"token": "x" * 1001}, ("token", "too_long")),
        ("POST", "/auth/email-revert", {"token": "x"}, ("token", "invalid")),
        ("POST", "/images", {"contentType": "image/svg+xml", "size": 1}, ("contentType", "invalid_choice")),
    ],
)  # fmt: skip
def test_account_and_upload_errors_have_codes(alice, method, path, body, expected):
    assert fields_of(alice.open(path, method=method, json=body)) == [expected]


def test_an_image_beyond_a_limit_is_too_large(alice, monkeypatch):
    monkeypatch.setattr("movies_api.images.codec.MAX_FRAMES", 0)

    response = alice.post("/movies", json={"title": "x", "imageUrl": data_url(make_image())})

    assert fields_of(response) == [("imageUrl", "too_large")]


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        ("/movies/import", {"data": b""}, ("file", "required")),
        ("/movies/import", {"data": b"\0"}, ("file", "invalid")),
        ("/movies/import", {"data": {"files": "x"}, "content_type": "multipart/form-data"}, ("files", "unknown")),
        ("/movies/import?onDuplicate=merge", {"data": b"title\nAlien\n"}, ("onDuplicate", "invalid_choice")),
        ("/movies", {"json": {}, "environ_overrides": {"QUERY_STRING": "\xff"}}, ("query", "invalid")),
    ],
)  # fmt: skip
def test_file_and_query_errors_have_codes(alice, path, sent, expected):
    assert fields_of(alice.post(path, **sent)) == [expected]


def test_other_errors_have_no_fields(alice):
    response = alice.get("/movies/1")

    assert response.status_code == 404
    assert response.json == {
        "error": {"code": "NOT_FOUND", "message": "Movie not found", "details": {}}
    }
