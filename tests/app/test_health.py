"""GET /health and GET /ready."""

import os
from time import monotonic
from unittest.mock import Mock

import pytest

from movies_api.db import db

from ..conftest import app_for, config_for, migrate
from ..helpers import ANN


@pytest.fixture
def unmigrated(empty_database, tmp_path):
    """An app on an empty database."""
    return app_for(config_for(empty_database.url, tmp_path))


def test_health_returns_200(client):
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}
    assert client.statements == []


def test_ready_returns_200(client):
    response = client.get("/ready")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}


def test_unmigrated_database_is_not_ready(unmigrated):
    response = unmigrated.test_client().get("/ready")

    assert response.status_code == 503
    assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert "igration" in response.json["error"]["message"]


def test_migration_makes_the_service_ready(unmigrated):
    client = unmigrated.test_client()
    assert client.get("/ready").status_code == 503

    migrate(unmigrated)

    assert client.get("/ready").status_code == 200


@pytest.fixture
def at_revision(database):
    """A function that sets the revision of the database."""
    [(version,)] = database.execute("SELECT version_num FROM alembic_version")

    def change(revision):
        database.execute("UPDATE alembic_version SET version_num = :to", {"to": revision})

    yield change
    change(version)


def test_outdated_database_is_not_ready_and_names_the_command(client, at_revision, monkeypatch):
    at_revision("0001")
    monkeypatch.setattr("movies_api.health._older_revisions", lambda _: {"0001"})

    response = client.get("/ready")

    assert response.status_code == 503
    assert "Run `flask --app wsgi db upgrade`" in response.json["error"]["message"]


def test_newer_database_is_ready(client, at_revision):
    at_revision("9999")

    assert client.get("/ready").status_code == 200


def test_empty_revision_table_is_not_ready(client, database):
    [(version,)] = database.execute("SELECT version_num FROM alembic_version")
    database.execute("DELETE FROM alembic_version")
    try:
        response = client.get("/ready")
    finally:
        database.execute("INSERT INTO alembic_version VALUES (:version)", {"version": version})

    assert response.status_code == 503


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("modes", [(0o444, 0o777), (0o444, 0o555), (0o644, 0o555)])
def test_read_only_database_file_is_not_ready(unmigrated, tmp_path, modes):
    migrate(unmigrated)
    with unmigrated.app_context():
        db.engine.dispose()
    file = tmp_path / "empty.db"
    file.chmod(modes[0])
    tmp_path.chmod(modes[1])
    user = os.geteuid()
    if user == 0:  # root ignores file modes
        os.chown(file, 65534, 65534)
        os.chown(tmp_path, 65534, 65534)
        os.seteuid(65534)
    try:
        response = unmigrated.test_client().get("/ready")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o755)

    assert response.status_code == 503
    assert "database file" in response.json["error"]["message"]
    assert str(tmp_path) not in response.text


@pytest.mark.only_on("sqlite")
def test_full_disk_is_not_ready(client, monkeypatch):
    monkeypatch.setattr("movies_api.health.disk_usage", lambda _: Mock(free=4096))

    response = client.get("/ready")

    assert response.status_code == 503
    assert "disk" in response.json["error"]["message"]


@pytest.mark.only_on("sqlite")
def test_damaged_database_file_is_not_ready(unmigrated, tmp_path):
    (tmp_path / "empty.db").write_text("This is no database. " * 100)

    response = unmigrated.test_client().get("/ready")

    assert response.status_code == 503
    assert "damaged" in response.json["error"]["message"]


@pytest.mark.only_on("sqlite")
def test_write_lock_does_not_delay_ready(client, database):
    with database.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        started = monotonic()
        response = client.get("/ready")
        other.exec_driver_sql("ROLLBACK")

    assert response.status_code == 200
    assert monotonic() - started < 1


@pytest.mark.only_on("postgresql")
def test_read_only_server_is_not_ready(database, make_app):
    option = "options=-cdefault_transaction_read_only%3Don"
    app = make_app(DATABASE_URL=f"{database.url}?{option}")

    response = app.test_client().get("/ready")

    assert response.status_code == 503
    assert "read-only" in response.json["error"]["message"]
    assert app.test_client().post("/auth/signup", json=ANN).status_code == 503


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_with_parameter_returns_400(client, path):
    response = client.get(f"{path}?verbose=1")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["verbose"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_head_of_health_returns_200(client, path):
    response = client.head(path)

    assert response.status_code == 200
    assert response.data == b""
