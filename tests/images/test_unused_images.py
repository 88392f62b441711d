"""Unused images go without a cron job: each stored image takes a few of them along."""

from errno import EROFS
from functools import partial

import pytest

from movies_api.api.errors import abort_with
from movies_api.images import cleanup
from movies_api.images.queries import CHECK_BATCH
from movies_api.images.storage import Folder, disk_errors

from ..client import PASSWORD
from ..concurrency import run_together, statuses
from ..image_helpers import data_url, make_image, path_of

COLOURS = iter(range(1, 10**6))


def new_image():
    """Return an image that no other test and no other call has."""
    number = next(COLOURS)
    return make_image(colour=(number % 256, number // 256 % 256, 77))


def add(person, data=None):
    response = person.post(
        "/movies", json={"title": "Alien", "imageUrl": data_url(data or new_image())}
    )
    assert response.status_code == 201, response.text
    return response.json


def name_of(movie):
    """Return the name of the file of the movie's image."""
    return movie["imageUrl"].rpartition("/")[2]


@pytest.fixture
def later(clock, alice, bob):
    """A function that lets time pass and logs both in again."""

    def pass_time(**time):
        clock.advance(**time)
        for person in (alice, bob):
            person.log_in(person.user["email"])

    return pass_time


def test_an_image_goes_with_an_upload_a_day_after_its_last_movie(alice, bob, files, later):
    gone, kept = add(alice), add(alice)
    alice.get(f"{path_of(gone['imageUrl'])}?w=160")
    alice.delete(f"/movies/{gone['id']}")
    later(hours=23)
    add(bob)
    assert name_of(gone) in files()
    later(hours=2)

    add(bob)

    assert len(files()) == 3
    assert name_of(kept) in files()
    assert not [name for name in files() if name.startswith(name_of(gone))]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_replaced_image_goes_a_day_later(alice, bob, files, later, method):
    movie = add(alice)
    body = {"imageUrl": data_url(new_image())}
    alice.open(f"/movies/{movie['id']}", method=method, json=body)
    later(hours=25)

    add(bob)

    assert name_of(movie) not in files()
    assert len(files()) == 2


def test_an_image_that_others_show_stays(alice, bob, files, later, database):
    data = new_image()
    movie = add(alice, data)
    add(bob, data)
    alice.delete(f"/movies/{movie['id']}")
    later(hours=25)

    add(bob)

    assert name_of(movie) in files()
    assert database.execute("SELECT * FROM images WHERE unused_since IS NOT NULL") == []


def test_what_no_request_noted_is_found_by_looking(alice, bob, files, later):
    replaced, shown = add(alice), add(alice)
    alice.patch(f"/movies/{replaced['id']}", json={"imageUrl": "https://example.com/a.jpg"})
    never = new_image()
    permission = alice.post("/images", json={"contentType": "image/png", "size": len(never)}).json
    alice.put(path_of(permission["uploadUrl"]), data=never)
    assert len(files()) == 3
    later(hours=25)
    add(bob)
    assert len(files()) == 4, "looked at now, removed a day later"
    later(hours=25)

    add(bob)

    assert len(files()) == 3
    assert name_of(shown) in files()


def test_each_upload_looks_at_others_until_all_were_looked_at(alice, bob, later, database):
    for _ in range(CHECK_BATCH + 5):
        add(alice)
    later(hours=25)
    database.execute("DELETE FROM movies")
    marked = "SELECT count(*) FROM images WHERE unused_since IS NOT NULL"

    add(bob)
    assert database.execute(marked) == [(CHECK_BATCH,)]
    add(bob)
    assert database.execute(marked) == [(CHECK_BATCH + 5,)]


def test_each_upload_takes_a_few_along_and_no_more(alice, bob, files, later):
    for movie in [add(alice) for _ in range(5)]:
        alice.delete(f"/movies/{movie['id']}")
    later(hours=25)
    add(bob)
    assert len(files()) == 5 + 1 - cleanup.CLEANED_PER_UPLOAD

    add(bob)

    assert len(files()) == 2


def test_an_image_that_is_shown_again_stays(alice, bob, files, later):
    movie = add(alice)
    alice.delete(f"/movies/{movie['id']}")
    later(hours=25)
    again = bob.post("/movies", json={"title": "Alien", "imageUrl": movie["imageUrl"]})
    assert again.status_code == 201

    add(alice)

    assert bob.get(path_of(movie["imageUrl"])).status_code == 200


def test_an_image_that_was_noted_while_a_movie_came_to_show_it_stays(alice, bob, files, database):
    movie = add(alice)
    database.execute("UPDATE images SET unused_since = '2020-01-01'")

    add(bob)

    assert name_of(movie) in files()
    assert database.execute("SELECT * FROM images WHERE unused_since IS NOT NULL") == []


def test_deleting_a_movie_without_an_own_image_costs_nothing_more(alice):
    plain = alice.post("/movies", json={"title": "Alien", "imageUrl": "https://example.com/a.jpg"})
    own = add(alice)

    alice.delete(plain.headers["Location"])
    before = len(alice.statements)
    alice.delete(f"/movies/{own['id']}")

    assert len(alice.statements) == before + 1


def test_an_account_at_its_limit_has_room_a_day_after_it_deleted(make_app, bob, clock):
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

    later = carol.get("/me").json["usage"]["imageBytes"]
    assert later < 1024 - 100


def test_storage_that_rejects_to_remove_does_not_fail_an_upload(
    alice, bob, files, later, database, monkeypatch, lines
):
    movie = add(alice)
    alice.delete(f"/movies/{movie['id']}")
    later(hours=25)

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


def leave(person):
    assert person.delete("/me", json={"password": PASSWORD}).status_code == 204


def test_images_that_took_too_long_at_the_end_of_an_account_go_first(
    alice, bob, files, clock, monkeypatch
):
    waiting = add(bob)
    bob.delete(f"/movies/{waiting['id']}")
    hers = [name_of(add(alice)) for _ in range(4)]
    clock.advance(hours=25)
    for person in (alice, bob):
        person.log_in(person.user["email"])
    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "MAX_SECONDS_AT_END", -1)
        leave(alice)
    assert len(files()) == 5, "no time was left"

    add(bob)

    assert name_of(waiting) in files()
    assert len(set(hers) & set(files())) == 4 - cleanup.CLEANED_PER_UPLOAD
    add(bob)
    assert not set(hers) & set(files())


def test_images_that_storage_rejected_to_remove_go_with_later_uploads(
    alice, bob, files, clock, monkeypatch, database
):
    hers = add(alice)
    clock.advance(minutes=2)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "remove", lambda *_: abort_with(503))
        leave(alice)
    assert name_of(hers) in files()

    add(bob)

    assert name_of(hers) not in files()
    assert database.execute("SELECT count(*) FROM images") == [(1,)]


def test_an_image_that_was_used_in_the_last_minute_keeps_its_day(alice, bob, files, later):
    hers = add(alice)
    leave(alice)
    add(bob)
    assert name_of(hers) in files()
    alice.sign_up("Alice")
    later(hours=25)

    add(bob)

    assert name_of(hers) not in files()


def test_movies_that_come_to_show_unused_images_meanwhile_show_them(service, app, database):
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

        answers = run_together([*again, *uploads])

        assert set(statuses(answers)) <= {201, 400}, "400: it was removed before"
        assert [answer.status for answer in answers[6:]] == [201] * 6
        for answer in answers:
            if answer.status == 201:
                path = answer.json["imageUrl"].replace(service.url, "")
                assert service.request("GET", path).status == 200
    assert "Traceback" not in service.log
