"""Unused images are deleted without a cron job: a few of them with each stored image."""

from errno import EROFS
from functools import partial

import pytest

from movies_api.api.errors import abort_with
from movies_api.images import cleanup
from movies_api.images.queries import CHECK_BATCH
from movies_api.images.storage import Folder, disk_errors

from ..client import PASSWORD
from ..concurrency import run_parallel, statuses
from ..image_helpers import data_url, make_image, path_of

COLOURS = iter(range(1, 10**6))


def new_image():
    """Return a unique image."""
    number = next(COLOURS)
    return make_image(colour=(number % 256, number // 256 % 256, 77))


def add(client, data=None):
    response = client.post(
        "/movies", json={"title": "Alien", "imageUrl": data_url(data or new_image())}
    )
    assert response.status_code == 201, response.text
    return response.json


def name_of(movie):
    """Return the name of the file of the movie's image."""
    return movie["imageUrl"].rpartition("/")[2]


@pytest.fixture
def advance(clock, alice, bob):
    """A function that advances the clock and logs Alice and Bob in again."""

    def advance(**time):
        clock.advance(**time)
        for client in (alice, bob):
            client.log_in(client.user["email"])

    return advance


def test_unused_image_is_deleted_by_an_upload_a_day_later(alice, bob, files, advance):
    unused, kept = add(alice), add(alice)
    alice.get(f"{path_of(unused['imageUrl'])}?w=160")
    alice.delete(f"/movies/{unused['id']}")
    advance(hours=23)
    add(bob)
    assert name_of(unused) in files()
    advance(hours=2)

    add(bob)

    assert len(files()) == 3
    assert name_of(kept) in files()
    assert not [name for name in files() if name.startswith(name_of(unused))]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_replaced_image_is_deleted_a_day_later(alice, bob, files, advance, method):
    movie = add(alice)
    body = {"imageUrl": data_url(new_image())}
    alice.open(f"/movies/{movie['id']}", method=method, json=body)
    advance(hours=25)

    add(bob)

    assert name_of(movie) not in files()
    assert len(files()) == 2


def test_image_used_by_another_user_is_kept(alice, bob, files, advance, database):
    data = new_image()
    movie = add(alice, data)
    add(bob, data)
    alice.delete(f"/movies/{movie['id']}")
    advance(hours=25)

    add(bob)

    assert name_of(movie) in files()
    assert database.execute("SELECT * FROM images WHERE unused_since IS NOT NULL") == []


def test_unmarked_unused_images_are_found_by_a_check(alice, bob, files, advance):
    replaced, shown = add(alice), add(alice)
    alice.patch(f"/movies/{replaced['id']}", json={"imageUrl": "https://example.com/a.jpg"})
    never = new_image()
    upload = alice.post("/images", json={"contentType": "image/png", "size": len(never)}).json
    alice.put(path_of(upload["uploadUrl"]), data=never)
    assert len(files()) == 3
    advance(hours=25)
    add(bob)
    assert len(files()) == 4, "checked now, deleted a day later"
    advance(hours=25)

    add(bob)

    assert len(files()) == 3
    assert name_of(shown) in files()


def test_each_upload_checks_the_next_batch_of_images(alice, bob, advance, database):
    for _ in range(CHECK_BATCH + 5):
        add(alice)
    advance(hours=25)
    database.execute("DELETE FROM movies")
    marked = "SELECT count(*) FROM images WHERE unused_since IS NOT NULL"

    add(bob)
    assert database.execute(marked) == [(CHECK_BATCH,)]
    add(bob)
    assert database.execute(marked) == [(CHECK_BATCH + 5,)]


def test_each_upload_deletes_a_limited_number_of_images(alice, bob, files, advance):
    for movie in [add(alice) for _ in range(5)]:
        alice.delete(f"/movies/{movie['id']}")
    advance(hours=25)
    add(bob)
    assert len(files()) == 5 + 1 - cleanup.CLEANED_PER_UPLOAD

    add(bob)

    assert len(files()) == 2


def test_reused_image_is_kept_by_an_upload(alice, bob, files, advance):
    movie = add(alice)
    alice.delete(f"/movies/{movie['id']}")
    advance(hours=25)
    again = bob.post("/movies", json={"title": "Alien", "imageUrl": movie["imageUrl"]})
    assert again.status_code == 201

    add(alice)

    assert bob.get(path_of(movie["imageUrl"])).status_code == 200


def test_marked_image_of_a_movie_is_kept(alice, bob, files, database):
    movie = add(alice)
    database.execute("UPDATE images SET unused_since = '2020-01-01'")

    add(bob)

    assert name_of(movie) in files()
    assert database.execute("SELECT * FROM images WHERE unused_since IS NOT NULL") == []


def test_deleting_a_movie_with_external_image_needs_no_extra_statement(alice):
    plain = alice.post("/movies", json={"title": "Alien", "imageUrl": "https://example.com/a.jpg"})
    own = add(alice)

    alice.delete(plain.headers["Location"])
    before = len(alice.statements)
    alice.delete(f"/movies/{own['id']}")

    assert len(alice.statements) == before + 1


def test_image_quota_is_freed_a_day_after_deletion(make_app, bob, clock):
    app = make_app(MAX_IMAGE_BYTES_PER_USER="1024")
    carol = app.test_client().sign_up("Carol")
    movies = []
    while True:
        response = carol.post("/movies", json={"title": "Alien", "imageUrl": data_url(new_image())})
        if response.status_code == 403:
            break
        movies.append(response.headers["Location"])
    assert response.json["error"]["code"] == "QUOTA_EXCEEDED"
    for path in movies:
        carol.delete(path)
    clock.advance(hours=25)
    carol.log_in(carol.user["email"])

    assert add(carol)["imageUrl"]

    used = carol.get("/me").json["usage"]["imageBytes"]
    assert used < 1024 - 100


def test_storage_error_during_cleanup_does_not_fail_an_upload(
    alice, bob, files, advance, database, monkeypatch, lines
):
    movie = add(alice)
    alice.delete(f"/movies/{movie['id']}")
    advance(hours=25)

    def remove(*_):
        with disk_errors():
            raise OSError(EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "remove", remove)
        add(bob)

    assert any(line["message"].startswith("image storage") for line in lines())
    assert name_of(movie) in files()
    assert database.execute("SELECT count(*) FROM images") == [(2,)]
    add(bob)
    assert name_of(movie) not in files()


# --- images of a deleted account


def delete_account(client):
    assert client.delete("/me", json={"password": PASSWORD}).status_code == 204


def test_images_left_by_account_deletion_are_deleted_first(alice, bob, files, clock, monkeypatch):
    waiting = add(bob)
    bob.delete(f"/movies/{waiting['id']}")
    hers = [name_of(add(alice)) for _ in range(4)]
    clock.advance(hours=25)
    for client in (alice, bob):
        client.log_in(client.user["email"])
    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "MAX_SECONDS_AT_END", -1)
        delete_account(alice)
    assert len(files()) == 5, "the time limit was exceeded"

    add(bob)

    assert name_of(waiting) in files()
    assert len(set(hers) & set(files())) == 4 - cleanup.CLEANED_PER_UPLOAD
    add(bob)
    assert not set(hers) & set(files())


def test_images_left_by_a_storage_error_are_deleted_by_later_uploads(
    alice, bob, files, clock, monkeypatch, database
):
    hers = add(alice)
    clock.advance(minutes=2)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "remove", lambda *_: abort_with(503))
        delete_account(alice)
    assert name_of(hers) in files()

    add(bob)

    assert name_of(hers) not in files()
    assert database.execute("SELECT count(*) FROM images") == [(1,)]


