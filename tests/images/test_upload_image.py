"""POST /images and the upload it permits, to a folder."""

from errno import ENOSPC

import pytest
from sqlalchemy import text

from movies_api.images.codec import sanitize_image

from ..image_helpers import TYPES, data_url, make_image, open_image, path_of, request_upload


def send(person, permission, data, **more):
    return person.put(path_of(permission["uploadUrl"]), data=data, **more)


def test_permits_an_upload(alice, clock):
    response = alice.post("/images", json={"contentType": "image/jpeg", "size": 12345})

    assert response.status_code == 201
    answer = response.json
    assert answer.keys() == {"uploadUrl", "method", "headers", "imageUrl", "expiresAt"}
    assert answer["method"] == "PUT"
    assert answer["headers"] == {"Content-Type": "image/jpeg"}
    assert answer["uploadUrl"].startswith(f"{answer['imageUrl']}?permission=")


@pytest.mark.parametrize("name", TYPES)
def test_takes_the_file_and_shows_it(alice, client, name):
    data = make_image(name)
    permission = request_upload(alice, data, TYPES[name])

    response = send(client, permission, data, headers=permission["headers"])

    assert response.status_code == 201
    url = response.json["imageUrl"]
    assert open_image(client.get(path_of(url)).data).format == name
    movie = alice.post("/movies", json={"title": "Alien", "imageUrl": permission["imageUrl"]})
    assert movie.status_code == 201
    assert movie.json["imageUrl"] == url
    again = alice.patch(f"/movies/{movie.json['id']}", json={"imageUrl": url})
    assert again.json["imageUrl"] == url


def test_needs_somebody(client):
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
def test_names_the_field_that_is_wrong(alice, field, value):
    response = alice.post("/images", json={"contentType": "image/png", "size": 1, field: value})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == [field]


def test_permits_no_file_that_is_too_large(app, alice):
    limit = app.extensions["movies_api"].image_max_bytes

    assert (
        alice.post("/images", json={"contentType": "image/png", "size": limit}).status_code == 201
    )
    assert (
        alice.post("/images", json={"contentType": "image/png", "size": limit + 1}).status_code
        == 413
    )


def test_rejects_a_file_that_is_longer(alice, client, files):
    permission = request_upload(alice, make_image())

    response = send(client, permission, make_image() + b"x")

    assert response.status_code == 413
    assert files() == []


def test_rejects_a_file_that_is_shorter(alice, client, files):
    permission = request_upload(alice, make_image())

    response = send(client, permission, make_image()[:-1])

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["size"]
    assert files() == []


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "image/png"}])
def test_stores_another_type_than_was_declared_as_what_it_is(alice, client, headers):
    data = make_image("JPEG")
    permission = request_upload(alice, data, "image/png")

    response = send(client, permission, data, headers=headers)

    assert response.status_code == 201
    assert client.get(path_of(response.json["imageUrl"])).content_type == "image/jpeg"


def test_rejects_what_calls_itself_another_type(alice, client, files):
    permission = request_upload(alice, make_image())

    response = send(client, permission, make_image(), headers={"Content-Type": "image/jpeg"})

    assert response.status_code == 415
    assert files() == []


def test_takes_a_permission_of_a_server_whose_clock_is_ahead(alice, client, clock):
    permission = request_upload(alice, make_image())
    clock.advance(seconds=-50)

    assert send(client, permission, make_image()).status_code == 201


def test_rejects_a_permission_that_is_too_old(alice, client, files, clock):
    permission = request_upload(alice, make_image())
    clock.advance(minutes=11, seconds=2)

    response = send(client, permission, make_image())

    assert response.status_code == 403
    assert files() == []


def test_rejects_a_permission_that_was_altered(alice, client, files):
    first, second = request_upload(alice, make_image()), request_upload(alice, make_image())
    place, _, signed = path_of(first["uploadUrl"]).partition("?permission=")
    other = path_of(second["uploadUrl"]).partition("?")[0]

    for url in (
        f"{other}?permission={signed}",
        f"{place}?permission={signed[:-3]}abc",
        f"{place}?permission={signed[2:]}",
        f"{place}?permission={signed}%3D",
        f"{place}?permission={alice.token}",
        f"{place}?permission=",
        f"/images/..%2f..%2fx?permission={signed}",
    ):
        assert client.put(url, data=make_image()).status_code in {403, 404}, url
    assert client.put(place, data=make_image()).status_code == 400
    assert files() == []


def test_a_permission_is_good_for_one_image(alice, client, files):
    data, other = make_image(), make_image(colour="navy")
    permission = request_upload(alice, data)
    url = send(client, permission, data).json["imageUrl"]
    assert len(other) == len(data)

    assert send(client, permission, data).json["imageUrl"] == url, "who lost the answer may repeat"
    assert send(client, permission, other).status_code == 403
    assert files() == [url.rpartition("/")[2]]
    assert client.get(path_of(permission["imageUrl"])).headers["Location"] == url.rpartition("/")[2]


def test_rejects_for_an_account_that_has_gone(alice, client, files, database):
    permission = request_upload(alice, make_image())
    database.execute(text("DELETE FROM users"))

    response = send(client, permission, make_image())

    assert response.status_code == 403
    assert files() == []


def test_rejects_for_an_account_that_goes_meanwhile(alice, client, files, database, monkeypatch):
    permission = request_upload(alice, make_image())

    def clean(*arguments):
        database.execute(text("DELETE FROM users"))
        return sanitize_image(*arguments)

    monkeypatch.setattr("movies_api.images.ingest.sanitize_image", clean)
    response = send(client, permission, make_image())

    assert response.status_code == 403
    assert files() == []


def test_a_folder_that_cannot_be_written_is_503(make_app, tmp_path):
    (tmp_path / "file").touch()
    alice = make_app(IMAGE_DIR=str(tmp_path / "file" / "images")).test_client().sign_up("Alice")

    response = send(alice, request_upload(alice, make_image()), make_image())

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]


def test_a_disk_without_room_for_what_comes_is_503(alice, client, files, monkeypatch):
    def full():
        raise OSError(ENOSPC, "No space left on device")

    permission = request_upload(alice, make_image())
    monkeypatch.setattr("movies_api.images.views.TemporaryFile", full)
    response = send(client, permission, make_image())

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]
    assert files() == []


def test_an_account_has_120_permissions_an_hour(make_app):
    alice = make_app(RATELIMIT_ENABLED="true").test_client().sign_up("Alice")
    for _ in range(120):
        request_upload(alice, make_image())

    response = alice.post("/images", json={"contentType": "image/png", "size": 1})

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 3000


def test_the_boot_says_that_a_folder_may_not_last(make_app, database, stream):
    make_app(S3_BUCKET="films")
    assert "S3_BUCKET" not in stream.getvalue()

    make_app()

    assert ("set S3_BUCKET" in stream.getvalue()) == database.is_postgresql


def test_a_permission_that_is_never_used_leaves_nothing(alice, files, database):
    request_upload(alice, make_image())

    assert files() == []
    assert database.execute("SELECT * FROM uploads") == []
    assert database.execute("SELECT * FROM images") == []


def test_a_movie_cannot_show_what_has_not_come(alice):
    permission = request_upload(alice, make_image())

    response = alice.post("/movies", json={"title": "Alien", "imageUrl": permission["imageUrl"]})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]


def test_an_upload_and_a_data_url_are_the_same_image(alice, client):
    permission = request_upload(alice, make_image())
    url = send(client, permission, make_image()).json["imageUrl"]

    movie = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())}).json

    assert movie["imageUrl"] == url
