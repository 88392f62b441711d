"""The service as it runs in production: gunicorn, two processes, a real socket."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..client import PASSWORD
from ..helpers import ANN
from ..servers import CHECKOUT, gunicorn, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def token(service):
    """Ann's access token."""
    return service.request("POST", "/auth/signup", ANN).json["accessToken"]


def test_movie_and_session_lifecycle(service):
    signup = service.request("POST", "/auth/signup", ANN)
    assert signup.status == 201
    token = signup.json["accessToken"]

    added = service.request("POST", "/movies", {"title": "Amélie", "year": "2001"}, token)
    assert added.status == 201
    assert service.request("GET", "/movies", token=token).json["items"] == [added.json]
    path = added.headers["Location"]
    assert service.request("PUT", path, {"title": "Alien"}, token).json["title"] == "Alien"
    assert service.request("DELETE", path, token=token).status == 204

    cookie = signup.headers["Set-Cookie"].partition(";")[0]
    refreshed = service.request("POST", "/auth/refresh", headers={"Cookie": cookie})
    assert refreshed.status == 200
    cookie = refreshed.headers["Set-Cookie"].partition(";")[0]
    assert service.request("POST", "/auth/logout", headers={"Cookie": cookie}).status == 204
    assert service.request("GET", "/me", token=token).status == 401


def test_logout_applies_to_all_workers_immediately(service, token):
    assert {service.request("GET", "/me", token=token).status for _ in range(20)} == {200}

    assert service.request("POST", "/auth/logout", token=token).status == 204

    assert {service.request("GET", "/me", token=token).status for _ in range(40)} == {401}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/movies", {}, 401),
        ("/auth/login", {}, 413),
        ("/auth/login", {"Content-Type": "text/plain"}, 415),
        ("/nothing", {}, 404),
        ("/health", {}, 405),
        ("/auth/login", {"Origin": "https://evil.example"}, 413),
    ],
)
def test_client_sending_large_body_receives_error_response(service, path, headers, status):
    """A large body, e.g. an image sent with an expired token, does not break the connection."""
    body = json.dumps({"title": "x" * 8_000_000}).encode()

    response = service.request(
        "POST", path, body, headers={"Content-Type": "application/json", **headers}
    )

    assert response.status == status
    assert set(response.json) == {"error"}


def test_oversized_data_url_receives_error_response(service, token):
    body = {"title": "Alien", "imageUrl": "data:image/png;base64," + "A" * 8_000_000}

    response = service.request("POST", "/movies", body, token)

    assert response.status in (400, 413)
    assert set(response.json) == {"error"}


def test_service_logs_json_without_secrets(service, token):
    before = len(service.log)
    service.request("POST", "/auth/login", {"email": ANN["email"], "password": "wrong password"})
    service.request("GET", f"/me?token={token}", token=token)

    log = service.log[before:]
    lines = [json.loads(line) for line in log.split("\n") if line.startswith("{")]
    assert [line for line in lines if line.get("path") == "/me" and line["userId"]]
    assert [
        secret for secret in (PASSWORD, "wrong password", token, ANN["email"]) if secret in log
    ] == []


def children_of(pid):
    """List the child processes of a process."""
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if parent_in(stat) == pid
    ]


def parent_in(stat):
    """Return the parent of a process; 0 if the process has ended."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
def test_configured_workers_run_and_stop(database, migrated_app):
    with gunicorn(database.url, workers=3) as service:
        wait_until(
            lambda: len(children_of(service.process.pid)) == 3, service.process, service.log_file
        )
        children = children_of(service.process.pid)
        assert service.request("GET", "/ready").status == 200

        assert service.stop() == 0

        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
        assert "Traceback" not in service.log


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_startup_stops_all_workers(how, database, migrated_app):
    """The signal arrives when the first of four workers responds, while the others start."""
    with gunicorn(database.url, workers=4) as service:
        service.process.send_signal(how)

        assert service.process.wait(40) == 0
        assert "SIGKILL" not in service.log


def test_invalid_settings_are_reported_without_traceback(tmp_path):
    invalid = {
        "PROXY_HOPS": "x",
        "CORS_ORIGIN": "*",
        "SECRET_KEY": "short",
        "INSTANCE_DIR": str(tmp_path),
    }
    environment = {"PATH": os.environ.get("PATH", os.defpath), "FLASK_SKIP_DOTENV": "1", **invalid}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "gunicorn.conf.py",
        "--bind",
        "127.0.0.1:0",
        "wsgi:app",
    ]

    result = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert result.returncode != 0
    assert "Traceback" not in result.stderr + result.stdout
    for variable in ("PROXY_HOPS", "CORS_ORIGIN", "SECRET_KEY"):
        assert variable in result.stderr + result.stdout
