"""Database outages: /ready and the log report each cause, without secrets."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from time import monotonic

import psycopg2
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from movies_api.db import db
from movies_api.db.outages import CAUSES, cause_of

from ..client import PASSWORD
from ..concurrency import wait_for
from ..conftest import app_for, config_for, migrate
from ..helpers import ANN
from ..servers import free_port, gunicorn, own_postgres

SHORT = {"DB_STATEMENT_TIMEOUT_MS": "300", "DB_LOCK_TIMEOUT_MS": "100"}
MAX_RESPONSE_SECONDS = 3
FILE = {"data": "title\nAlien\n", "content_type": "text/csv"}
SLOW = {
    "postgresql": "SELECT pg_sleep(20)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}


@pytest.fixture
def short_app(empty_database, tmp_path):
    """An app with short time limits, which its database has too, as behind PgBouncer."""
    if empty_database.is_postgresql:
        for name, milliseconds in SHORT.items():
            parameter = name.removeprefix("DB_").removesuffix("_MS").lower()
            empty_database.execute(f"ALTER DATABASE movies_api_empty SET {parameter} = {milliseconds}")  # fmt: skip
    app = app_for(config_for(empty_database.url, tmp_path, **SHORT))
    migrate(app)
    return app


@pytest.fixture
def caller(short_app):
    """Alice, logged in to `short_app`."""
    return short_app.test_client().sign_up("Alice")


def causes(lines):
    """Return the causes logged so far, with their levels."""
    return [(line["cause"], line["level"]) for line in lines() if "cause" in line]


def assert_unavailable(response):
    """Check the response of a service without its database."""
    assert response.status_code == 503
    assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(response.headers["Retry-After"]) > 0
    assert "SELECT" not in response.text


# --- limits


@pytest.fixture
def slow_statement(database, monkeypatch):
    """A slow statement in GET /me."""
    monkeypatch.setattr("movies_api.auth.users.USER", text(SLOW[database.kind]))


def test_statement_timeout_returns_503(caller, slow_statement, lines):
    started = monotonic()

    response = caller.get("/me")

    assert_unavailable(response)
    assert monotonic() - started < MAX_RESPONSE_SECONDS
    assert causes(lines) == [("statement_timeout", "WARNING")]
    assert caller.get("/movies").status_code == 200


def test_lock_timeout_returns_503(caller, empty_database, lines):
    with closing(empty_database.engine.raw_connection()) as other:
        lock = "LOCK TABLE movies" if empty_database.is_postgresql else "BEGIN IMMEDIATE"
        other.cursor().execute(lock)
        for method, path, body in [
            ("POST", "/movies", {"title": "Alien"}),
            ("DELETE", "/me", {"password": PASSWORD}),
        ]:
            started = monotonic()
            assert_unavailable(caller.open(path, method=method, json=body))
            assert monotonic() - started < MAX_RESPONSE_SECONDS
        other.rollback()

    assert causes(lines) == [("lock_timeout", "WARNING")] * 2
    for _ in range(20):
        assert caller.post("/movies", json={"title": "Alien"}).status_code == 201


@pytest.fixture
def locked_user(empty_database):
    """Another connection that locks what an import waits for."""
    with closing(empty_database.engine.raw_connection()) as other:
        lock = (
            "SELECT 1 FROM users FOR UPDATE" if empty_database.is_postgresql else "BEGIN IMMEDIATE"
        )
        other.cursor().execute(lock)
        yield other


def test_import_has_longer_lock_timeout(caller, request):
    other = request.getfixturevalue("locked_user")
    with ThreadPoolExecutor(1) as threads:
        importing = threads.submit(caller.post, "/movies/import", **FILE)
        with pytest.raises(TimeoutError):
            importing.result(0.5)
        other.rollback()

        assert importing.result(20).json["counts"]["added"] == 1


def test_import_timeout_returns_503(short_app, caller, lines, request):
    config = replace(short_app.extensions["movies_api"], db_import_timeout_ms=200)
    short_app.extensions["movies_api"] = config
    other = request.getfixturevalue("locked_user")

    assert_unavailable(caller.post("/movies/import", **FILE))

    other.rollback()
    assert causes(lines)[0][0] in {"lock_timeout", "statement_timeout"}
    assert caller.get("/movies").json["items"] == []


@pytest.mark.slow
def test_import_timeouts_do_not_outlive_the_import(caller, slow_statement):
    assert caller.post("/movies/import", **FILE).status_code == 200

    for _ in range(3):
        started = monotonic()
        assert_unavailable(caller.get("/me"))
        assert monotonic() - started < MAX_RESPONSE_SECONDS


@pytest.mark.only_on("postgresql")
def test_connections_have_timeouts(migrated_app, database):
    with migrated_app.app_context(), db.engine.connect() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }

    assert list(shown.values()) == ["10s", "2s", "1min"]


# --- outages


def ready_and_log(url, tmp_path, lines, **variables):
    """Return the message of /ready for a database URL, and the log lines of the outage."""
    client = app_for(config_for(url, tmp_path, **variables)).test_client()
    for _ in range(3):
        response = client.get("/ready")
        assert_unavailable(response)
    assert_unavailable(client.post("/auth/signup", json=ANN))
    return response.json["error"]["message"], [line for line in lines() if "cause" in line]


@pytest.fixture(scope="module")
def strict_server():
    """A server that requires passwords, with a role for each kind of access error."""
    with own_postgres() as server, closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE ROLE ann LOGIN PASSWORD 's3cr3t-pw'")
        cursor.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        cursor.execute("CREATE ROLE guest LOGIN")
        cursor.execute("CREATE ROLE denied LOGIN")
        file = server.folder / "data" / "pg_hba.conf"
        file.write_text("host all ann 127.0.0.1/32 scram-sha-256\nhost all few,guest,missing_role,postgres 127.0.0.1/32 trust\n")  # fmt: skip
        cursor.execute("SELECT pg_reload_conf()")
        wait_for(lambda: not _can_connect(server, "denied"))
        yield server


def _can_connect(server, user):
    try:
        psycopg2.connect(server.url.replace("postgres@", f"{user}@")).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.fixture
def log_lines(stream):
    """A function that returns the parsed log lines, without a `database`."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"host": "no-such-host.invalid"}, "host_unknown"),
        ({"port": None}, "connection_refused"),
        ({"host": "", "query": {"host": "/nowhere"}}, "connection_refused"),
        ({"username": "missing_role"}, "unknown_role"),
        ({"database": "no_such_database"}, "unknown_database"),
        ({"query": {"sslmode": "verify-full"}}, "tls_failed"),
        ({"query": {"nonsense": "1"}}, "invalid_option"),
    ],
)
def test_wrong_url_is_reported_with_the_fix(strict_server, tmp_path, log_lines, changes, cause):
    url = make_url(strict_server.url).set(password="s3cr3t-pw", **changes)
    if "port" in changes:
        url = url.set(port=free_port())

    message, logged = ready_and_log(url.render_as_string(hide_password=False), tmp_path, log_lines)

    assert message == CAUSES[cause].text
    assert "DATABASE_URL" in message
    [line] = logged  # for four requests
    assert (line["cause"], line["level"]) == (cause, "ERROR")
    assert line["driver"]
    assert "s3cr3t-pw" not in json.dumps(log_lines())


