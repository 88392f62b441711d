"""Services under load: our own, started as in production, and those that run already."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import CHECKOUT, free_port, wait_until

from . import load
from .scenarios import BY_NAME, PASSWORD, Person, World
from .stage import Stage

PEOPLE, MOVIES = 50, 200  # on a service that is only known by its URL


@dataclass
class Target:
    """A service under load: where it is, who may ask, and whose CPU counts."""

    name: str
    url: str
    log_in: Callable[[], World]
    server_pids: list[int] = field(default_factory=list)
    database_pids: list[int] = field(default_factory=list)
    lacks: tuple[str, ...] = ()  # beginnings of the names of scenarios it cannot play

    def has(self, name: str) -> bool:
        """Tell whether it can play a scenario."""
        return not name.startswith(self.lacks)


@contextmanager
def serve(on: Stage, workers: int = 2, app: str = "wsgi:app") -> Iterator[Target]:
    """Serve an app as in production: gunicorn, our gunicorn.conf.py, log lines to a file."""
    bind = f"127.0.0.1:{free_port()}"
    url = f"http://{bind}"
    own = {**on.environment, "WEB_CONCURRENCY": str(workers), "LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--bind", bind, app]
    with tempfile.NamedTemporaryFile(prefix="movies-api-bench-") as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env={**os.environ, **own}, stdout=output, stderr=output
        )
        try:
            wait_until(lambda: _is_serving(url), process, Path(output.name))
            yield Target("movies_api", url, on.log_in, [process.pid], on.database_pids)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(35)


@contextmanager
def serve_tutorial(on: Stage, workers: int) -> Iterator[Target]:
    """Serve the tutorial way of the same movies, in the same way."""
    with serve(on, workers, "bench.tutorial:app") as target:
        target.name, target.lacks = "tutorial", ("refresh", "login", "heavy-cursor")
        yield target


def remote(url: str, server_pids: list[int], database_pids: list[int]) -> Target:
    """Return a service that runs already, with accounts and movies made over the wire."""
    emails = [f"bench-{time.time_ns()}-{number}@example.com" for number in range(PEOPLE)]
    for email in emails:
        ask(url, "POST", "/auth/signup", body={"name": "Ann", "email": email, "password": PASSWORD})
    create, world = BY_NAME["create"], World([_log_in(url, email) for email in emails])
    scripts = [create.script(world, lane) for lane in range(8)]
    done = load.run(url, scripts, create.status, 600, PEOPLE * MOVIES)
    if done.faults:
        raise load.LoadError(f"{url} takes no movies: {done.faults} {done.fault}")
    log_in = lambda: World([_log_in(url, email) for email in emails])  # noqa: E731
    return Target(url, url, log_in, server_pids, database_pids, ("heavy",))


def ask(
    url: str, method: str, path: str, token: str = "", body: object = None
) -> tuple[http.client.HTTPMessage, bytes]:
    """Return headers and body of one answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.headers, content


def _is_serving(url: str) -> bool:
    try:
        return bool(ask(url, "GET", "/health"))
    except OSError:
        return False


def _log_in(url: str, email: str) -> Person:
    headers, answer = ask(url, "POST", "/auth/login", body={"email": email, "password": PASSWORD})
    token = json.loads(answer).get("accessToken")
    if token is None:
        raise load.LoadError(f"{url} lets nobody in: {answer.decode()}")
    cookie = headers.get("Set-Cookie", "").partition("refreshToken=")[2].partition(";")[0]
    _, page = ask(url, "GET", "/movies", token)
    return Person(email, token, cookie, tuple(item["id"] for item in json.loads(page)["items"]))
