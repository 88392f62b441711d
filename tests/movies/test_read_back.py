"""Every writable field can be read back, on both databases.

A new field of a schema fails here until it has a sample value and every endpoint stores it.
"""

from datetime import datetime, timedelta

import orjson
import pytest

from movies_api.account.schemas import AccountUpdateSchema, PreferencesUpdateSchema
from movies_api.auth.schemas import ApiTokenCreateSchema, SignupSchema
from movies_api.images.schemas import UploadCreateSchema
from movies_api.movies.fields import MovieCreateSchema
from movies_api.movies.queries import insert_movie

from ..client import PASSWORD

MOVIE = {
    "title": "Alien",
    "year": "1979",
    "imageUrl": "https://example.com/alien.jpg",
    "rating": 9,
    "watchedOn": "1979-10-25",
    "notes": 'In space\n=no one, "can" hear you',
}
OTHER = {
    "title": "Brazil",
    "year": "1985",
    "imageUrl": "https://example.com/brazil.jpg",
    "rating": 1,
    "watchedOn": "2024-02-29",
    "notes": "=1+1\n\n'Twas",
}
ME = {"name": "Ann", "email": "ann.other@example.com", "preferences": {"theme": "dark", "language": "fr"}}  # fmt: skip
TOKEN = {"name": "Backup", "expiresInDays": 30, "scope": "read"}
IMAGE = {"contentType": "image/png", "size": 12345}


def fields_of(schema):
    """Return the names of the writable fields."""
    return {field.data_key for field in schema().load_fields.values()}


def test_every_writable_field_has_a_sample_value():
    assert set(MOVIE) == set(OTHER) == fields_of(MovieCreateSchema)
    assert set(ME) | {"currentPassword"} == fields_of(AccountUpdateSchema)
    assert set(ME["preferences"]) == fields_of(PreferencesUpdateSchema)
    assert set(TOKEN) == fields_of(ApiTokenCreateSchema)
    assert set(IMAGE) == fields_of(UploadCreateSchema)
    assert fields_of(SignupSchema) == {"name", "email", "password"}
    assert all(MOVIE[name] != OTHER[name] is not None for name in MOVIE)


def assert_stored(client, expected):
    """Check the newest movie in the list, by itself and in the export."""
    newest = client.get("/movies").json["items"][0]
    for found in (
        newest,
        client.get(f"/movies/{newest['id']}").json,
        orjson.loads(client.get("/movies/export").data)[0],
    ):
        assert {name: found[name] for name in expected} == expected


def test_create_movie_stores_every_field(alice):
    response = alice.post("/movies", json=MOVIE)

    assert response.status_code == 201
    assert {name: response.json[name] for name in MOVIE} == MOVIE
    assert_stored(alice, MOVIE)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_update_movie_stores_every_field(alice, method):
    path = alice.post("/movies", json=MOVIE).headers["Location"]

    response = alice.open(path, method=method, json=OTHER)

    assert response.status_code == 200
    assert_stored(alice, OTHER)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("name", MOVIE)
def test_update_of_one_field_keeps_the_others(alice, method, name):
    path = alice.post("/movies", json=MOVIE).headers["Location"]

    response = alice.open(path, method=method, json={name: OTHER[name]})

    assert response.status_code == 200
    assert_stored(alice, MOVIE | {name: OTHER[name]})


@pytest.mark.parametrize("name", sorted(set(MOVIE) - {"title"}))
def test_optional_movie_field_can_be_set_to_null(alice, name):
    path = alice.post("/movies", json=MOVIE).headers["Location"]

    assert alice.patch(path, json={name: None}).status_code == 200

    assert_stored(alice, MOVIE | {name: None})


@pytest.mark.parametrize("file_format", ["json", "ndjson", "csv"])
def test_import_stores_every_field(alice, bob, file_format):
    nothing = dict.fromkeys(MOVIE) | {"title": "Nothing else"}
    for movie in (nothing, OTHER, MOVIE):
        alice.post("/movies", json=movie)
    file = alice.get(f"/movies/export?format={file_format}").data

    response = bob.post("/movies/import", data=file, content_type="text/plain")

    assert response.json["counts"]["added"] == 3
    found = bob.get("/movies").json["items"]
    assert [{name: each[name] for name in MOVIE} for each in found] == [MOVIE, OTHER, nothing]


def test_unknown_movie_column_raises_an_error(alice, app):
    with app.app_context(), pytest.raises(AssertionError, match="ratting"):
        insert_movie(alice.user["id"], {"title": "Alien", "ratting": 7})


def test_update_account_stores_every_field(alice, make_client):
    response = alice.patch("/me", json=ME | {"currentPassword": PASSWORD})

    assert response.status_code == 200
    for found in (response.json, alice.get("/me").json, make_client().log_in(ME["email"]).user):
        assert {name: found[name] for name in ME} == ME


@pytest.mark.parametrize("name", ["theme", "language"])
def test_update_of_one_preference_keeps_the_others(alice, name):
    before = alice.get("/me").json["preferences"]

    alice.patch("/me", json={"preferences": {name: ME["preferences"][name]}})

    assert alice.get("/me").json["preferences"] == before | {name: ME["preferences"][name]}


def test_create_api_token_stores_every_field(alice):
    made = alice.post("/auth/tokens", json=TOKEN).json

    [listed] = [each for each in alice.get("/auth/sessions").json["items"] if each["id"] == made["id"]]  # fmt: skip
    assert listed["kind"] == "token"
    assert (listed["name"], listed["scope"]) == (TOKEN["name"], TOKEN["scope"])
    assert listed["expiresAt"] == made["expiresAt"]
    lifetime = datetime.fromisoformat(listed["expiresAt"]) - datetime.fromisoformat(listed["createdAt"])  # fmt: skip
    assert lifetime == timedelta(days=TOKEN["expiresInDays"])


def test_upload_must_have_the_declared_type_and_size(alice, client):
    upload = alice.post("/images", json=IMAGE).json
    path = upload["uploadUrl"].partition("localhost")[2]

    response = client.put(path, data=b"x", content_type=IMAGE["contentType"])
    assert response.status_code in {400, 403, 413}  # another size
    response = client.put(path, data=b"x" * IMAGE["size"], content_type="image/gif")
    assert response.status_code in {400, 403, 415}  # another type
