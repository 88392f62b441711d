"""Log lines: one JSON line per request, without secrets."""

import json
import logging
from importlib import import_module

import pytest

from movies_api.logs import TextFormatter

from ..client import PASSWORD

KEYS = {"time", "level", "message", "requestId", "method", "path", "status", "ms", "userId"}


def test_request_logs_one_line(alice, lines):
    before = len(lines())

    response = alice.get("/movies?search=alien")

    [line] = lines()[before:]
    assert set(line) == KEYS
    assert line["level"] == "INFO"
    assert line["requestId"] == response.headers["X-Request-ID"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/movies", 200)
    assert line["userId"] == alice.user["id"]
    assert 0 < line["ms"] < 10_000
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/me", 401),
        ("POST", "/health", 405),
        ("POST", "/auth/login", 415),
    ],
)
def test_rejected_request_logs_one_line(client, lines, method, path, status):
    body = {"data": "x", "content_type": "text/plain"} if status == 415 else {}

    response = client.open(path, method=method, **body)

    assert response.status_code == status
    [line] = lines()
    assert (line["path"], line["status"], line["userId"]) == (path, status, None)
    assert line["requestId"] == response.headers["X-Request-ID"]


def test_login_logs_the_user_id(alice, lines):
    alice.log_in("alice@example.com")

    assert lines()[-1]["userId"] == alice.user["id"]


def test_internal_error_logs_a_traceback(alice, lines, monkeypatch):
    def fail(*_):
        raise RuntimeError("something is broken")

    monkeypatch.setattr(import_module("movies_api.movies.views"), "fetch_page", fail)

    response = alice.get("/movies")

    assert response.status_code == 500
    logged = [
        line for line in lines() if line["level"] == "ERROR" and "something is broken" in str(line)
    ]
    assert logged
    assert "Traceback" in json.dumps(logged)
    assert response.headers["X-Request-ID"] in json.dumps(logged)


def test_log_contains_no_secrets(alice, client, stream, database, monkeypatch):
    secrets = {PASSWORD, "wrong password", "alice@example.com", "ann@example.com", "not an email"}
    secrets |= {alice.token, alice.refresh_token}
    client.post(
        "/auth/signup", json={"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
    )
    client.post("/auth/login", json={"email": "alice@example.com", "password": "wrong password"})
    client.post("/auth/login", json={"email": "not an email", "password": PASSWORD})
    client.post(
        "/auth/login", json={"email": "alice@example.com", "password": PASSWORD, "secret": PASSWORD}
    )
    client.get(
        f"/me?token={alice.token}&password={PASSWORD}",
        headers={"Authorization": f"Basic {PASSWORD}"},
    )
    alice.post("/auth/refresh")
    secrets |= {alice.refresh_token}
    alice.get("/me", headers={"X-Request-ID": f"{PASSWORD}\n"[:-1]})
    alice.post("/auth/logout")
    database.execute("UPDATE alembic_version SET version_num = version_num")

    written = stream.getvalue()
    assert len(written.splitlines()) == 8 + 3  # audit: signup, failed login, logout
    assert [secret for secret in secrets if secret in written] == []


@pytest.mark.only_on("postgresql")  # SQLite does not limit text lengths
def test_database_error_logs_no_values(client, stream, monkeypatch):
    views = import_module("movies_api.auth.views")
    real = views.add_user
    monkeypatch.setattr(
        views, "add_user", lambda name, email, password_hash: real(name, email, "x" * 300)
    )

    response = client.post(
        "/auth/signup", json={"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
    )

    assert response.status_code == 500
    assert "Traceback" in stream.getvalue()
    assert "ann@example.com" not in stream.getvalue()
    assert "xxx" not in stream.getvalue()


def test_log_line_cannot_be_forged(client, lines):
    client.get("/a%0a{}%0db%1b[31m", headers={"X-Request-ID": "x", "User-Agent": "y"})

    [line] = lines()
    assert line["path"] == "/a\n{}\rb\x1b[31m"


def test_text_format_contains_the_same_fields():
    record = logging.LogRecord("movies_api", logging.INFO, "", 0, "request", None, None)
    record.fields = {"method": "GET", "path": "/a\nb", "status": 200}

    line = TextFormatter("%(levelname)s %(message)s").format(record)

    assert line.startswith("INFO")
    assert "GET" in line
    assert "200" in line
    assert "\n" not in line
