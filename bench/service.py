"""The service under test, started as in production on a temporary PostgreSQL with test data."""

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

from .load import fetch
from .scenarios import PASSWORD, Accounts, User, http, login, movies_file

GROUP = 8  # neighbours, and accounts for logins
ROWS = 100_000
TOKEN_SECONDS = 300  # seconds; well below the 15 minutes of an access token


@dataclass
class Service:
    """A running service: its URL and the processes to measure."""

    name: str
    url: str
    environment: dict[str, str]
    server_pid: int
    database_pid: int
    users: int
    _accounts: Accounts | None = None
    _valid_until: float = 0

    def fetch(self, request: bytes) -> Any:
        """Send one request and return the JSON of its response; raise unless it succeeds."""
        status, body = fetch(self.url, request)
        if status >= 300:
            raise RuntimeError(f"{request[:80]!r}: {status} {body.decode()}")
        return json.loads(body)

    def emails(self) -> list[str]:
        """Return the emails of the small accounts, neighbours, login accounts and the large one."""
        groups = {"person": self.users, "neighbour": GROUP, "login": GROUP, "heavy": 1}
        return [f"{name}{n}@example.com" for name, size in groups.items() for n in range(size)]

    def fill(self, each: int, heavy: int) -> None:
        """Create the accounts and import their movies."""
        for email in self.emails():
            body = {"name": "Bench", "email": email, "password": PASSWORD}
            token = self.fetch(http("POST", "/auth/signup", body=body))["accessToken"]
            file = movies_file(heavy if email.startswith("heavy") else each)
            self.fetch(http("POST", "/movies/import", User(email, token, ()), file))

    def accounts(self) -> Accounts:
        """Return the accounts, with access tokens that remain valid for long enough."""
        if self._accounts is None or time.monotonic() > self._valid_until:
            *users, heavy = map(self._user, self.emails())
            total = self.fetch(http("GET", "/movies", heavy))["meta"]["total"]
            page = http("GET", f"/movies?page={max(1, total // 25)}", heavy)  # at four fifths
            cursor = self.fetch(page)["meta"]["nextCursor"]
            groups = users[: self.users], users[-2 * GROUP : -GROUP], users[-GROUP:]
            self._accounts = Accounts(*groups, heavy, cursor)
            self._valid_until = time.monotonic() + TOKEN_SECONDS
        return self._accounts

    def _user(self, email: str) -> User:
        token = self.fetch(login(User(email, "", ())))["accessToken"]
        page = self.fetch(http("GET", "/movies", User(email, token, ())))
        return User(email, token, tuple(item["id"] for item in page["items"]))


@contextmanager
def serve(
    checkout: Path = CHECKOUT, name: str = "", users: int = 50, each: int = 200, heavy: int = ROWS
) -> Iterator[Service]:
    """Serve a checkout with its gunicorn.conf.py: users with `each` movies, one with `heavy`."""
    bind = f"127.0.0.1:{free_port()}"
    with own_postgres() as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environment = {
            "WEB_CONCURRENCY": "2",
            **os.environ,
            "FLASK_SKIP_DOTENV": "1",
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
            service = Service(name, f"http://{bind}", environment, *pids, users)
            wait_until(lambda: _is_serving(service), process, log)
            service.fill(each, heavy)
            yield service
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


def _is_serving(service: Service) -> bool:
    try:
        return bool(service.fetch(http("GET", "/health")))
    except OSError:
        return False
