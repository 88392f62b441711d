"""flask backup and flask restore."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from time import sleep
from types import SimpleNamespace
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import flask_migrate
import pytest
import sqlalchemy as sa
from flask.cli import FlaskGroup

from movies_api.db import db

from ..client import PASSWORD
from ..conftest import app_for, config_for, migrate
from ..image_helpers import data_url, make_image
from ..servers import CHECKOUT, SECRET_KEY, s3

NEW_PASSWORD = "an even better battery"


def run(app, *words, fails=False):
    """Run a command and return what it prints."""
    result = app.test_cli_runner().invoke(FlaskGroup(), [str(word) for word in words])
    assert (result.exit_code != 0) is fails, result.output
    assert "Traceback" not in result.output
    return result.output


def content_of(app):
    """Return every row, in every column, and every image."""
    rows = {}
    with app.app_context(), db.engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            statement = sa.select(table).order_by(*table.primary_key)
            rows[table.name] = [tuple(row) for row in connection.execute(statement)]
    folder = app.extensions["movies_api"].image_dir
    return rows, {path.name: path.read_bytes() for path in folder.glob("*") if "-" not in path.name}


def fill(app):
    """Use every table; return Ann, whose last movie is deleted, and the id it had."""
    alice, bob = app.test_client().sign_up("Ann"), app.test_client().sign_up("Bob")
    for person, color in ((alice, "red"), (bob, "blue")):
        image = data_url(make_image(size=(40, 30), colour=color))
        body = {"title": f"Amélie, {color}\u2028😀", "year": "2001", "imageUrl": image, "rating": 9}
        body |= {"watchedOn": "2026-01-31", "notes": 'Line\n"two"\\', "year": None}
        assert person.post("/movies", json=body).status_code == 201
    upload = alice.post("/images", json={"contentType": "image/png", "size": 300}).json
    assert upload["imageUrl"]
    alice.post("/auth/tokens", json={"name": "Script"})
    alice.patch("/me", json={"email": "anna@example.com", "currentPassword": PASSWORD})
    deleted = alice.post("/movies", json={"title": "Deleted"}).json["id"]
    assert alice.delete(f"/movies/{deleted}").status_code == 204
    return alice, deleted


@pytest.fixture
def source(database, empty_database, tmp_path):
    """An app on a database of its own."""
    app = app_for(config_for(empty_database.url, tmp_path / "source"))
    migrate(app)
    return app


def test_restore_returns_every_row_image_and_session(app, source, files, tmp_path):
    alice, deleted = fill(source)
    before = content_of(source)
    run(source, "backup", tmp_path / "a.zip")

    output = run(app, "restore", tmp_path / "a.zip")

    assert content_of(app) == before
    assert len(before[1]) == 2
    assert "SECRET_KEY" not in output
    restored = app.test_client()
    restored.token = alice.token
    assert [movie["rating"] for movie in restored.get("/movies").json["items"]] == [9]
    restored.refresh_token = alice.refresh_token
    assert restored.post("/auth/refresh").status_code == 200
    assert restored.post("/movies", json={"title": "Alien"}).json["id"] > deleted


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("to", ["postgresql", "sqlite"])
def test_a_backup_moves_to_the_other_kind_of_database(app, files, tmp_path, to):
    apps = [app, app_for(config_for(f"sqlite:///{tmp_path}/movies.db", tmp_path / "other"))]
    source, target = apps if to == "sqlite" else reversed(apps)
    migrate(source)
    alice, deleted = fill(source)
    run(source, "backup", tmp_path / "a.zip")

    run(target, "restore", tmp_path / "a.zip")

    assert content_of(target) == content_of(source)
    client = target.test_client()
    client.token = alice.token
    assert client.post("/movies", json={"title": "Alien"}).json["id"] > deleted
    assert client.get("/movies").json["meta"]["total"] == 2


def test_a_backup_under_load_is_of_one_moment(app, source, files, tmp_path):
    alice = source.test_client().sign_up("Alice")
    is_done, added = Event(), []

    def add_movies():
        while not is_done.is_set():
            body = {"title": f"Movie {len(added)}", "imageUrl": data_url(make_image(size=(9, 9)))}
            added.append(alice.post("/movies", json=body).status_code)

    with ThreadPoolExecutor(1) as threads:
        adding = threads.submit(add_movies)
        try:
            while len(added) < 5 and not adding.done():
                sleep(0.01)
            run(source, "backup", tmp_path / "a.zip")
        finally:
            is_done.set()
        adding.result()
    run(app, "restore", tmp_path / "a.zip")

    assert set(added) == {201}
    rows, images = content_of(app)
    assert 5 <= len(rows["movies"]) <= len(added)
    [user] = rows["users"]
    assert len(rows["movies"]) in user  # movie_count
    assert set(images) == {image[0] for image in rows["images"]}


def test_a_deleted_embedded_service_is_restored_with_its_key(app, database, tmp_path):
    folder = tmp_path / "instance"
    embedded = app_for(config_for("", folder, SECRET_KEY=""))
    migrate(embedded)
    alice, _ = fill(embedded)
    before = content_of(embedded)
    run(embedded, "backup", tmp_path / "a.zip")
    with embedded.app_context():
        db.engine.dispose()
    shutil.rmtree(folder)

    output = run(app_for(config_for("", folder, SECRET_KEY="")), "restore", tmp_path / "a.zip")

    assert "Restart the service" in output
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
    again = app_for(config_for("", folder, SECRET_KEY=""))
    assert content_of(again) == before
    client = again.test_client()
    client.token = alice.token
    assert client.get("/me").status_code == 200


def test_another_secret_key_is_reported(app, make_app, tmp_path):
    run(app, "backup", tmp_path / "a.zip")

    output = run(make_app(SECRET_KEY=SECRET_KEY[::-1]), "restore", tmp_path / "a.zip")

    assert "set it to the old key" in output


def test_restore_replaces_data_only_with_force(app, files, alice, bob, tmp_path):
    run(app, "backup", tmp_path / "a.zip")
    before = content_of(app)
    response = bob.post("/movies", json={"title": "Alien"})
    assert response.status_code == 201
    after = content_of(app)

    assert "--force" in run(app, "restore", tmp_path / "a.zip", fails=True)
    assert content_of(app) == after
    run(app, "restore", "--force", tmp_path / "a.zip")
    assert content_of(app) == before


def test_end_sessions_restores_no_session_and_no_former_password(app, alice, client, tmp_path):
    alice.post("/auth/tokens", json={"name": "Script"})
    run(app, "backup", tmp_path / "a.zip")
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert alice.put("/me/password", json=body).status_code == 204

    run(app, "restore", "--force", "--end-sessions", tmp_path / "a.zip")

    assert content_of(app)[0]["sessions"] == []
    assert alice.get("/me").status_code == 401
    login = {"email": "alice@example.com", "password": PASSWORD}
    assert client.post("/auth/login", json=login).status_code == 401
    login["password"] = NEW_PASSWORD
    assert client.post("/auth/login", json=login).status_code == 200


@pytest.fixture
def embedded(tmp_path):
    """An app on a SQLite file, the format of every backup."""
    app = app_for(config_for(f"sqlite:///{tmp_path}/old.db", tmp_path / "embedded"))
    migrate(app)
    return app


def test_a_backup_of_an_older_release_is_migrated(app, embedded, files, tmp_path):
    fill(embedded)
    with embedded.app_context():
        flask_migrate.downgrade(directory=str(CHECKOUT / "migrations"), revision="-1")
    run(embedded, "backup", tmp_path / "a.zip")

    run(app, "restore", tmp_path / "a.zip")

    rows, images = content_of(app)
    assert (len(rows["users"]), len(rows["movies"]), len(images)) == (2, 2, 2)
    assert app.test_client().get("/ready").status_code == 200


def test_a_database_of_another_release_is_not_overlooked(app, embedded, database, tmp_path):
    set_revision = "UPDATE alembic_version SET version_num = "
    [[revision]] = database.execute("SELECT version_num FROM alembic_version")
    database.execute(f"{set_revision}'9999'")
    try:
        output = run(app, "backup", tmp_path / "a.zip", fails=database.is_postgresql)
    finally:
        database.execute(f"{set_revision}'{revision}'")
    if database.is_postgresql:
        assert "use that release" in output
        return
    assert "newer release" in run(app, "restore", "--force", tmp_path / "a.zip", fails=True)


def test_a_new_table_is_included(app, source, monkeypatch, tmp_path):
    columns = (
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("blob", sa.LargeBinary),
        sa.Column("ratio", sa.Float),
        sa.Column("extra", sa.JSON(none_as_null=True)),
    )
    table = sa.Table("future", db.metadata, *columns)
    rows = [(1, b"\0\xff", 0.5, {"a": [1]}), (7, None, None, None)]
    upgrade = flask_migrate.upgrade

    def upgrade_and_create():
        upgrade(directory=str(CHECKOUT / "migrations"))
        table.create(db.engine, checkfirst=True)

    monkeypatch.setattr(flask_migrate, "upgrade", upgrade_and_create)
    try:
        for each in (app, source):
            with each.app_context():
                upgrade_and_create()
        with source.app_context(), db.engine.connect() as connection:
            connection.execute(
                table.insert(), [dict(zip(table.c.keys(), row, strict=True)) for row in rows]
            )
        run(source, "backup", tmp_path / "a.zip")
        run(app, "restore", tmp_path / "a.zip")
        assert content_of(app)[0]["future"] == rows
        with app.app_context(), db.engine.connect() as connection:
            connection.execute(table.insert(), {"ratio": 1})
        assert content_of(app)[0]["future"][-1][0] == 8
    finally:
        with app.app_context():
            table.drop(db.engine)
        db.metadata.remove(table)


def test_a_file_that_cannot_be_restored_changes_nothing(app, files, alice, tmp_path):
    fill(app)
    path = tmp_path / "a.zip"
    run(app, "backup", path)
    before, data = content_of(app), path.read_bytes()
    middle = len(data) // 4
    damaged = [data[: len(data) // 2], b"garbage", data[:middle] + b"?!" + data[middle + 2 :]]

    for content in damaged:
        path.write_bytes(content)
        assert "damaged" in run(app, "restore", "--force", path, fails=True)
    assert content_of(app) == before


def test_backups_are_private_and_old_ones_are_deleted(app, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "movies-20200101T000000Z.zip").touch()
    (folder / "movies-20210101T000000Z.zip").touch()
    (folder / "other.zip").touch()

    output = run(app, "backup", folder, "--keep", "2")

    assert "Deleted" in output
    [kept, new] = sorted(folder.glob("movies-*"))
    assert kept.name == "movies-20210101T000000Z.zip"
    assert new.stat().st_mode & 0o777 == 0o600
    assert len(list(folder.iterdir())) == 3


def test_a_backup_that_cannot_be_written_is_an_error(app, tmp_path):
    assert "No such file" in run(app, "backup", tmp_path / "missing" / "a.zip", fails=True)
    assert "requires a directory" in run(app, "backup", tmp_path / "a", "--keep", "2", fails=True)


def test_a_database_without_tables_is_an_error(empty_database, tmp_path):
    app = app_for(config_for(empty_database.url, tmp_path))

    assert "db upgrade" in run(app, "backup", tmp_path / "a.zip", fails=True)
    assert not (tmp_path / "a.zip").exists()


def test_a_deleted_image_is_reported(app, files, tmp_path):
    fill(app)
    next(app.extensions["movies_api"].image_dir.iterdir()).unlink()

    assert "1 images" in run(app, "backup", tmp_path / "a.zip")
    run(app, "restore", "--force", tmp_path / "a.zip")


def test_a_file_that_is_no_backup_changes_nothing(app, files, alice, tmp_path):
    alice.post("/movies", json={"title": "Alien"})
    path, before = tmp_path / "a.zip", content_of(app)
    run(app, "backup", path)
    with ZipFile(path) as archive:
        good = {name: archive.read(name) for name in archive.namelist()}
    database = tmp_path / "movies.db"

    def altered(*statements):
        database.write_bytes(good["movies.db"])
        with closing(sqlite3.connect(database)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return {**good, "movies.db": database.read_bytes()}

    outside = {f"images/../../{'a' * 64}": b"x", "../../a": b"x", "/etc/x": b"x", **good}
    attacks = {
        "another program's ZIP": {"ratings.csv": b"Date,Name"},
        "no database": {**good, "movies.db": b"text"},
        "empty database": {**good, "movies.db": b""},
        "invalid manifest": {**good, "manifest.json": b"[]"},
        "large manifest": {**good, "manifest.json": b" " * 10_000_000 + good["manifest.json"]},
        "invalid key": {**good, "secret_key": b"short"},
        "wrong type": altered("UPDATE users SET id = 'x'"),
        "wrong time": altered("UPDATE movies SET created_at = 7"),
        "no owner": altered("UPDATE movies SET owner_id = '" + "0" * 32 + "'"),
        "no column": altered("ALTER TABLE users RENAME COLUMN theme TO x"),
        "no table": altered("DROP TABLE uploads"),
        "a view without an end": altered(
            "DROP TABLE uploads",
            "CREATE VIEW uploads AS WITH RECURSIVE a(id) AS (SELECT 1 UNION ALL SELECT id FROM a) "
            "SELECT id, id AS owner_id, id AS key, id AS size FROM a",
        ),
    }
    for name, parts in attacks.items():
        write_zip(path, parts)
        output = run(app, "restore", "--force", path, fails=True)
        assert "Error: " in output, name
        assert content_of(app) == before, name
    write_zip(path, outside)
    run(app, "restore", "--force", path)
    assert content_of(app) == before
    assert files() == []


def write_zip(path, parts):
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            link = ZipInfo(name)
            link.external_attr = 0o120777 << 16  # a symbolic link
            archive.writestr(link, part, ZIP_DEFLATED)


def test_an_archive_that_would_fill_the_disk_is_rejected(app, tmp_path, monkeypatch):
    run(app, "backup", tmp_path / "a.zip")
    monkeypatch.setattr("movies_api.backup.disk_usage", lambda _: SimpleNamespace(free=1000))

    assert "TMPDIR" in run(app, "restore", "--force", tmp_path / "a.zip", fails=True)


@pytest.fixture
def buckets(make_app, database, tmp_path, monkeypatch):
    """A function that returns an app with its images in a bucket, and a client of S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with s3() as url:
        settings = {"S3_BUCKET": "images", "S3_ENDPOINT_URL": url, "S3_REGION": "us-east-1"}
        app = make_app(**settings)
        client = app.extensions["images"].client
        for name in ("images", "backups"):
            client.create_bucket(Bucket=name)
        yield app, client


