"""`python -m bench.rolling`: the requests that fail while the service is released or killed.

Two instances run behind a proxy, with its file of deploy/, on a temporary PostgreSQL and Redis.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
from alembic.script import ScriptDirectory

from tests.servers import CHECKOUT, OwnPostgres, free_port, own_postgres, redis, wait_until

from . import proc
from .load import CONNECTION_ERRORS, fetch
from .open_loop import RATE, OpenLoop
from .scenarios import PASSWORD, User, http

USERS = 4
PARTS = ("movies_api", "migrations", "wsgi.py", "gunicorn.conf.py")
FILES = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}
NGINX = """
daemon off; pid nginx.pid; events {{ worker_connections 4000; }}
http {{ access_log off; {paths} {text} }}
"""
PATHS = " ".join(
    f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
LATER = """
from alembic import op
from sqlalchemy import Column, Integer

revision, down_revision = "later", "{head}"

def upgrade():
    for table in ("users", "movies"):
        op.add_column(table, Column("later", Integer))
"""
PGBOUNCER = """
[databases]
* = host=127.0.0.1 port={postgres} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
"""
log = partial(print, file=sys.stderr, flush=True)  # stdout is for the table
Process = subprocess.Popen[bytes]
Signal = Callable[[int], None]


def spawn(command: list[str], log_file: Path, **options: Any) -> Process:
    """Start a process in a group of its own; append its output to a file."""
    with log_file.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, **options
        )


def is_ready(url: str, tls: ssl.SSLContext | None = None) -> bool:
    """Return whether an instance, or one behind a proxy, is ready for requests."""
    try:
        return fetch(url, http("GET", "/ready"), tls)[0] == 200
    except CONNECTION_ERRORS:
        return False


@dataclass
class Instance:
    """An instance of the service, started again on the same port as by a supervisor."""

    port: int
    environment: dict[str, str]
    log_file: Path
    process: Process | None = None

    def start(self, checkout: Path = CHECKOUT) -> None:
        """Start a release and wait until it is ready."""
        address = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "--bind", address, "wsgi:app"]
        self.process = spawn(command, self.log_file, cwd=checkout, env=self.environment)
        wait_until(lambda: is_ready(f"http://{address}"), self.process, self.log_file, 60)

    def stop(self, send: Signal = lambda pid: os.kill(pid, signal.SIGTERM)) -> None:
        """Send SIGTERM, or another signal, and wait until gunicorn's master has ended."""
        if self.process is not None:
            send(self.process.pid)
            self.process.wait(40)
            self.process = None


@dataclass
class Stack:
    """The servers of a run, and what happens to them under load."""

    folder: Path
    newer: Path
    postgres: OwnPostgres
    instances: list[Instance]
    pgbouncer: Process | None = None

    def migrate(self, checkout: Path) -> None:
        """Apply the migrations of a release."""
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
        environment = self.instances[0].environment
        subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)

    def release(self, checkout: Path) -> None:
        """Migrate, then restart one instance after the other."""
        self.migrate(checkout)
        for each in self.instances:
            each.stop()
            each.start(checkout)

    def restart(self, send: Signal) -> None:
        """Stop an instance and start it again."""
        self.instances[0].stop(send)
        self.instances[0].start()

    def kill_worker(self) -> None:
        """Kill a process of an instance; gunicorn starts another."""
        process = self.instances[0].process
        assert process is not None
        os.kill(proc.tree(process.pid)[1], signal.SIGKILL)

    def restart_postgres(self, how: int) -> None:
        """Stop PostgreSQL with a signal and start it again."""
        assert self.postgres.process is not None
        self.postgres.process.send_signal(how)
        self.postgres.process.wait(30)
        self.postgres.start()

    def start_pgbouncer(self, port: int) -> None:
        """Start PgBouncer in transaction mode."""
        file, log_file = (self.postgres.folder / f"pgbouncer.{kind}" for kind in ("ini", "log"))
        file.write_text(PGBOUNCER.format(postgres=self.postgres.port, port=port))
        self.pgbouncer = spawn(["pgbouncer", str(file)], log_file, **self.postgres.account)
        wait_until(lambda: bool(rows(url_of(port))), self.pgbouncer, log_file)

    def restart_pgbouncer(self) -> Callable[[], None]:
        """Put PgBouncer in front of PostgreSQL; return a function that restarts it."""
        port = free_port()
        self.start_pgbouncer(port)
        for each in self.instances:
            each.stop()
            each.environment["DATABASE_URL"] = url_of(port)
            each.start()

        def restart() -> None:
            assert self.pgbouncer is not None
            self.pgbouncer.send_signal(signal.SIGINT)  # as systemd does
            self.pgbouncer.wait(30)
            self.start_pgbouncer(port)

        return restart


