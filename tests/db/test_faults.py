"""Failures: the database restarts, hangs or is locked; the service is stopped or killed."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import Self
from urllib.parse import urlsplit

import psycopg2
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from movies_api.db import db

from ..client import PASSWORD
from ..concurrency import wait_for
from ..conftest import app_for, config_for, migrate
from ..helpers import ANN
from ..servers import CHEAP_ARGON2, HttpResponse, OwnPostgres, Service, gunicorn, own_postgres

pytestmark = pytest.mark.slow
MAX_RESPONSE_SECONDS = 3  # also while the database is unavailable
KILL_OTHERS = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = current_database() and pid <> pg_backend_pid()"
)
OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def processes_of(service: Service) -> list[int]:
    """List the service's processes, the master first."""
    workers = re.findall(r"Booting worker with pid: (\d+)", service.log)
    return [service.process.pid, *map(int, workers)]


def signal_all(service: Service, how: signal.Signals) -> None:
    """Send a signal to every process of the service, as platforms do."""
    for pid in processes_of(service):
        os.kill(pid, how)


def is_open(service: Service) -> bool:
    """Tell whether the service accepts connections."""
    address = urlsplit(service.url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except OSError:
        return False
    return True


def assert_unavailable(response: HttpResponse) -> None:
    """Check the response of a service without its database."""
    assert response.status == 503
    assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(response.headers["Retry-After"]) > 0


def sign_up(service: Service, **more: str) -> str:
    """Sign up and return the access token."""
    response = service.request("POST", "/auth/signup", ANN | more)
    assert response.status == 201
    return str(response.json["accessToken"])


@dataclass
class Load:
    """Clients that send requests in a loop, until stopped or unable to connect."""

    send: Callable[[int], HttpResponse]
    clients: int = 6
    responses: list[HttpResponse] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    slowest: float = 0
    is_stopped: bool = False
    condition: Condition = field(default_factory=Condition)

    def __enter__(self) -> Self:
        self.threads = [Thread(target=self.run, args=[number]) for number in range(self.clients)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_stopped = True
        self.join()

    def join(self) -> None:
        """Wait for all clients."""
        for thread in self.threads:
            thread.join(60)

    def run(self, number: int) -> None:
        """Send requests, each with a unique number."""
        while not self.is_stopped:
            started = time.monotonic()
            try:
                response = self.send(number)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(error)
                return
            number += self.clients
            with self.condition:
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.responses.append(response)
                self.condition.notify_all()

    def count(self, *statuses: int) -> int:
        """Count the responses with these statuses so far."""
        return sum(response.status in statuses for response in self.responses)

    def wait_for_more(self, number: int, *statuses: int) -> None:
        """Wait for `number` more responses with these statuses."""
        with self.condition:
            wanted = self.count(*statuses) + number
            assert self.condition.wait_for(lambda: self.count(*statuses) >= wanted, 30), "timed out"


# --- the database becomes unavailable and available


@pytest.fixture(scope="module")
def restartable_server() -> Iterator[OwnPostgres]:
    """A PostgreSQL server that the tests of this file may stop and start."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def restartable(restartable_server: OwnPostgres, tmp_path) -> Iterator[Service]:
    """The service on the restartable server."""
    with gunicorn(migrated_database(restartable_server, "restartable", tmp_path)) as service:
        yield service


def migrated_database(server: OwnPostgres, name: str, folder: Path) -> str:
    """Return the URL of a new database whose commits survive an immediate shutdown."""
    url = server.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(f"alter database {name} set synchronous_commit = on")
    migrate(app_for(config_for(url, folder)))
    return url


def stop(server: OwnPostgres, how: signal.Signals) -> None:
    """Stop the server: SIGQUIT is an immediate shutdown, SIGINT a fast one."""
    assert server.process is not None
    server.process.send_signal(how)
    server.process.wait(30)


def test_database_restart_under_load_causes_only_503s(restartable, restartable_server):
    token = sign_up(restartable)

    def send(number: int) -> HttpResponse:
        if number % 3:
            return restartable.request("GET", "/movies?search=movie", token=token)
        return restartable.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    with Load(send) as load:
        for how in (signal.SIGQUIT, signal.SIGINT):
            load.wait_for_more(30, 200, 201)
            stop(restartable_server, how)
            load.wait_for_more(30, 503)
            restartable_server.start()
            load.wait_for_more(30, 200, 201)

    assert load.errors == []
    assert {response.status for response in load.responses} == {200, 201, 503}
    for response in load.responses:
        if response.status == 503:
            assert_unavailable(response)
    assert load.slowest < MAX_RESPONSE_SECONDS
    assert len(processes_of(restartable)) == 3
    assert "Traceback" not in restartable.log
    for _ in range(20):
        assert restartable.request("GET", "/me", token=token).status == 200
    listed = restartable.request("GET", "/movies", token=token).json["meta"]["total"]
    found = restartable.request("GET", "/movies?search=movie", token=token).json["meta"]["total"]
    assert listed == found >= load.count(201)


def test_service_started_without_database_recovers(restartable_server, tmp_path):
    url = migrated_database(restartable_server, "late", tmp_path)
    stop(restartable_server, signal.SIGINT)
    with gunicorn(url) as service:
        assert service.request("GET", "/health").json == {"status": "ok"}
        for method, path, body in [
            ("GET", "/ready", None),
            ("POST", "/auth/signup", ANN),
            ("POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}),
        ]:
            assert_unavailable(service.request(method, path, body, timeout=MAX_RESPONSE_SECONDS))

        restartable_server.start()

        assert service.request("GET", "/ready").status == 200
        assert service.request("GET", "/me", token=sign_up(service)).status == 200


def test_unresponsive_database_returns_503_within_seconds():
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        port = silent.getsockname()[1]
        with gunicorn(f"postgresql://postgres@127.0.0.1:{port}/silent") as service:
            ask = partial(service.request, "GET", "/ready", timeout=MAX_RESPONSE_SECONDS)
            with ThreadPoolExecutor(4) as threads:
                for response in [threads.submit(ask) for _ in range(4)]:
                    assert_unavailable(response.result())
            assert service.request("GET", "/health", timeout=1).status == 200


@pytest.mark.only_on("postgresql")
def test_terminated_idle_connections_cause_no_errors(service, database):
    token = sign_up(service)
    ask = partial(service.request, "GET", "/movies", token=token)
    with ThreadPoolExecutor(16) as threads:
        for _ in range(3):
            warm = [threads.submit(ask) for _ in range(32)]
            assert {each.result().status for each in warm} == {200}

            database.execute(KILL_OTHERS)
            wait_for(lambda: database.execute(OTHERS) == [(0,)])

            reads = [threads.submit(ask) for _ in range(32)]
            add = partial(service.request, "POST", "/movies", {"title": "Alien"}, token)
            writes = [threads.submit(add) for _ in range(8)]
            assert {each.result().status for each in reads} == {200}
            assert {each.result().status for each in writes} == {201}
    assert ask().json["meta"]["total"] == 24


@pytest.mark.only_on("postgresql")
def test_connection_lost_during_write_returns_503_and_rolls_back(service, database):
    token = sign_up(service)
    waiting = (
        "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    add = partial(service.request, "POST", "/movies", {"title": "Alien"}, token)
    with closing(psycopg2.connect(database.url)) as other, ThreadPoolExecutor(1) as threads:
        other.cursor().execute("select 1 from users for update")
        added = threads.submit(add)
        wait_for(lambda: database.execute(f"select count(*) {waiting}") == [(1,)])

        database.execute(f"select pg_terminate_backend(pid) {waiting}")

        assert_unavailable(added.result())
        other.rollback()

    assert service.request("GET", "/movies", token=token).json["items"] == []
    assert add().status == 201
    assert service.request("GET", "/movies", token=token).json["meta"]["total"] == 1


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    "change",
    ["DEALLOCATE ALL", "ALTER TABLE movies ALTER title TYPE text"],
    ids=["a pooler", "a migration"],
)
def test_lost_prepared_statements_cause_no_errors(alice, database, request, change):
    restore = "ALTER TABLE movies ALTER title TYPE varchar(255)"
    request.addfinalizer(lambda: database.execute(restore))
    movie = alice.post("/movies", json={"title": "Alien"})
    for _ in range(2):
        assert alice.get("/movies").json["items"] == [movie.json]

    with alice.application.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql(change)

    for _ in range(2):
        assert alice.get("/movies").json["items"] == [movie.json]
        assert alice.get(movie.headers["Location"]).json == movie.json
    added = alice.post("/movies", json={"title": "Brazil"})
    assert added.status_code == 201
    assert alice.get("/movies").json["items"] == [added.json, movie.json]


@pytest.mark.only_on("postgresql")
def test_new_connection_is_not_considered_dead(alice, database, tmp_path, monkeypatch):
    class Poll:
        """Report every connection as readable, including new ones."""

        def register(self, *_: int) -> None:
            pass

        def poll(self, _: float) -> list[tuple[int, int]]:
            return [(0, 1)]

    monkeypatch.setattr("movies_api.db.prepared.poll", Poll)

    assert alice.get("/movies").status_code == 200
    assert alice.get("/movies").status_code == 200


@pytest.mark.only_on("postgresql")
def test_requests_queue_for_a_pool_of_one_connection(alice, database, tmp_path, make_client):
    app = app_for(config_for(database.url, tmp_path, DB_POOL_SIZE="1"))
    calls = [
        ("GET", "/movies", None, 200),
        ("POST", "/movies", {"title": "Alien"}, 201),
        ("PATCH", "/movies/0", {"title": "Alien"}, 404),
        ("DELETE", "/movies/0", None, 404),
        ("POST", "/auth/login", {"email": "alice@example.com", "password": PASSWORD}, 200),
        ("POST", "/auth/signup", {**ANN, "email": "alice@example.com"}, 409),
        ("POST", "/auth/tokens", {"name": "Backup"}, 201),
        ("PATCH", "/me", {"email": "alice@example.com", "name": "Alicia"}, 200),
        ("PUT", "/me/password", {"currentPassword": "wrong", "newPassword": "a new password"}, 400),
        ("DELETE", "/me", {"password": "wrong"}, 400),
    ]
    new = {"currentPassword": PASSWORD, "newPassword": "a new password"}
    lasting = [  # each for another user
        ("POST", "/auth/logout", None, 204),
        ("PUT", "/me/password", new, 204),
        ("DELETE", "/me", {"password": PASSWORD}, 204),
    ] * 4
    users = [make_client().sign_up(f"Ann{number}") for number in range(len(lasting))]

    def ask(method: str, path: str, body: object, status: int, token: str) -> tuple[int, int]:
        more = {} if body is None else {"json": body}
        headers = {"Authorization": f"Bearer {token}"}
        return app.test_client().open(
            path, method=method, headers=headers, **more
        ).status_code, status

    requests = [(*call, alice.token) for call in calls * 4]
    requests += [(*call, user.token) for call, user in zip(lasting, users, strict=True)]
    with ThreadPoolExecutor(6) as threads:
        responses = [threads.submit(ask, *each) for each in requests]
        for response in responses:
            got, wanted = response.result()
            assert got == wanted
    with app.app_context():
        db.engine.dispose()


# --- SQLite and its one writer


@pytest.fixture
def other_writer(database) -> Iterator[sqlite3.Connection]:
    """Another connection that has locked the SQLite file for writing."""
    path = make_url(database.url).database
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield connection


@pytest.mark.only_on("sqlite")
def test_writes_wait_for_the_sqlite_lock_and_reads_do_not(service, request):
    token = sign_up(service)
    other_writer = request.getfixturevalue("other_writer")
    with ThreadPoolExecutor(1) as threads:
        added = threads.submit(service.request, "POST", "/movies", {"title": "Alien"}, token)
        for _ in range(20):
            assert service.request("GET", "/movies", token=token).json["items"] == []
        assert not added.done()

        other_writer.execute("rollback")

        assert added.result().status == 201


@pytest.mark.only_on("sqlite")
def test_sqlite_lock_timeout_returns_503(alice, database, tmp_path, request):
    app = app_for(config_for(database.url, tmp_path))
    with app.app_context():
        event.listen(db.engine, "connect", lambda new, _: new.execute("pragma busy_timeout = 50"))
    client = app.test_client()
    client.token = alice.token
    other_writer = request.getfixturevalue("other_writer")

    response = client.post("/movies", json={"title": "Alien"})

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    other_writer.execute("rollback")
    assert client.post("/movies", json={"title": "Alien"}).status_code == 201
    with app.app_context():
        db.engine.dispose()


# --- the service is stopped


@contextmanager
def requests_in_progress(
    service: Service, clients: int
) -> Iterator[list[Callable[[], HttpResponse]]]:
    """Start signups that a worker has accepted; yield functions that complete them."""
    address = urlsplit(service.url)

    def begin(connection: socket.socket, number: int) -> Callable[[], HttpResponse]:
        body = json.dumps(ANN | {"email": f"ann{number}@example.com"}).encode()
        head = "POST /auth/signup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"

        def complete() -> HttpResponse:
            connection.sendall(body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return HttpResponse(response.status, response.headers, response.read())

        return complete

    with ExitStack() as stack:
        connections = [
            stack.enter_context(
                socket.create_connection((address.hostname, address.port), timeout=20)
            )
            for _ in range(clients)
        ]
        yield [begin(connection, number) for number, connection in enumerate(connections)]


@pytest.mark.only_on("sqlite")
def test_stop_completes_requests_in_progress(app, database):
    with gunicorn(database.url) as service, requests_in_progress(service, clients=4) as completions:
        signal_all(service, signal.SIGTERM)
        wait_for(lambda: not is_open(service))

        for complete in completions:
            response = complete()
            assert response.status == 201
            assert response.json["accessToken"]

        assert service.process.wait(20) == 0
        assert "Traceback" not in service.log
    assert database.execute("select count(*) from users") == [(4,)]


def test_stop_under_load_drops_no_accepted_request(app, database):
    slow = {**CHEAP_ARGON2, "ARGON2_MEMORY_KIB": "8192", "ARGON2_TIME_COST": "2"}
    with gunicorn(database.url, **slow) as service:

        def send(number: int) -> HttpResponse:
            body = ANN | {"email": f"ann{number}@example.com"}
            return service.request("POST", "/auth/signup", body)

        with Load(send, clients=12) as load:
            load.wait_for_more(20, 201)
            signal_all(service, signal.SIGTERM)
            load.join()

        assert service.process.wait(25) == 0
    assert {response.status for response in load.responses} == {201}
    # Each accepted request got its response: no account exists without one
    assert database.execute("select count(*) from users") == [(load.count(201),)]
    # and the others were not accepted
    assert {type(error) for error in load.errors} <= {
        ConnectionResetError,
        http.client.RemoteDisconnected,
    }


@pytest.mark.only_on("sqlite")
def test_stop_does_not_wait_for_idle_connections(app, database):
    with gunicorn(database.url) as service:
        address = urlsplit(service.url)
        with ExitStack() as stack:
            for _ in range(6):
                idle = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
                stack.enter_context(closing(idle)).request("GET", "/health")
                assert idle.getresponse().read()
            started = time.monotonic()

            signal_all(service, signal.SIGTERM)

            assert service.process.wait(20) == 0
            assert time.monotonic() - started < 10


def test_acknowledged_writes_survive_sigkill(app, database):
    with gunicorn(database.url) as service:
        token = sign_up(service)

        def send(number: int) -> HttpResponse:
            return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

        with Load(send) as load:
            load.wait_for_more(40, 201)
            signal_all(service, signal.SIGKILL)
            load.join()
        service.process.wait(10)

    client = app.test_client()
    client.token = token
    acknowledged = {response.json["id"] for response in load.responses}
    stored = {movie for (movie,) in database.execute("select id from movies")}
    assert acknowledged <= stored
    assert client.get("/movies?limit=1").json["meta"]["total"] == len(stored)
    assert client.post("/movies", json={"title": "Alien"}).status_code == 201
