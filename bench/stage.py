"""The stage: a PostgreSQL with data in it, and perhaps a PgBouncer before it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from flask import Flask
from flask_migrate import upgrade

from movies_api import create_app
from movies_api.config import Config
from tests.servers import OwnPostgres, own_postgres

from . import data
from .pgbouncer import pgbouncer
from .scenarios import World

SECRET_KEY = "bench-only-5d1f0a7c9e3b4826a4c8e6f2b0d79135"
SAMPLED = 200
# Memory as an operator would give it; and commits that wait for the log, as they do by default
SERVER = ("shared_buffers = '1GB'", "max_wal_size = '8GB'")
DATABASE = ("synchronous_commit = on",)


@dataclass
class Stage:
    """What all services of a run share."""

    url: str  # of the database itself
    app: Flask  # ours, for its functions
    environment: dict[str, str]  # of a service
    database_pids: list[int]
    heavy_count: int = 0
    cursor: str = ""

    def log_in(self) -> World:
        """Give people fresh sessions."""
        people = data.log_in(self.app, self.url, "person", SAMPLED)
        heavy = data.log_in(self.app, self.url, f"heavy-{self.heavy_count}-", 1)
        return World(people, heavy[0] if heavy else None, self.heavy_count, self.cursor)

    def add_people(self, numbers: range, each: int) -> None:
        """Add people, numbered, with so many movies each."""
        data.add_people(self.app, self.url, "person", numbers, each)

    def add_heavy(self, count: int) -> None:
        """Add somebody with so many movies; from now on theirs is the heavy collection."""
        data.add_people(self.app, self.url, f"heavy-{count}-", range(1, 2), count)
        self.heavy_count = count
        world = self.log_in()
        assert world.heavy is not None
        path, head = f"/movies?page={world.deep_page}", f"Bearer {world.heavy.token}"
        page = self.app.test_client().get(path, headers={"Authorization": head}).get_json()
        self.cursor = page["meta"]["nextCursor"] or ""


@contextmanager
def stage(
    people: int = 1000, each: int = 200, heavy: int = 100_000, *, pooled: bool = False
) -> Iterator[Stage]:
    """Start a PostgreSQL and fill it: people with movies each, and one heavy person."""
    with ExitStack() as stack:
        server = stack.enter_context(own_postgres())
        url = prepared(server)
        own = {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, "RATELIMIT_ENABLED": "false"}
        own["INSTANCE_DIR"] = str(server.folder / "instance")
        app = create_app(Config.from_environ({**own, "LOG_LEVEL": "WARNING"}))
        with app.app_context():
            upgrade()
        data.add_vocabulary(url)
        assert server.process is not None
        made = Stage(url, app, own, [server.process.pid])
        made.add_people(range(1, people + 1), each)
        if heavy:
            made.add_heavy(heavy)
        if pooled:
            port, pid = stack.enter_context(pgbouncer(server))
            own["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{port}/bench"
            made.database_pids.append(pid)
        yield made


def prepared(server: OwnPostgres) -> str:
    """Set up the server, and return the URL of an empty database on it."""
    with data.connected(server.url) as cursor:
        for setting in SERVER:
            cursor.execute(f"ALTER SYSTEM SET {setting}")
    server.stop()
    server.start()
    url = server.create_database("bench")
    with data.connected(url) as cursor:
        for setting in DATABASE:
            cursor.execute(f"ALTER DATABASE bench SET {setting}")
    return url
