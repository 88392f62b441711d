"""Images are deleted a day after their last use, or immediately with the account."""

import os
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from movies_api.db import db, execute_in_transaction

from ..client import PASSWORD
from ..image_helpers import data_url, make_image, path_of, request_upload


@pytest.fixture
def cleanup(app):
    """A function that runs the cleanup command and returns its summary."""

    def cleanup():
        result = app.test_cli_runner().invoke(args=["images", "cleanup"])
        assert result.exit_code == 0, result.output
        return result.output.splitlines()[-1]

    return cleanup


@pytest.fixture
def execute(app):
    """A function that executes a statement as the app does, with foreign keys enforced."""

    def execute(statement):
        with app.app_context():
            execute_in_transaction(text(statement), {})
            db.session.commit()

    return execute


def add(client, colour="teal"):
    movie = {"title": "Alien", "imageUrl": data_url(make_image(colour=colour))}
    response = client.post("/movies", json=movie)
    assert response.status_code == 201
    return response.json


def test_image_is_deleted_a_day_after_its_last_movie(alice, bob, client, files, cleanup, clock):
    hers, his = add(alice), add(bob)
    client.get(f"{path_of(hers['imageUrl'])}?w=160")
    assert len(files()) == 2
    cleanup()
    alice.delete(f"/movies/{hers['id']}")
    clock.advance(days=2)
    bob.log_in(bob.user["email"])
    assert cleanup() == "Deleted 0 images and 0 stray files."
    assert bob.patch(f"/movies/{his['id']}", json={"imageUrl": None}).status_code == 200

    assert cleanup() == "Deleted 0 images and 0 stray files."
    clock.advance(hours=23)
    assert cleanup() == "Deleted 0 images and 0 stray files."
    assert client.get(path_of(hers["imageUrl"])).status_code == 200
    clock.advance(hours=2)
    assert cleanup() == "Deleted 1 images and 0 stray files."

    assert files() == []
    assert client.get(path_of(hers["imageUrl"])).status_code == 404


def test_retention_starts_when_cleanup_finds_the_image_unused(alice, files, cleanup, clock):
    movie = add(alice)
    clock.advance(hours=25)
    alice.log_in(alice.user["email"])
    assert alice.delete(f"/movies/{movie['id']}").status_code == 204

    assert cleanup() == "Deleted 0 images and 0 stray files."
    clock.advance(hours=23)
    assert cleanup() == "Deleted 0 images and 0 stray files."
    clock.advance(hours=2)
    assert cleanup() == "Deleted 1 images and 0 stray files."
    assert files() == []


def test_reused_image_is_kept_by_cleanup(alice, client, cleanup, clock):
    movie = add(alice)
    alice.delete(f"/movies/{movie['id']}")
    cleanup()
    clock.advance(hours=23)
    alice.log_in(alice.user["email"])
    again = alice.post("/movies", json={"title": "Alien", "imageUrl": movie["imageUrl"]})
    assert again.status_code == 201
    clock.advance(days=3)

    assert cleanup() == "Deleted 0 images and 0 stray files."
    assert client.get(path_of(movie["imageUrl"])).status_code == 200


def test_upload_without_movie_is_deleted(alice, files, cleanup, clock, database):
    upload = request_upload(alice, make_image())
    alice.put(path_of(upload["uploadUrl"]), data=make_image())
    assert cleanup() == "Deleted 0 images and 0 stray files."
    clock.advance(days=1, minutes=1)

    assert cleanup() == "Deleted 1 images and 0 stray files."
    assert files() == []
    assert database.execute("SELECT * FROM uploads") == []


def test_stray_image_files_are_deleted(app, alice, files, cleanup, clock):
    add(alice)
    [kept] = files()
    folder = app.extensions["movies_api"].image_dir
    for name in (".draft-x", "0" * 64, f"{'0' * 64}-160.webp"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - 90_000,) * 2)
    (folder / ".draft-young").write_bytes(b"x")

    assert cleanup() == "Deleted 0 images and 3 stray files."
    assert files() == [".draft-young", kept]


def test_unrelated_files_are_kept(app, alice, files, cleanup):
    folder = app.extensions["movies_api"].image_dir
    add(alice)
    names = ("secret_key", "movies.db", ".secret_key.1", f"{'0' * 64}-161.webp", "0" * 63)
    for name in names:
        (folder / name).write_bytes(b"x")
    for name in ("lost+found", "f" * 64):
        (folder / name).mkdir()
    for path in folder.iterdir():
        os.utime(path, (time.time() - 90_000,) * 2)

    try:
        assert cleanup() == "Deleted 0 images and 0 stray files."
        assert len(files()) == 8
    finally:
        for name in ("lost+found", "f" * 64):
            (folder / name).rmdir()


@pytest.mark.parametrize(
    "statement", ["DELETE FROM images", "UPDATE movies SET image_url = '/images/none'"]
)
def test_database_rejects_deleting_a_used_image(alice, execute, statement):
    add(alice)

    with pytest.raises(IntegrityError):
        execute(statement)


def test_account_deletion_deletes_its_images(app, alice, bob, files, execute, clock):
    shared, hers = add(alice, "red"), add(alice, "green")
    add(bob, "red")
    upload = request_upload(alice, make_image(colour="blue"))
    alice.put(path_of(upload["uploadUrl"]), data=make_image(colour="blue"))
    assert len(files()) == 3
    clock.advance(minutes=2)

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 204
    assert files() == [shared["imageUrl"].rpartition("/")[2]]
    assert bob.get(path_of(hers["imageUrl"])).status_code == 404


def test_account_deletion_deletes_its_unused_images(alice, files, clock):
    first, second = add(alice, "red"), add(alice, "green")
    alice.patch(f"/movies/{first['id']}", json={"imageUrl": None})
    alice.delete(f"/movies/{second['id']}")
    assert len(files()) == 2
    clock.advance(minutes=2)

    assert alice.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert files() == []


def test_account_deletion_keeps_uploads_of_other_users(app, alice, bob, files, execute):
    add(alice)
    upload = request_upload(bob, make_image())
    bob.put(path_of(upload["uploadUrl"]), data=make_image())

    assert alice.delete("/me", json={"password": PASSWORD}).status_code == 204

    assert len(files()) == 1
    assert (
        bob.post("/movies", json={"title": "Alien", "imageUrl": upload["imageUrl"]}).status_code
        == 201
    )
