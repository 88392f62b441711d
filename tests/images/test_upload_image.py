"""POST /images and uploads to a folder."""

from errno import ENOSPC

import pytest
from sqlalchemy import text

from movies_api.images.codec import sanitize_image

from ..image_helpers import TYPES, data_url, make_image, open_image, path_of, request_upload


def send(client, upload, data, **more):
    return client.put(path_of(upload["uploadUrl"]), data=data, **more)


def test_image_upload_request_returns_upload_url(alice, clock):
    response = alice.post("/images", json={"contentType": "image/jpeg", "size": 12345})

    assert response.status_code == 201
    body = response.json
    assert body.keys() == {"uploadUrl", "method", "headers", "imageUrl", "expiresAt"}
    assert body["method"] == "PUT"
    assert body["headers"] == {"Content-Type": "image/jpeg"}
    assert body["uploadUrl"].startswith(f"{body['imageUrl']}?signature=")


@pytest.mark.parametrize("name", TYPES)
def test_uploaded_image_is_stored_and_served(alice, client, name):
    data = make_image(name)
    upload = request_upload(alice, data, TYPES[name])

    response = send(client, upload, data, headers=upload["headers"])

    assert response.status_code == 201
    url = response.json["imageUrl"]
    assert open_image(client.get(path_of(url)).data).format == name
    movie = alice.post("/movies", json={"title": "Alien", "imageUrl": upload["imageUrl"]})
    assert movie.status_code == 201
    assert movie.json["imageUrl"] == url
    again = alice.patch(f"/movies/{movie.json['id']}", json={"imageUrl": url})
    assert again.json["imageUrl"] == url


def test_anonymous_upload_request_returns_401(client):
    response = client.post("/images", json={"contentType": "image/png", "size": 1})

    assert response.status_code == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contentType", "image/svg+xml"),
        ("contentType", "text/html"),
        ("contentType", None),
        ("contentType", "image/PNG"),
        ("size", 0),
        ("size", -1),
        ("size", 1.5),
        ("size", None),
        ("size", True),
        ("size", "x"),
        ("name", "a.png"),
    ],
)
def test_invalid_upload_field_returns_400(alice, field, value):
    response = alice.post("/images", json={"contentType": "image/png", "size": 1, field: value})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == [field]


def test_oversized_upload_request_returns_413(app, alice):
    limit = app.extensions["movies_api"].image_max_bytes

    assert (
        alice.post("/images", json={"contentType": "image/png", "size": limit}).status_code == 201
    )
    assert (
        alice.post("/images", json={"contentType": "image/png", "size": limit + 1}).status_code
        == 413
    )


def test_upload_longer_than_declared_returns_413(alice, client, files):
    upload = request_upload(alice, make_image())

    response = send(client, upload, make_image() + b"x")

    assert response.status_code == 413
    assert files() == []


def test_upload_shorter_than_declared_returns_400(alice, client, files):
    upload = request_upload(alice, make_image())

    response = send(client, upload, make_image()[:-1])

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["size"]
    assert files() == []


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "image/png"}])
def test_upload_of_another_type_is_stored_with_its_real_type(alice, client, headers):
    data = make_image("JPEG")
    upload = request_upload(alice, data, "image/png")

    response = send(client, upload, data, headers=headers)

    assert response.status_code == 201
    assert client.get(path_of(response.json["imageUrl"])).content_type == "image/jpeg"


def test_upload_with_another_content_type_returns_415(alice, client, files):
    upload = request_upload(alice, make_image())

    response = send(client, upload, make_image(), headers={"Content-Type": "image/jpeg"})

    assert response.status_code == 415
    assert files() == []


def test_upload_url_of_a_server_with_a_fast_clock_is_accepted(alice, client, clock):
    upload = request_upload(alice, make_image())
    clock.advance(seconds=-50)

    assert send(client, upload, make_image()).status_code == 201


