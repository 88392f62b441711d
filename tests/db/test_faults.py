"""What breaks: the database goes, comes back or is slow; the service is stopped or killed."""

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
PATIENCE = 3  # seconds within which an answer must come, also when the database is away
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
    """Tell whether the service takes connections."""
    address = urlsplit(service.url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except OSError:
        return False
    return True


def assert_away(answer: HttpResponse) -> None:
    """Check the one answer there is while the database is away."""
    assert answer.status == 503
    assert answer.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) > 0


def sign_up(service: Service, **more: str) -> str:
    """Return the access token of somebody new."""
    answer = service.request("POST", "/auth/signup", ANN | more)
    assert answer.status == 201
    return str(answer.json["accessToken"])


@dataclass
class Load:
    """People who send one request after another, until they are told to stop or cannot connect."""

    act: Callable[[int], HttpResponse]
    people: int = 6
    answers: list[HttpResponse] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)
    slowest: float = 0
    is_over: bool = False
    news: Condition = field(default_factory=Condition)

    def __enter__(self) -> Self:
        self.threads = [Thread(target=self.run, args=[number]) for number in range(self.people)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self.join()

    def join(self) -> None:
        """Return when all have left."""
        for thread in self.threads:
            thread.join(60)

    def run(self, number: int) -> None:
        """Send requests, each with a number of its own."""
        while not self.is_over:
            started = time.monotonic()
            try:
                answer = self.act(number)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(error)
                return
            number += self.people
            with self.news:
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.answers.append(answer)
                self.news.notify_all()

    def count(self, *statuses: int) -> int:
        """Count the answers with these statuses so far."""
        return sum(answer.status in statuses for answer in self.answers)

    def await_more(self, number: int, *statuses: int) -> None:
        """Return when so many more answers with these statuses have come."""
        with self.news:
            wanted = self.count(*statuses) + number
            assert self.news.wait_for(lambda: self.count(*statuses) >= wanted, 30), "waited in vain"


# --- the database goes and comes back


@pytest.fixture(scope="module")
def restartable_server() -> Iterator[OwnPostgres]:
    """A PostgreSQL server that the tests of this file may stop and start."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def fragile(restartable_server: OwnPostgres, tmp_path) -> Iterator[Service]:
    """The real service on the server that may be stopped."""
    with gunicorn(migrated_database(restartable_server, "fragile", tmp_path)) as service:
        yield service


def migrated_database(server: OwnPostgres, name: str, folder: Path) -> str:
    """Return the URL of a new database in which what is committed outlives a server cut off."""
    url = server.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(f"alter database {name} set synchronous_commit = on")
    migrate(app_for(config_for(url, folder)))
    return url


def stop(server: OwnPostgres, how: signal.Signals) -> None:
    """Stop the server: SIGQUIT cuts everybody off at once, SIGINT says goodbye."""
    assert server.process is not None
    server.process.send_signal(how)
    server.process.wait(30)


def test_a_database_that_restarts_under_load_costs_503s_and_nothing_else(
    fragile, restartable_server
):
    token = sign_up(fragile)

    def act(number: int) -> HttpResponse:
        if number % 3:
            return fragile.request("GET", "/movies?search=movie", token=token)
        return fragile.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    with Load(act) as load:
        for how in (signal.SIGQUIT, signal.SIGINT):
            load.await_more(30, 200, 201)
            stop(restartable_server, how)
            load.await_more(30, 503)
            restartable_server.start()
            load.await_more(30, 200, 201)

    assert load.broken == []
    assert {answer.status for answer in load.answers} == {200, 201, 503}
    for answer in load.answers:
        if answer.status == 503:
            assert_away(answer)
    assert load.slowest < PATIENCE
    assert len(processes_of(fragile)) == 3
    assert "Traceback" not in fragile.log
    for _ in range(20):
        assert fragile.request("GET", "/me", token=token).status == 200
    listed = fragile.request("GET", "/movies", token=token).json["meta"]["total"]
    found = fragile.request("GET", "/movies?search=movie", token=token).json["meta"]["total"]
    assert listed == found >= load.count(201)


def test_a_service_that_boots_without_its_database_gets_well_with_it(restartable_server, tmp_path):
    url = migrated_database(restartable_server, "late", tmp_path)
    stop(restartable_server, signal.SIGINT)
    with gunicorn(url) as service:
        assert service.request("GET", "/health").json == {"status": "ok"}
        for method, path, body in [
            ("GET", "/ready", None),
            ("POST", "/auth/signup", ANN),
            ("POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}),
        ]:
            assert_away(service.request(method, path, body, timeout=PATIENCE))

        restartable_server.start()

        assert service.request("GET", "/ready").status == 200
        assert service.request("GET", "/me", token=sign_up(service)).status == 200


def test_a_database_that_says_nothing_is_away_within_seconds():
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        port = silent.getsockname()[1]
        with gunicorn(f"postgresql://postgres@127.0.0.1:{port}/silent") as service:
            ask = partial(service.request, "GET", "/ready", timeout=PATIENCE)
            with ThreadPoolExecutor(4) as threads:
                for answer in [threads.submit(ask) for _ in range(4)]:
                    assert_away(answer.result())
            assert service.request("GET", "/health", timeout=1).status == 200


@pytest.mark.only_on("postgresql")
def test_connections_that_die_between_requests_are_noticed_by_nobody(service, database):
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
def test_a_connection_that_dies_at_work_is_a_503_and_half_of_nothing(service, database):
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

        assert_away(added.result())
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
def test_what_is_prepared_no_more_costs_no_request(alice, database, request, change):
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
def test_a_new_connection_is_not_taken_for_a_dead_one(alice, database, tmp_path, monkeypatch):
    class Poll:
        """A server that has something to say to everybody, also to who has just come."""

        def register(self, *_: int) -> None:
            pass

        def poll(self, _: float) -> list[tuple[int, int]]:
            return [(0, 1)]

    monkeypatch.setattr("movies_api.db.prepared.poll", Poll)

    assert alice.get("/movies").status_code == 200
    assert alice.get("/movies").status_code == 200


@pytest.mark.only_on("postgresql")
def test_a_pool_of_one_connection_is_a_queue(alice, database, tmp_path, make_client):
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
    lasting = [  # each for somebody else
        ("POST", "/auth/logout", None, 204),
        ("PUT", "/me/password", new, 204),
        ("DELETE", "/me", {"password": PASSWORD}, 204),
    ] * 4
    people = [make_client().sign_up(f"Ann{number}") for number in range(len(lasting))]

    def ask(method: str, path: str, body: object, status: int, token: str) -> tuple[int, int]:
        more = {} if body is None else {"json": body}
        headers = {"Authorization": f"Bearer {token}"}
        return app.test_client().open(
            path, method=method, headers=headers, **more
        ).status_code, status

    asked = [(*call, alice.token) for call in calls * 4]
    asked += [(*call, person.token) for call, person in zip(lasting, people, strict=True)]
    with ThreadPoolExecutor(6) as threads:
        answers = [threads.submit(ask, *each) for each in asked]
        for answer in answers:
            got, wanted = answer.result()
            assert got == wanted
    with app.app_context():
        db.engine.dispose()


# --- SQLite and its one writer


@pytest.fixture
def other_writer(database) -> Iterator[sqlite3.Connection]:
    """Somebody else who holds the write lock of the SQLite file."""
    path = make_url(database.url).database
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield connection


@pytest.mark.only_on("sqlite")
def test_a_write_waits_for_another_writer_and_reads_do_not(service, request):
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
def test_a_writer_who_never_ends_is_a_503(alice, database, tmp_path, request):
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
def under_way(service: Service, people: int) -> Iterator[list[Callable[[], HttpResponse]]]:
    """Begin signups that a worker has taken in for certain; give functions that complete them."""
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
        lines = [
            stack.enter_context(
                socket.create_connection((address.hostname, address.port), timeout=20)
            )
            for _ in range(people)
        ]
        yield [begin(line, number) for number, line in enumerate(lines)]


@pytest.mark.only_on("sqlite")
def test_a_stop_lets_requests_under_way_end(app, database):
    with gunicorn(database.url) as service, under_way(service, people=4) as completions:
        signal_all(service, signal.SIGTERM)
        wait_for(lambda: not is_open(service))

        for complete in completions:
            answer = complete()
            assert answer.status == 201
            assert answer.json["accessToken"]

        assert service.process.wait(20) == 0
        assert "Traceback" not in service.log
    assert database.execute("select count(*) from users") == [(4,)]


def test_a_stop_under_load_drops_no_request_that_was_taken_in(app, database):
    slow = {**CHEAP_ARGON2, "ARGON2_MEMORY_KIB": "8192", "ARGON2_TIME_COST": "2"}
    with gunicorn(database.url, **slow) as service:

        def act(number: int) -> HttpResponse:
            body = ANN | {"email": f"ann{number}@example.com"}
            return service.request("POST", "/auth/signup", body)

        with Load(act, people=12) as load:
            load.await_more(20, 201)
            signal_all(service, signal.SIGTERM)
            load.join()

        assert service.process.wait(25) == 0
    assert {answer.status for answer in load.answers} == {201}
    # Whoever was let in has an answer: nobody has an account and was not told so
    assert database.execute("select count(*) from users") == [(load.count(201),)]
    # and who has none was still outside
    assert {type(error) for error in load.broken} <= {
        ConnectionResetError,
        http.client.RemoteDisconnected,
    }


@pytest.mark.only_on("sqlite")
def test_a_stop_does_not_wait_for_connections_that_idle(app, database):
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


def test_what_was_acknowledged_survives_a_kill(app, database):
    with gunicorn(database.url) as service:
        token = sign_up(service)

        def act(number: int) -> HttpResponse:
            return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

        with Load(act) as load:
            load.await_more(40, 201)
            signal_all(service, signal.SIGKILL)
            load.join()
        service.process.wait(10)

    client = app.test_client()
    client.token = token
    acknowledged = {answer.json["id"] for answer in load.answers}
    stored = {movie for (movie,) in database.execute("select id from movies")}
    assert acknowledged <= stored
    assert client.get("/movies?limit=1").json["meta"]["total"] == len(stored)
    assert client.post("/movies", json={"title": "Alien"}).status_code == 201