def test_backups_to_a_bucket(buckets, alice, tmp_path):
    app, client = buckets
    image = app.test_client()
    image.token = alice.token
    body = {"title": "Alien", "imageUrl": data_url(make_image(size=(40, 30)))}
    assert image.post("/movies", json=body).status_code == 201
    [stored] = app.extensions["images"].names("images/")
    before = content_of(app)[0]
    others = ["daily/movies-20200101T000000Z.zip", "daily/movies-20210101T000000Z.zip"]
    kept = ["daily/notes.txt", "movies-20200101T000000Z.zip"]
    for name in others + kept:
        client.put_object(Bucket="backups", Key=name, Body=b"")

    run(app, "backup", "--to", "s3://backups/daily/", "--keep", "2")

    found = {each["Key"] for each in client.list_objects_v2(Bucket="backups")["Contents"]}
    [new] = found - {*others, *kept}
    assert found == {new, others[1], *kept}
    client.delete_object(Bucket="images", Key=stored.name)
    run(app, "restore", "--force", f"s3://backups/{new}")
    assert content_of(app)[0] == before
    assert [each.size for each in app.extensions["images"].names("images/")] == [stored.size]
    assert "does not exist" in run(app, "restore", "s3://backups/none.zip", fails=True)


def test_a_failed_upload_leaves_no_object(buckets, app, tmp_path, monkeypatch):
    with_bucket, client = buckets
    assert "NoSuchBucket" in run(with_bucket, "backup", "--to", "s3://none/a", fails=True)
    assert "S3_BUCKET is not set" in run(app, "backup", "--to", "s3://backups/failed", fails=True)
    assert "Name a file" in run(app, "backup", fails=True)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("movies_api.backup._write_parts", fail)
    assert "No space" in run(with_bucket, "backup", "--to", "s3://backups/failed", fails=True)
    assert "No space" in run(with_bucket, "backup", tmp_path / "a.zip", fails=True)
    assert client.list_objects_v2(Bucket="backups", Prefix="failed")["KeyCount"] == 0
    assert not list(tmp_path.glob("*a.zip*")) + list(tmp_path.glob(".backup*"))
