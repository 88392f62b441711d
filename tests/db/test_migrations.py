"""Migrations: up, down, drift, concurrency, and missing extensions."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from shutil import copy, copytree
from threading import Event

import flask_migrate
import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from movies_api.db import db

from ..client import Client
from ..conftest import Database, app_for, config_for, migrate
from ..import_helpers import fill
from ..servers import CHEAP_ARGON2, CHECKOUT, SECRET_KEY

TABLES = {"users", "sessions", "email_changes", "movies", "images", "uploads"}
PRAGMAS = ("foreign_keys", "journal_mode", "busy_timeout")


@pytest.fixture
def empty_app(empty_database, tmp_path):
    """An app on an empty database."""
    return app_for(config_for(empty_database.url, tmp_path))


def tables(database):
    """Return the names of the tables."""
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


LATER = """
from alembic import op
from sqlalchemy import Column, Integer

revision, down_revision = "later", "HEAD"

def upgrade():
    for table in ("users", "movies"):
        op.add_column(table, Column("later", Integer))

def downgrade():
    for table in ("users", "movies"):
        op.drop_column(table, "later")
"""


@pytest.fixture
def later_migrations(tmp_path):
    """The migrations of a later release, which changes two tables."""
    folder = copytree(CHECKOUT / "migrations", tmp_path / "migrations")
    head = ScriptDirectory(str(folder)).get_current_head()
    (folder / "versions" / "later.py").write_text(LATER.replace("HEAD", head))
    return str(folder)


def down(app):
    """Downgrade to before the first migration."""
    with app.app_context():
        flask_migrate.downgrade(directory=str(CHECKOUT / "migrations"), revision="base")


def start_upgrade(url, tmp_path, directory="migrations"):
    """Start the upgrade command in a process."""
    variables = {
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET_KEY,
        "INSTANCE_DIR": str(tmp_path),
        **CHEAP_ARGON2,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", "--directory", directory],
        cwd=CHECKOUT,
        env={"PATH": os.environ.get("PATH", os.defpath), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_upgrade_downgrade_and_upgrade(empty_database, empty_app):
    migrate(empty_app)
    assert tables(empty_database) == TABLES

    down(empty_app)
    assert tables(empty_database) == set()

    migrate(empty_app)
    assert tables(empty_database) == TABLES
    empty_app.test_client().sign_up("Alice")


def test_second_upgrade_changes_nothing(empty_database, empty_app):
    migrate(empty_app)
    empty_app.test_client().sign_up("Alice")

    migrate(empty_app)

    assert empty_database.execute("SELECT count(*) FROM users") == [(1,)]


def test_data_survives_each_downgrade_and_upgrade(empty_database, empty_app):
    folder = str(CHECKOUT / "migrations")
    migrate(empty_app)
    alice = empty_app.test_client().sign_up("Alice")
    alice.post("/auth/tokens", json={"name": "script"})
    for title in ("Amélie", "WALL·E"):
        alice.post("/movies", json={"title": title, "year": "2001", "rating": 9, "notes": "Good."})
    kept = "SELECT title, year, search_key, title_key, version, created_at FROM movies ORDER BY id"
    before = empty_database.execute(kept)
    older = [each.revision for each in ScriptDirectory(folder).walk_revisions()][1:]

    with empty_app.app_context():
        for revision in older:
            flask_migrate.downgrade(directory=folder, revision=revision)
            assert empty_database.execute(kept) == before
        for revision in [*older[::-1][1:], "head"]:
            flask_migrate.upgrade(directory=folder, revision=revision)
            assert empty_database.execute(kept) == before

    assert empty_database.execute("SELECT email, movie_count FROM users") == [
        (alice.user["email"], 2)
    ]
    alice = empty_app.test_client().log_in(alice.user["email"])
    assert alice.post("/movies", json={"title": "Heat", "rating": 9}).status_code == 201
    assert alice.get("/movies?search=wall-e").json["meta"]["total"] == 1
    down(empty_app)
    assert tables(empty_database) == set()


def test_rebuild_the_keys_of_titles(empty_database, empty_app):
    """More movies than a batch, as an earlier release has left them."""
    folder = str(CHECKOUT / "migrations")
    script = ScriptDirectory(folder).get_revision("0004")
    migrate(empty_app)
    alice = empty_app.test_client().sign_up("Alice")
    fill(empty_database, alice.user["id"], 2001)
    alice.post("/movies", json={"title": "The WALL·E 10"})
    fresh = empty_database.execute("SELECT id, search_key, title_key FROM movies ORDER BY id")
    with empty_app.app_context():
        flask_migrate.downgrade(directory=folder, revision=script.down_revision)
    empty_database.execute("UPDATE movies SET search_key = lower(title), title_key = lower(title)")

    migrate(empty_app)

    found = empty_database.execute("SELECT id, search_key, title_key FROM movies ORDER BY id")
    assert found[-1] == fresh[-1]
    assert [row.search_key for row in found] == [row.search_key for row in fresh]
    assert found[9].title_key == "movie 210"
    assert alice.get("/movies?search=wall-e").json["meta"]["total"] == 1


def test_migrations_match_the_models(migrated_app, database):
    with migrated_app.app_context():
        flask_migrate.check(directory=str(CHECKOUT / "migrations"))


def test_nullability_matches_the_models(app, database):
    """Autogenerate does not compare it on every database."""
    found = inspect(database.engine)

    for table in db.metadata.sorted_tables:
        nullable = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert nullable == {column.name: column.nullable for column in table.columns}


def test_models_match_with_default_alembic_settings(app, database):
    """No difference, except for indexes that not every database supports."""
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), db.metadata)

    names = [change[1].name for change in differences if change[0] == "remove_index"]
    assert [change for change in differences if change[0] != "remove_index"] == []
    assert set(names) <= {"ix_movies_search", "ix_movies_created", "ix_movies_owner_start"}


def test_user_delete_cascades(alice, bob, database):
    for client in (alice, bob):
        client.post("/movies", json={"title": "Alien"})
    with database.engine.connect() as connection:
        if not database.is_postgresql:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql("DELETE FROM users WHERE email = 'alice@example.com'")
        connection.commit()

    assert database.execute("SELECT count(*) FROM movies") == [(1,)]
    assert database.execute("SELECT count(*) FROM sessions") == [(1,)]
    assert bob.get("/movies").json["meta"]["total"] == 1


@pytest.mark.only_on("sqlite")
def test_app_sets_sqlite_pragmas(migrated_app, database):
    with migrated_app.app_context(), db.engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}

    assert found["foreign_keys"] == 1
    assert found["journal_mode"] == "wal"
    assert found["busy_timeout"] >= 1000


@pytest.mark.slow
def test_concurrent_upgrades_wait_for_each_other(empty_database, tmp_path):
    started = [start_upgrade(empty_database.url, tmp_path) for _ in range(3)]

    outputs = [process.communicate(timeout=60)[0] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert tables(empty_database) == TABLES
    assert len(empty_database.execute("SELECT version_num FROM alembic_version")) == 1


@pytest.mark.slow
def test_upgrade_of_newer_database_succeeds(empty_database, empty_app, tmp_path):
    migrate(empty_app)
    empty_database.execute("UPDATE alembic_version SET version_num = '9999'")

    output = (process := start_upgrade(empty_database.url, tmp_path)).communicate(timeout=60)[0]

    assert process.returncode == 0, output
    assert "newer" in output
    assert empty_database.execute("SELECT version_num FROM alembic_version") == [("9999",)]
    assert tables(empty_database) == TABLES


@pytest.mark.only_on("postgresql")
def test_upgrade_waits_for_open_transaction(empty_database, empty_app, tmp_path, later_migrations):
    migrate(empty_app)
    with closing(empty_database.engine.raw_connection()) as other:
        other.cursor().execute("UPDATE movies SET title = title")
        process = start_upgrade(empty_database.url, tmp_path, later_migrations)
        first = process.stdout.readline()
        while "attempt 2" not in first:
            assert first, "the process ended"
            first = process.stdout.readline()
        other.rollback()

    output = process.communicate(timeout=60)[0]

    assert process.returncode == 0, output
    assert tables(empty_database) == TABLES


@pytest.mark.only_on("postgresql")
def test_upgrade_does_not_deadlock_with_writes(empty_database, empty_app, later_migrations):
    """Upgrade and downgrade repeatedly during writes."""
    migrate(empty_app)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    is_stopped = Event()

    def write(number):
        with closing(psycopg2.connect(empty_database.url)) as connection:
            count, cursor = 0, connection.cursor()
            while not is_stopped.is_set():  # the lock order of DELETE /me, and its reverse
                for table in ("users", "movies")[:: (-1) ** number]:
                    cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
                    cursor.execute("SELECT pg_sleep(0.01)")
                connection.commit()
                count += 1
                is_stopped.wait(0.1)
            return count

    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, number) for number in range(2)]
        try:
            for _ in range(3):
                with empty_app.app_context():
                    flask_migrate.upgrade(directory=later_migrations)
                    flask_migrate.downgrade(directory=later_migrations)
        finally:
            is_stopped.set()

        assert all(writer.result() > 0 for writer in writers)  # no writer failed
    assert empty_database.execute(deadlocks) == [(0,)]


@pytest.mark.slow
def test_upgrade_accepts_the_postgres_url_scheme(empty_database, tmp_path):
    url = empty_database.url.replace("postgresql://", "postgres://")

    output = (process := start_upgrade(url, tmp_path)).communicate(timeout=60)[0]

    assert process.returncode == 0, output
    assert tables(empty_database) == TABLES


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_upgrade_names_the_cause_of_an_outage(tmp_path):
    process = start_upgrade("postgresql://ann:secret@127.0.0.1:9/movies", tmp_path)

    output = process.communicate(timeout=60)[0].splitlines()

    assert process.returncode == 1
    assert [line for line in output if line.startswith("Error: DATABASE_URL: connection refused")]
    assert not [line for line in output if "secret" in line or "Traceback" in line]


@pytest.mark.slow
def test_package_without_a_checkout_asks_for_one(tmp_path):
    copytree(CHECKOUT / "movies_api", tmp_path / "movies_api")
    copy(CHECKOUT / "wsgi.py", tmp_path)

    run = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"],
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 1
    assert run.stderr == f"{tmp_path / 'migrations'} is missing: run the service from a checkout.\n"


@pytest.mark.only_on("postgresql")
def test_upgrade_succeeds_without_pg_trgm(database, server, tmp_path, request):
    url = server.create_database("movies_api_plain")
    request.addfinalizer(lambda: server.drop_database("movies_api_plain"))
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS movies_api_plain")
        cursor.execute("CREATE ROLE movies_api_plain LOGIN PASSWORD 'plain'")
        cursor.execute("GRANT USAGE, CREATE ON SCHEMA public TO movies_api_plain")
    connection.close()
    host = url.partition("@")[2]
    app = app_for(config_for(f"postgresql://movies_api_plain:plain@{host}", tmp_path))

    migrate(app)

    alice: Client = app.test_client().sign_up("Alice")
    alice.post("/movies", json={"title": "Amélie"})
    assert alice.get("/movies?search=amelie").json["meta"]["total"] == 1
    plain = Database("postgresql", url)
    assert plain.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'") == []
    down(app)
    assert tables(plain) == set()
    plain.execute("REVOKE ALL ON SCHEMA public FROM movies_api_plain")
    plain.execute("DROP OWNED BY movies_api_plain")
    plain.execute("DROP ROLE movies_api_plain")


@pytest.mark.only_on("postgresql")
def test_search_index_uses_pg_trgm(database, app):
    [(definition,)] = database.execute(
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_movies_search'"
    )

    assert "gin_trgm_ops" in definition
    assert "gin_pending_list_limit='64'" in definition