def test_recently_used_image_of_deleted_account_is_kept_for_a_day(alice, bob, files, advance):
    hers = add(alice)
    delete_account(alice)
    add(bob)
    assert name_of(hers) in files()
    alice.sign_up("Alice")
    advance(hours=25)

    add(bob)

    assert name_of(hers) not in files()


def test_concurrent_movies_can_reuse_unused_images(service, app, database):
    body = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
    token = service.request("POST", "/auth/signup", body).json["accessToken"]

    def create(url):
        return service.request("POST", "/movies", {"title": "Alien", "imageUrl": url}, token)

    for _ in range(4):
        made = [create(data_url(new_image())) for _ in range(6)]
        for movie in made:
            service.request("DELETE", movie.headers["Location"], token=token)
        database.execute("UPDATE images SET unused_since = '2020-01-01' WHERE unused_since IS NOT NULL")  # fmt: skip
        again = [partial(create, movie.json["imageUrl"]) for movie in made]
        uploads = [partial(create, data_url(new_image())) for _ in range(6)]

        responses = run_parallel([*again, *uploads])

        assert set(statuses(responses)) <= {201, 400}, "400: the image was deleted first"
        assert [response.status for response in responses[6:]] == [201] * 6
        for response in responses:
            if response.status == 201:
                path = response.json["imageUrl"].replace(service.url, "")
                assert service.request("GET", path).status == 200
    assert "Traceback" not in service.log