def kill_9(pid: int) -> None:
    """Kill a process."""
    os.kill(pid, signal.SIGKILL)


# Each prepares the servers and returns what happens under load
EVENTS: dict[str, Callable[[Stack], Callable[[], None]]] = {
    "release with a migration": lambda stack: partial(stack.release, stack.newer),
    "rollback": lambda stack: partial(stack.release, CHECKOUT),
    "SIGTERM of an instance": lambda stack: partial(
        stack.restart, lambda pid: os.kill(pid, signal.SIGTERM)
    ),
    "kill -9 of a worker": lambda stack: stack.kill_worker,
    "kill -9 of a master": lambda stack: partial(stack.restart, kill_9),
    "kill -9 of an instance": lambda stack: partial(
        stack.restart, lambda pid: os.killpg(pid, signal.SIGKILL)
    ),
    "PostgreSQL, fast restart": lambda stack: partial(stack.restart_postgres, signal.SIGINT),
    "PostgreSQL, immediate restart": lambda stack: partial(stack.restart_postgres, signal.SIGQUIT),
    "PgBouncer restart": Stack.restart_pgbouncer,
}
WITHOUT_FAILURES = {*list(EVENTS)[:3]}


def url_of(port: int) -> str:
    """Return the URL of the database."""
    return f"postgresql://postgres@127.0.0.1:{port}/rolling"


def rows(url: str) -> dict[str, list[str]]:
    """Return the notes of all movies by title; empty if the database is unavailable."""
    found: dict[str, list[str]] = {}
    try:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT title, notes FROM movies UNION SELECT '', ''")
            for title, notes in cursor:
                found.setdefault(title, []).append(notes)
    except psycopg2.OperationalError:
        return {}
    return found


def newer_release(folder: Path) -> Path:
    """Copy the checkout and add a migration."""
    for name in PARTS:
        is_folder = (CHECKOUT / name).is_dir()
        (shutil.copytree if is_folder else shutil.copy)(CHECKOUT / name, folder / name)
    head = ScriptDirectory(str(folder / "migrations")).get_current_head()
    (folder / "migrations/versions/later.py").write_text(LATER.format(head=head))
    return folder


