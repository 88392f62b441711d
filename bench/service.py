"""The service under load, started as in production on a PostgreSQL of its own, with data in it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import CHECKOUT, free_port, own_postgres, wait_until

from .load import ask
from .scenarios import PASSWORD, Person, World, http, login, movies_file

GROUP = 8  # neighbours, and accounts for logins
ROWS = 100_000
TOKENS_LAST = 300  # seconds; well below the 15 minutes of an access token


@dataclass
class Service:
    """A running service: where it listens, and the processes to watch."""

    name: str
    url: str
    environment: dict[str, str]
    server_pid: int
    database_pid: int
    people: int
    _world: World | None = None
    _valid_until: float = 0

    def ask(self, request: bytes) -> Any:
        """Send one request and return the JSON of its response; raise unless it succeeds."""
        status, body = ask(self.url, request)
        if status >= 300:
            raise RuntimeError(f"{request[:80]!r}: {status} {body.decode()}")
        return json.loads(body)

    def emails(self) -> list[str]:
        """Return the accounts small ones, neighbours, those for logins, and the large one."""
        groups = {"person": self.people, "neighbour": GROUP, "login": GROUP, "heavy": 1}
        return [f"{name}{n}@example.com" for name, size in groups.items() for n in range(size)]

    def fill(self, each: int, heavy: int) -> None:
        """Create the accounts and import their movies."""
        for email in self.emails():
            body = {"name": "Bench", "email": email, "password": PASSWORD}
            token = self.ask(http("POST", "/auth/signup", body=body))["accessToken"]
            file = movies_file(heavy if email.startswith("heavy") else each)
            self.ask(http("POST", "/movies/import", Person(email, token, ()), file))

    def world(self) -> World:
        """Return the accounts with sessions that are valid for long enough."""
        if self._world is None or time.monotonic() > self._valid_until:
            *people, heavy = map(self._person, self.emails())
            total = self.ask(http("GET", "/movies", heavy))["meta"]["total"]
            page = http("GET", f"/movies?page={max(1, total // 25)}", heavy)  # at four fifths
            cursor = self.ask(page)["meta"]["nextCursor"]
            groups = people[: self.people], people[-2 * GROUP : -GROUP], people[-GROUP:]
            self._world = World(*groups, heavy, cursor)
            self._valid_until = time.monotonic() + TOKENS_LAST
        return self._world

    def _person(self, email: str) -> Person:
        token = self.ask(login(Person(email, "", ())))["accessToken"]
        page = self.ask(http("GET", "/movies", Person(email, token, ())))
        return Person(email, token, tuple(item["id"] for item in page["items"]))


@contextmanager
def serve(
    checkout: Path = CHECKOUT, name: str = "", people: int = 50, each: int = 200, heavy: int = ROWS
) -> Iterator[Service]:
    """Serve a checkout with its gunicorn.conf.py: people with movies each, and one with many."""
    bind = f"127.0.0.1:{free_port()}"
    with (
        own_postgres() as server,
        tempfile.TemporaryDirectory(prefix="movies-api-bench-") as folder,
    ):
        environment = {
            "WEB_CONCURRENCY": "2",
            **os.environ,
            "DATABASE_URL": server.create_database("bench"),
            "PGOPTIONS": "-c synchronous_commit=on",  # commits wait for the log, as by default
            "SECRET_KEY": "bench-only-5d1f0a7c9e3b4826a4c8e6f2b0d79135",
            "INSTANCE_DIR": folder,
            "RATELIMIT_ENABLED": "false",
            "LOG_FORMAT": "json",
        }
        flask = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
        subprocess.run(flask, cwd=checkout, env=environment, check=True, capture_output=True)
        command = [sys.executable, "-m", "gunicorn", "--bind", bind, "wsgi:app"]
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=checkout, env=environment, stdout=output, stderr=output
            )
        try:
            assert server.process is not None
            pids = process.pid, server.process.pid
            service = Service(name, f"http://{bind}", environment, *pids, people)
            wait_until(lambda: _is_serving(service), process, log)
            service.fill(each, heavy)
            yield service
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


def _is_serving(service: Service) -> bool:
    try:
        return bool(service.ask(http("GET", "/health")))
    except OSError:
        return False