@pytest.mark.parametrize(
    ("user", "cause"),
    [
        ("ann:wr0ng-pw", "password_rejected"),
        ("ann", "password_rejected"),
        ("few", "too_many_connections"),
        ("denied", "access_denied"),
    ],
)
def test_rejected_connection_is_reported_with_the_fix(
    strict_server, tmp_path, log_lines, user, cause
):
    url = strict_server.url.replace("postgres@", f"{user}@")

    message, [line] = ready_and_log(url, tmp_path, log_lines)

    assert message == CAUSES[cause].text
    assert line["cause"] == cause
    assert "wr0ng-pw" not in json.dumps(log_lines())


def test_missing_table_privilege_is_reported(strict_server, tmp_path, log_lines):
    url = strict_server.create_database("owned")
    migrate(app_for(config_for(url, tmp_path)))

    message, [line] = ready_and_log(url.replace("postgres@", "guest@"), tmp_path, log_lines)

    assert message == CAUSES["permission_denied"].text
    assert line["cause"] == "permission_denied"


@pytest.mark.slow
def test_outage_at_startup_is_logged_once():
    url = f"postgresql://ann:s3cr3t-pw@127.0.0.1:{free_port()}/movies"
    with gunicorn(url, workers=1) as service:
        assert service.log.count("connection_refused") == 1
        for _ in range(5):
            assert service.request("GET", "/ready").status == 503
            assert service.request("POST", "/auth/signup", ANN).status == 503
        assert service.request("GET", "/health").status == 200

        assert service.log.count("connection_refused") == 1
        assert service.log.count('"status":503') == 10
        assert "s3cr3t-pw" not in service.log
        assert "Traceback" not in service.log


@pytest.mark.slow
def test_startup_with_available_database_logs_no_outage(app, database):
    with gunicorn(database.url, workers=1) as service:
        assert "cause" not in service.log


@pytest.mark.only_on("postgresql")
def test_locked_table_causes_503s_only_on_its_routes(short_app, empty_database):
    database = empty_database
    with gunicorn(database.url, workers=1, **SHORT) as service:
        token = service.request("POST", "/auth/signup", ANN).json["accessToken"]
        ask = partial(service.request, "GET", "/movies", token=token, timeout=MAX_RESPONSE_SECONDS)
        with closing(database.engine.raw_connection()) as other, ThreadPoolExecutor(3) as threads:
            other.cursor().execute("LOCK TABLE movies")
            responses = [threads.submit(ask) for _ in range(9)]
            for _ in range(5):
                assert service.request("GET", "/health", timeout=1).status == 200
                assert service.request("GET", "/me", token=token, timeout=1).status == 200
            assert {response.result().status for response in responses} == {503}
            other.rollback()

        assert [ask().status for _ in range(20)] == [200] * 20
        assert service.log.count('"cause":"lock_timeout"') == 9
        assert "Traceback" not in service.log


@pytest.mark.only_on("sqlite")
def test_full_database_returns_503(caller, short_app, lines):
    with short_app.app_context():
        event.listen(db.engine, "connect", lambda new, _: new.execute("PRAGMA max_page_count = 1"))
        db.engine.dispose()
    movie = {"title": "Alien", "imageUrl": f"https://example.com/{'x' * 2000}"}

    response = [caller.post("/movies", json=movie) for _ in range(50)][-1]

    assert_unavailable(response)
    assert causes(lines) == [("disk_full", "ERROR")]


def test_sql_error_is_not_an_outage(app, database):
    with app.app_context(), pytest.raises(DBAPIError) as raised, db.engine.connect() as connection:
        connection.exec_driver_sql("SELECT nonsense(")

    assert cause_of(raised.value) is None
