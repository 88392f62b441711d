"""Fixtures: databases, apps, personas and the running service."""

from __future__ import annotations

import gc
import json
import logging
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, cast

import flask_migrate
import itsdangerous
import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from movies_api import create_app
from movies_api.config import Config
from movies_api.db import db
from movies_api.logs import JsonFormatter

from .client import Client
from .servers import (
    CHEAP_ARGON2,
    CHECKOUT,
    SECRET_KEY,
    Mailbox,
    OwnPostgres,
    Postgres,
    Service,
    gunicorn,
    mail_server,
    own_postgres,
    postgres,
)

MAIL = {"FRONTEND_URL": "https://app.example.com", "MAIL_FROM": "Movies <movies@example.com>"}
KINDS = ("sqlite", "postgresql")
os.environ["FLASK_SKIP_DOTENV"] = "1"  # a .env of the checkout must not change the tests


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --database, which restricts the run to one kind."""
    parser.addoption(
        "--database", choices=KINDS, help="run on one kind of database only (default: both)"
    )


# Fixtures that start servers or take seconds; `make quick` skips every test that uses one
SLOW_FIXTURES = {"mailbox", "restartable_server", "running_service", "server", "service"}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; make SIGTERM stop the started servers, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.addinivalue_line("markers", "only_on(*kinds): runs on these kinds of database only")
    config.addinivalue_line("markers", "slow: starts servers or takes seconds; not in `make quick`")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs a database once on every kind."""
    if "database" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("only_on")
        metafunc.parametrize(
            "database", marker.args if marker else KINDS, indirect=True, scope="session"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark slow tests; deselect, not skip, those of the kind that --database excludes."""
    for item in items:
        if isinstance(item, pytest.Function) and SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    chosen = config.getoption("--database")
    if chosen is None:
        return
    kinds = {item: _kind_of(item) for item in items}
    config.hook.pytest_deselected(
        items=[item for item in items if kinds[item] not in (None, chosen)]
    )
    items[:] = [item for item in items if kinds[item] in (None, chosen)]


_started = count()


def pytest_runtest_setup() -> None:
    """Keep garbage collection fast: each import runs it, and the heap of a test run is large."""
    if next(_started) % 20 == 0:
        gc.collect()
        gc.freeze()


def _kind_of(item: pytest.Item) -> str | None:
    """Return the kind of database a test runs on; None when it needs none."""
    if isinstance(item, pytest.Function):
        if hasattr(item, "callspec") and "database" in item.callspec.params:
            return str(item.callspec.params["database"])
        if {"server", "restartable_server", "strict_server"} & set(item.fixturenames):
            return "postgresql"
    return None


class Database:
    """A migrated database; `engine` is for the tests, separate from the app's."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind, self.url = kind, url
        self.engine = engine_for(url)

    @property
    def is_postgresql(self) -> bool:
        """Return whether this is PostgreSQL."""
        return self.kind == "postgresql"

    def execute(self, statement: Any, values: Any = None) -> list[Any]:
        """Execute and commit a statement, SQL text or an expression, and return its rows."""
        with self.engine.begin() as connection:
            result = connection.execute(
                text(statement) if isinstance(statement, str) else statement, values
            )
            return list(result.all()) if result.returns_rows else []

    def clear(self) -> None:
        """Delete all rows of all tables."""
        with self.engine.begin() as connection:
            for table in reversed(db.metadata.sorted_tables):
                connection.execute(table.delete())


def engine_for(url: str) -> Engine:
    """Return an SQLAlchemy engine that keeps no connections."""
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        return create_engine(address.set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    return create_engine(address, poolclass=NullPool, connect_args={"timeout": 10})


def config_for(url: str, instance: Path, **variables: str) -> Config:
    """Return test settings: the defaults with cheap password hashes and without rate limits."""
    environment = {
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET_KEY,
        "INSTANCE_DIR": str(instance),
        "RATELIMIT_ENABLED": "false",
        **CHEAP_ARGON2,
    }
    return Config.from_environ({**environment, **variables})


def app_for(config: Config) -> Flask:
    """Return an app whose test client validates responses."""
    app = create_app(config)
    app.test_client_class = Client
    _apps.append(app)
    return app


_apps: list[Flask] = []


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    """Close connections and drop pending mail of the apps that the test created."""
    yield
    while _apps:
        app = _apps.pop()
        app.extensions["outbox"].is_draining = True  # no further attempts
        app.extensions["outbox"].waiting.clear()
        with app.app_context():
            db.engine.dispose()


def migrate(app: Flask) -> None:
    """Migrate the database of an app."""
    with app.app_context():
        flask_migrate.upgrade(directory=str(CHECKOUT / "migrations"))


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with postgres() as server:
        yield server


@pytest.fixture
def restartable_server() -> Iterator[OwnPostgres]:
    """A PostgreSQL server that the test may stop and start."""
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """The migrated database of the run, one of each kind."""
    if request.param == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'movies.db'}")
        return
    server: Postgres = request.getfixturevalue("server")
    yield Database("postgresql", server.create_database("movies_api_tests"))
    server.drop_database("movies_api_tests")


@pytest.fixture(scope="session")
def migrated_app(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The app of the run, with a migrated database."""
    app = app_for(config_for(database.url, tmp_path_factory.mktemp("instance")))
    _apps.remove(app)  # it is used by the whole run
    migrate(app)
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def cleared_app(migrated_app: Flask, database: Database) -> Flask:
    """The app of the run, with an empty database and no pending mail."""
    migrated_app.extensions["outbox"].join()
    database.clear()
    migrated_app.extensions.pop("outages", None)  # each is logged once a minute
    return migrated_app


@pytest.fixture
def app(cleared_app: Flask) -> Flask:
    """The app, with an empty database; modules may override it."""
    return cleared_app


@pytest.fixture
def make_app(cleared_app: Flask, database: Database, tmp_path: Path) -> Callable[..., Flask]:
    """A function that creates another app on the same database with other settings."""
    return lambda **variables: app_for(config_for(database.url, tmp_path, **variables))


@pytest.fixture
def make_client(app: Flask) -> Callable[[], Client]:
    """A function that creates another anonymous client with its own cookies."""
    return lambda: cast(Client, app.test_client())


@pytest.fixture
def client(make_client: Callable[[], Client]) -> Client:
    """An anonymous client."""
    return make_client()


@pytest.fixture
def alice(make_client: Callable[[], Client]) -> Client:
    """Alice, logged in."""
    return make_client().sign_up("Alice")


@pytest.fixture
def bob(make_client: Callable[[], Client]) -> Client:
    """Bob, logged in."""
    return make_client().sign_up("Bob")


@pytest.fixture
def run_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Any]], None]:
    """A function that runs a concurrent request just before an account view calls a function."""

    def insert(name: str, act: Callable[[], Any]) -> None:
        target = f"movies_api.account.views.{name}"
        real = pkgutil.resolve_name(target)

        def act_first(*values: Any) -> Any:
            monkeypatch.setattr(target, real)
            with ThreadPoolExecutor(1) as threads:  # a thread does not share the transaction
                threads.submit(act).result()
            return real(*values)

        monkeypatch.setattr(target, act_first)

    return insert


@pytest.fixture
def empty_database(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Database]:
    """Another database of the same kind, without tables."""
    if not database.is_postgresql:
        yield Database("sqlite", f"sqlite:///{tmp_path / 'empty.db'}")
        return
    server: Postgres = request.getfixturevalue("server")
    yield Database("postgresql", server.create_database("movies_api_empty"))
    server.drop_database("movies_api_empty")


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """The log of the service, as JSON lines."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("movies_api")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.fixture
def lines(app: Flask, stream: StringIO) -> Callable[[], list[dict[str, Any]]]:
    """A function that returns the parsed log lines so far."""
    return lambda: [json.loads(line) for line in stream.getvalue().split("\n") if line]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mail server."""
    with mail_server() as mailbox:
        yield mailbox


@pytest.fixture
def mailing_app(make_app: Callable[..., Flask], mailbox: Mailbox) -> Flask:
    """An app that sends mail to `mailbox`."""
    return make_app(SMTP_URL=mailbox.url, **MAIL)


@pytest.fixture
def files(app: Flask) -> Callable[[], list[str]]:
    """A function that lists the files in the image folder, which is empty at first."""
    folder = app.extensions["movies_api"].image_dir
    for path in folder.glob("*"):
        path.unlink()
    return lambda: sorted(path.name for path in folder.glob("*"))


class Clock:
    """The app's clock, which tests can advance."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def advance(self, **time: float) -> None:
        """Advance the clock by `days=`, `minutes=` and so on."""
        self.ahead += timedelta(**time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that the test can advance, for rows, signed tokens and in the database."""
    clock = Clock()
    real = itsdangerous.TimestampSigner.get_timestamp

    class Shifted(datetime):
        """Replaces the datetime of movies_api.db, the only clock of the package."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + clock.ahead

    monkeypatch.setattr("movies_api.db.datetime", Shifted)
    monkeypatch.setattr(
        itsdangerous.TimestampSigner,
        "get_timestamp",
        lambda signer: real(signer) + round(clock.ahead.total_seconds()),
    )

    def shift(connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> Any:
        now = {"postgresql": "(CURRENT_TIMESTAMP + interval '{} s')"}.get(
            connection.dialect.name, "datetime('now', '{} seconds')"
        )
        seconds = clock.ahead.total_seconds()
        return statement.replace("CURRENT_TIMESTAMP", now.format(seconds)), values

    event.listen(Engine, "before_cursor_execute", shift, retval=True)
    yield clock
    event.remove(Engine, "before_cursor_execute", shift)


@pytest.fixture(scope="session")
def running_service(migrated_app: Flask, database: Database) -> Iterator[Service]:
    """The service with two workers, on the database of the run."""
    with gunicorn(database.url, workers=2) as service:
        yield service


@pytest.fixture
def service(app: Flask, running_service: Service) -> Service:
    """The running service, with an empty database."""
    return running_service