def test_expired_upload_url_returns_403(alice, client, files, clock):
    upload = request_upload(alice, make_image())
    clock.advance(minutes=11, seconds=2)

    response = send(client, upload, make_image())

    assert response.status_code == 403
    assert files() == []


def test_tampered_upload_url_is_rejected(alice, client, files):
    first, second = request_upload(alice, make_image()), request_upload(alice, make_image())
    place, _, signed = path_of(first["uploadUrl"]).partition("?signature=")
    other = path_of(second["uploadUrl"]).partition("?")[0]

    for url in (
        f"{other}?signature={signed}",
        f"{place}?signature={signed[:-3]}abc",
        f"{place}?signature={signed[2:]}",
        f"{place}?signature={signed}%3D",
        f"{place}?signature={alice.token}",
        f"{place}?signature=",
        f"/images/..%2f..%2fx?signature={signed}",
    ):
        assert client.put(url, data=make_image()).status_code in {403, 404}, url
    assert client.put(place, data=make_image()).status_code == 400
    assert files() == []


def test_upload_url_accepts_only_one_image(alice, client, files):
    data, other = make_image(), make_image(colour="navy")
    upload = request_upload(alice, data)
    url = send(client, upload, data).json["imageUrl"]
    assert len(other) == len(data)

    assert send(client, upload, data).json["imageUrl"] == url, "a lost response can be retried"
    assert send(client, upload, other).status_code == 403
    assert files() == [url.rpartition("/")[2]]
    assert client.get(path_of(upload["imageUrl"])).headers["Location"] == url.rpartition("/")[2]


def test_upload_for_deleted_account_returns_403(alice, client, files, database):
    upload = request_upload(alice, make_image())
    database.execute(text("DELETE FROM users"))

    response = send(client, upload, make_image())

    assert response.status_code == 403
    assert files() == []


def test_upload_during_account_deletion_returns_403(alice, client, files, database, monkeypatch):
    upload = request_upload(alice, make_image())

    def clean(*arguments):
        database.execute(text("DELETE FROM users"))
        return sanitize_image(*arguments)

    monkeypatch.setattr("movies_api.images.ingest.sanitize_image", clean)
    response = send(client, upload, make_image())

    assert response.status_code == 403
    assert files() == []


def test_unwritable_image_folder_returns_503(make_app, tmp_path):
    (tmp_path / "file").touch()
    alice = make_app(IMAGE_DIR=str(tmp_path / "file" / "images")).test_client().sign_up("Alice")

    response = send(alice, request_upload(alice, make_image()), make_image())

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]


def test_full_disk_returns_503(alice, client, files, monkeypatch):
    def full():
        raise OSError(ENOSPC, "No space left on device")

    upload = request_upload(alice, make_image())
    monkeypatch.setattr("movies_api.images.views.TemporaryFile", full)
    response = send(client, upload, make_image())

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]
    assert files() == []


def test_upload_urls_are_limited_to_120_per_hour(make_app):
    alice = make_app(RATELIMIT_ENABLED="true").test_client().sign_up("Alice")
    for _ in range(120):
        request_upload(alice, make_image())

    response = alice.post("/images", json={"contentType": "image/png", "size": 1})

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 3000


def test_unused_upload_url_stores_nothing(alice, files, database):
    request_upload(alice, make_image())

    assert files() == []
    assert database.execute("SELECT * FROM uploads") == []
    assert database.execute("SELECT * FROM images") == []


def test_movie_with_pending_upload_returns_400(alice):
    upload = request_upload(alice, make_image())

    response = alice.post("/movies", json={"title": "Alien", "imageUrl": upload["imageUrl"]})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]


def test_upload_and_data_url_of_the_same_file_share_an_image(alice, client):
    upload = request_upload(alice, make_image())
    url = send(client, upload, make_image()).json["imageUrl"]

    movie = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())}).json

    assert movie["imageUrl"] == url