@contextmanager
def start_proxy(
    name: str, folder: Path, instances: list[Instance]
) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Start a proxy with its file of deploy/ and other ports; yield its URL and certificate."""
    pem, port = folder / "pem", free_port()
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    make = ["openssl", "req", "-x509", *kind, "-subj", "/CN=127.0.0.1"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(pem)]
    make += ["-keyout", str(folder / "key")]
    subprocess.run(make, check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + (folder / "key").read_bytes())
    text, file = (CHECKOUT / "deploy" / FILES[name]).read_text(), folder / FILES[name]
    for number, each in enumerate(instances, 11):
        text = text.replace(f"10.0.0.{number}:3001", f"127.0.0.1:{each.port}")
    text = re.sub(r"/etc/\S+\.pem", str(pem), text)
    text = re.sub("(bind|listen) :?443", rf"\1 127.0.0.1:{port}", text)
    text = text.replace("bind :80\n", f"bind 127.0.0.1:{free_port()}\n")
    command = ["haproxy", "-db", "-f", str(file)]
    if name == "nginx":
        text = NGINX.format(paths=PATHS, text=text)
        command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)]
    file.write_text(text)
    url, tls = f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=pem)
    process = spawn(command, folder / f"{name}.log")
    try:
        wait_until(lambda: is_ready(url, tls), process, folder / f"{name}.log")
        yield url, tls
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def start_stack() -> Iterator[Stack]:
    """Start PostgreSQL, Redis and two instances."""
    with (
        own_postgres() as postgres,
        redis() as redis_url,
        tempfile.TemporaryDirectory(prefix="rolling-") as name,
    ):
        database = postgres.create_database("rolling")
        with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
            connection.autocommit = True  # commits wait for the log, as by default
            cursor.execute("ALTER DATABASE rolling SET synchronous_commit = on")
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "SECRET_KEY": "rolling-only-5d1f0a7c9e3b4826a4c8e6f2b0d79135",
            "INSTANCE_DIR": name,
            "WEB_CONCURRENCY": "2",
            "PROXY_HOPS": "1",
        }
        folder = Path(name)
        (newer := folder / "newer").mkdir()
        instances = [
            Instance(free_port(), {**environment}, folder / f"instance-{number}.log")
            for number in range(2)
        ]
        stack = Stack(folder, newer_release(newer), postgres, instances)
        try:
            stack.migrate(CHECKOUT)
            for each in instances:
                each.start()
            yield stack
        finally:
            for each in instances:
                each.stop()
            if stack.pgbouncer is not None:
                stack.pgbouncer.kill()
                stack.pgbouncer.wait(30)


def sign_up(url: str, tls: ssl.SSLContext) -> User:
    """Return a new user."""
    body = {"name": "Rolling", "email": f"{uuid4()}@example.com", "password": PASSWORD}
    status, content = fetch(url, http("POST", "/auth/signup", body=body), tls)
    if status != 201:
        raise RuntimeError(f"signup: {status} {content.decode()}")
    return User(body["email"], json.loads(content)["accessToken"], ())


def measure(proxy: str, name: str, url: str, tls: ssl.SSLContext, stack: Stack) -> bool:
    """Run the load during an event, print a row, and return whether the bars are met."""
    event = EVENTS[name](stack)
    load = OpenLoop(name, url, tls, [sign_up(url, tls) for _ in range(USERS)])
    asyncio.run(load.run(event))
    found = rows(stack.postgres.url_of("rolling"))
    lost = sum(not expected & {*found.get(title, ())} for title, expected in load.expected.items())
    doubled = sum(len(notes) > 1 for title, notes in found.items() if title.startswith(name))
    for failure, example in load.examples.items():
        log(f"{proxy}, {name}: {load.failures[failure]} x {failure}: {example}")
    kinds = ", ".join(f"{count} x {what}" for what, count in sorted(load.failures.items()))
    cells = (proxy, name, load.sent, load.failures.total(), lost, doubled)
    row = [*cells, f"{load.disturbance:.1f}", f"{load.slowest:.1f}", kinds]
    print("| " + " | ".join(map(str, row)) + " |", flush=True)
    failed = load.failures.total() if name in WITHOUT_FAILURES else 0
    return not (failed or lost or doubled)


def main() -> int:
    """Print a table; return 1 if a bar is missed or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.rolling", description=__doc__)
    parser.add_argument("--proxy", choices=FILES, action="append", help="only this proxy")
    parser.add_argument("--event", default="", help="only events with this prefix")
    options = parser.parse_args()
    met: list[bool] = []
    print("| proxy | event | requests | failed | lost | duplicated | seconds | slowest | which |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.proxy or FILES:
        if missing := [each for each in (name, "openssl") if shutil.which(each) is None]:
            log(f"Skipped: {', '.join(missing)} not installed.")
            continue
        with start_stack() as stack, start_proxy(name, stack.folder, stack.instances) as front:
            for event in EVENTS:
                if event.startswith("PgBouncer") and shutil.which("pgbouncer") is None:
                    log(f"Skipped: {event}: pgbouncer is not installed.")
                elif event.startswith(options.event):
                    met.append(measure(name, event, *front, stack))
    log(f"{RATE} requests per second; load average {os.getloadavg()[1]:.1f}")
    return int(not met or not all(met))


if __name__ == "__main__":
    sys.exit(main())
