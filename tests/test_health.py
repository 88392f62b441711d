"""GET /health and GET /ready."""

import pytest

from .conftest import app_for, config_for, migrate


@pytest.fixture
def unmigrated(empty_database, tmp_path):
    """An app whose database is there, and empty."""
    return app_for(config_for(empty_database.url, tmp_path))


def test_the_process_lives(client):
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}
    assert client.statements == []


def test_the_service_is_ready(client):
    response = client.get("/ready")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}


def test_a_database_without_tables_is_not_ready_and_says_why(unmigrated):
    response = unmigrated.test_client().get("/ready")

    assert response.status_code == 503
    assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert "igration" in response.json["error"]["message"]


def test_becomes_ready_by_migrating(unmigrated):
    client = unmigrated.test_client()
    assert client.get("/ready").status_code == 503

    migrate(unmigrated)

    assert client.get("/ready").status_code == 200


def test_an_older_or_newer_database_is_not_ready(client, database):
    [(version,)] = database.execute("SELECT version_num FROM alembic_version")
    database.execute("UPDATE alembic_version SET version_num = 'another'")
    try:
        response = client.get("/ready")
    finally:
        database.execute("UPDATE alembic_version SET version_num = :version", {"version": version})

    assert response.status_code == 503
    assert "igration" in response.json["error"]["message"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_takes_no_parameters(client, path):
    response = client.get(f"{path}?verbose=1")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["verbose"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_head_answers_too(client, path):
    response = client.head(path)

    assert response.status_code == 200
    assert response.data == b""
