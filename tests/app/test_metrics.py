"""GET /metrics: what Prometheus gets, of all processes together."""

import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ..client import PASSWORD
from ..servers import CHECKOUT, gunicorn

TOKEN = "a token of the tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
OPTIONAL = ("prometheus_client", "publicsuffixlist", "sentry_sdk", "boto3", "redis")
pytest.importorskip("prometheus_client")


def figures(text):
    """Return the values by name and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@pytest.fixture
def scrape(make_app):
    """A function that returns the figures of an app of one process."""
    app = make_app(METRICS_TOKEN=TOKEN)
    client = FlaskClient(app, app.response_class)
    return app, lambda: figures(client.get("/metrics", headers=HEADERS).text)


@pytest.mark.slow
def test_figures_are_of_all_processes(database, app):
    environment = {"METRICS_TOKEN": TOKEN, "PYTHONPATH": ":".join(sys.path)}
    with gunicorn(database.url, workers=2, **environment) as service:
        body = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
        token = service.request("POST", "/auth/signup", body).json["accessToken"]
        for _ in range(20):
            assert service.request("GET", "/movies", token=token).status == 200
        assert service.request("GET", "/movies/77", token=token).status == 404
        assert service.request("GET", "/nowhere/1").status == 404
        assert service.request("GET", "/metrics").status == 401
        assert service.request("GET", "/metrics", token=f"{TOKEN}x").status == 401
        response = service.request("GET", "/metrics", token=TOKEN)

    assert response.headers["Content-Type"].startswith("text/plain; version=")
    found = figures(response.body.decode())
    assert found['http_requests_total{method="GET",route="/movies",status="200"}'] == 20
    assert found['http_requests_total{method="GET",route="/movies/{movie_id}",status="404"}'] == 1
    assert found['http_requests_total{method="any",route="none",status="404"}'] == 1
    assert found['http_request_duration_seconds_count{method="GET",route="/movies"}'] == 20
    assert found["http_requests_in_flight"] == 1
    assert found['queue_wait_seconds_count{pool="passwords"}'] == 1
    assert found['queue_wait_seconds_count{pool="quick"}'] >= 22
    assert found["database_connections_in_use"] == 0
    assert found["statements_prepared_total"] > 0 or not database.url.startswith("postgresql")
    assert list(Path("/dev/shm").glob(f"movies_api-metrics-*/*_{service.process.pid}.db")) == []


def test_connections_and_requests_in_flight_return_to_zero(scrape, make_app, alice):
    app, read = scrape
    client = FlaskClient(app, app.response_class)
    login = {"email": "alice@example.com", "password": PASSWORD}
    assert client.post("/auth/login", json=login).status_code == 200
    assert client.post("/auth/login", json={}).status_code == 400

    found = read()

    assert found["http_requests_in_flight"] == 1
    assert found["database_connections_in_use"] == 0
    assert found['http_requests_total{method="POST",route="/auth/login",status="400"}'] >= 1


def test_rejections_are_counted_by_limit(make_app, scrape):
    _, read = scrape
    before = read()
    settings = {"RATELIMIT_ENABLED": "true", "MAX_MOVIES_PER_USER": "1", "METRICS_TOKEN": TOKEN}
    client = make_app(**settings).test_client().sign_up("Ann")
    login = {"email": "ann@example.com", "password": "wrong password"}

    movies = [client.post("/movies", json={"title": "Alien"}).status_code for _ in range(3)]
    logins = [client.post("/auth/login", json=login).status_code for _ in range(11)]

    assert (movies, logins) == ([201, 403, 403], [401] * 10 + [429])
    for limit, count in (("movies", 2), ("login", 1)):
        name = f'rejected_by_limits_total{{limit="{limit}"}}'
        assert read()[name] == before.get(name, 0) + count


@pytest.mark.only_on("postgresql")
def test_prepared_statements_are_counted_once_per_connection(scrape, alice):
    app, read = scrape
    client = app.test_client()
    client.token = alice.token
    client.get("/movies")
    before = read()["statements_prepared_total"]

    client.get("/movies")

    assert read()["statements_prepared_total"] == before > 0


def test_emails_are_counted(make_app, mailbox, scrape, alice):
    _, read = scrape
    before = read()
    settings = {"FRONTEND_URL": "https://x.example", "METRICS_TOKEN": TOKEN}
    app = make_app(SMTP_URL=mailbox.url, **settings)
    client = FlaskClient(app, app.response_class)

    client.post("/auth/password-reset", json={"email": "alice@example.com"})
    mailbox.next()
    assert app.extensions["outbox"].join(20)

    sent = 'emails_total{result="sent"}'
    assert read()[sent] == before.get(sent, 0) + 1


def test_without_a_token_there_are_no_metrics(client):
    response = FlaskClient(client.application, client.application.response_class).get("/metrics")

    assert response.status_code == 404


@pytest.mark.slow
def test_nothing_optional_is_imported_without_its_setting(tmp_path):
    code = f"""
import sys
from movies_api import create_app
create_app()
modules = [*{OPTIONAL}, "movies_api.metrics", "movies_api.backup", "movies_api.doctor"]
print([name for name in modules if name in sys.modules])
"""
    environment = {"INSTANCE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "[]\n", done.stderr
