"""Log lines: one JSON line per request, without secrets."""

import gzip
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import pytest

from movies_api.logs import TextFormatter

from ..client import PASSWORD
from ..image_helpers import data_url, make_image

KEYS = {"time", "level", "message", "requestId", "method", "path", "status", "ms", "userId"}
KEYS |= {"clientIp"}


def test_request_logs_one_line(alice, lines):
    before = len(lines())

    response = alice.get("/movies?search=alien")

    [line] = lines()[before:]
    assert set(line) == KEYS
    assert line["level"] == "INFO"
    assert line["requestId"] == response.headers["X-Request-ID"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/movies", 200)
    assert (line["userId"], line["clientIp"]) == (alice.user["id"], "127.0.0.1")
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
    [line] = [each for each in lines() if each["path"] != "/openapi.json"]
    assert (line["path"], line["status"], line["userId"]) == (path, status, None)
    assert line["requestId"] == response.headers["X-Request-ID"]


def test_requests_log_the_client_behind_proxies(make_app, lines):
    client = make_app(PROXY_HOPS="2").test_client()

    client.get("/health", headers={"X-Forwarded-For": "192.0.2.9, 198.51.100.7, 10.0.0.1"})

    [line] = [line for line in lines() if line.get("path") == "/health"]
    assert line["clientIp"] == "198.51.100.7"


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


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "is_valid"),
    [
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01", True),
        (f"01-{TRACE_ID}-00f067aa0ba902b7-01-later", True),
        (f"ff-{TRACE_ID}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01\x85", False),
        (TRACE_ID, False),
    ],
)
def test_each_line_has_the_id_of_a_valid_trace(alice, lines, header, is_valid):
    alice.post(
        "/auth/login",
        json={"email": "alice@example.com", "password": "wrong password"},
        headers={"traceparent": header},
    )

    told = [line.get("traceId") for line in lines()[-2:]]
    assert told == [TRACE_ID if is_valid else None] * 2


def test_probes_can_be_left_out(make_app, lines):
    client = make_app(LOG_PROBES="false").test_client()
    for path in ("/health", "/ready", "/health?x=1", "/nowhere"):
        client.get(path)

    told = [line for line in lines() if line["message"] == "request"]
    assert [line["status"] for line in told if line["path"] != "/openapi.json"] == [400, 404]


def test_an_outage_is_one_error(make_app, lines, alice):
    file = make_app().extensions["movies_api"].instance_dir / "file"
    file.write_text("in the way")
    app = make_app(IMAGE_DIR=str(file))
    client = app.test_client().log_in("alice@example.com")
    body = {"title": "Alien", "imageUrl": data_url(make_image())}

    statuses = [client.post("/movies", json=body).status_code for _ in range(3)]

    assert statuses == [503] * 3
    told = [line for line in lines() if line["level"] == "ERROR" or line.get("status") == 503]
    assert [line["level"] for line in told] == ["ERROR", "WARNING", "WARNING", "WARNING"]


def test_sentry_gets_exceptions_without_personal_data(make_app, alice, monkeypatch):
    pytest.importorskip("sentry_sdk")
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            is_zipped = self.headers.get("Content-Encoding") == "gzip"
            received.append((gzip.decompress(data) if is_zipped else data).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    def fail(*_):
        raise RuntimeError(PASSWORD)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(import_module("movies_api.movies.views"), "fetch_page", fail)
    app = make_app(SENTRY_DSN=f"http://key@127.0.0.1:{server.server_port}/1")
    client = app.test_client().log_in("alice@example.com")
    assert client.get("/movies/0").status_code == 404
    response = client.get(f"/movies?search={TRACE_ID}", headers={"User-Agent": alice.token})
    sentry_sdk = import_module("sentry_sdk")
    sentry_sdk.flush(10)
    sentry_sdk.init()
    server.shutdown()
    server.server_close()
    log = logging.getLogger("movies_api")
    log.handlers = [each for each in log.handlers if type(each).__name__ != "SentryHandler"]

    assert response.status_code == 500
    [event] = received
    assert "RuntimeError" in event
    assert response.headers["X-Request-ID"] in event
    private = (TRACE_ID, alice.token, client.token, client.user["id"], PASSWORD)
    assert [text for text in private if text in event] == []
