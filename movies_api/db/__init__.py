"""Engines and transactions, constraint names, UTC times, and functions to execute statements."""

import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

from flask import Flask, current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Engine,
    Executable,
    MetaData,
    Row,
    TypeDecorator,
    event,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase

from ..config import Config, ConfigError, current_config
from .prepared import Prepared, is_dead, read_uuids

IDLE_SECONDS = 60  # in a transaction; our code takes less than half of it between statements
PROGRESS_STEPS = 100_000  # of SQLite's virtual machine, a few milliseconds


class Base(DeclarativeBase):
    """The declarative base; it names every constraint so that migrations can refer to it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class WriteSession(Session):
    """A session whose statements run in a transaction, unlike those in autocommit."""

    def get_bind(self, *_: Any, **__: Any) -> Engine:
        """Return the engine that uses transactions."""
        engine: Engine = current_app.extensions["writer"]
        return engine


# expire_on_commit=False: rows are values and are not reloaded after a commit
db = SQLAlchemy(
    model_class=Base, session_options={"class_": WriteSession, "expire_on_commit": False}
)
migrate = Migrate()


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC datetime, even if the database drops or converts the time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to naive UTC on SQLite, which stores no time zone."""
        if value is not None and dialect.name == "sqlite":
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return UTC."""
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def engine_options(config: Config) -> dict[str, Any]:
    """Return the options of create_engine; the timeouts limit waiting to a few seconds."""
    # AUTOCOMMIT saves a single SELECT two round trips, BEGIN and ROLLBACK
    # hide_parameters keeps emails and hashes out of the log
    common = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
    if config.is_embedded:
        return {**common, "connect_args": {"timeout": config.db_lock_timeout_ms / 1000}}
    return {
        **common,
        "pool_size": config.db_pool_size,
        "max_overflow": 0,
        "pool_timeout": 2,
        "pool_recycle": 1800,
        "connect_args": {"connect_timeout": 2, "tcp_user_timeout": 2_000},
    }


def init_db(app: Flask, config: Config) -> None:
    """Bind the database and its migrations to the app."""
    db.init_app(app)
    folder = Path(app.root_path).parent / "migrations"
    if not folder.is_dir():
        raise ConfigError(f"{folder} is missing: run the service from a checkout.")
    migrate.init_app(app, db, str(folder), compare_type=True, render_as_batch=config.is_embedded)
    with app.app_context():
        prepare = _prepare_sqlite if config.is_embedded else _prepare_postgresql
        prepare(db.engine, config)
        app.extensions["reader"] = db.engine  # db.engine is a lookup on each access
        level = "SERIALIZABLE" if config.is_embedded else "READ COMMITTED"
        writer = app.extensions["writer"] = db.engine.execution_options(isolation_level=level)
        event.listen(writer, "begin", _begin_sqlite if config.is_embedded else _begin_postgresql)


def _prepare_sqlite(engine: Engine, config: Config) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, record: Any) -> None:
        """Enforce foreign keys, use WAL, and install the statement timeout."""
        for pragma in ("foreign_keys = ON", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.set_progress_handler(
            lambda: monotonic() > record.info.get("deadline", math.inf), PROGRESS_STEPS
        )

    @event.listens_for(engine, "before_cursor_execute")
    def set_deadline(connection: Connection, *_: Any) -> None:
        """Set the time at which to interrupt the statement; SQLite has no statement_timeout."""
        timeout = _long_timeout(connection) or config.db_statement_timeout_ms
        connection.info["deadline"] = monotonic() + timeout / 1000


def _begin_sqlite(connection: Connection) -> None:
    """Lock at BEGIN: SQLite ignores FOR UPDATE, and upgrading a lock later may fail immediately."""
    timeout = _long_timeout(connection)
    if timeout is None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {timeout}")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {current_config().db_lock_timeout_ms}")


def _begin_postgresql(connection: Connection) -> None:
    """Set the timeouts of a long transaction; SET LOCAL also works behind PgBouncer."""
    timeout = _long_timeout(connection)
    if timeout is not None:
        connection.exec_driver_sql(
            f"SET LOCAL statement_timeout = {timeout}; SET LOCAL lock_timeout = {timeout}"
        )


def _long_timeout(connection: Connection) -> int | None:
    timeout: int | None = connection.get_execution_options().get("long_timeout_ms")
    return timeout


def begin_long_transaction() -> None:
    """Roll back the request's transaction and begin one with DB_IMPORT_TIMEOUT_MS."""
    db.session.rollback()
    options = {"long_timeout_ms": current_config().db_import_timeout_ms}
    db.session.connection(execution_options=options)


def _prepare_postgresql(engine: Engine, config: Config) -> None:
    # In one round trip. The time zone is UTC because orjson writes the offset it gets
    setup = f"""
        SET TIME ZONE 'UTC';
        SET statement_timeout = {config.db_statement_timeout_ms};
        SET lock_timeout = {config.db_lock_timeout_ms};
        SET idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}
    """.strip()

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        """Set the time zone and the timeouts of the session, and the cache of parsed UUIDs."""
        connection.cursor().execute(setup)
        connection.commit()
        read_uuids(connection)

    @event.listens_for(engine, "checkout")
    def discard_stale(connection: Any, record: Any, _proxy: Any) -> None:
        """Replace a connection that the server has closed."""
        if "is_used" not in record.info:  # new: SQLAlchemy raises an error if it is dead, too
            record.info["is_used"] = True
        elif is_dead(connection):
            raise DisconnectionError


def autocommit_all(
    statement: Executable | Prepared, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Execute a statement in autocommit; return its rows as dicts by label."""
    labels, rows = _execute_autocommit(statement, values)
    return [dict(zip(labels, row, strict=True)) for row in rows]


def autocommit_one(statement: Executable | Prepared, values: Mapping[str, Any]) -> Row[Any] | None:
    """Execute a statement in autocommit; return its first row, or None."""
    labels, rows = _execute_autocommit(statement, values)
    return _row_type(labels)._make(rows[0]) if rows else None


@lru_cache(maxsize=256)
def _row_type(labels: tuple[str, ...]) -> Any:
    return namedtuple("Row", labels)  # noqa: PYI024  the labels are known only at run time


def _execute_autocommit(
    statement: Executable | Prepared, values: Mapping[str, Any]
) -> tuple[tuple[str, ...], Sequence[Any]]:
    engine: Engine = current_app.extensions["reader"]
    if isinstance(statement, Prepared):
        statement.check(values)
        if engine.dialect.name == "postgresql":
            return statement.rows(engine, values)
    executable = statement.statement if isinstance(statement, Prepared) else statement
    with engine.connect() as connection:
        result = connection.execute(executable, values)
        return tuple(result.keys()), result.all()


def execute_in_transaction(
    statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    """Execute in the request's transaction; the view commits."""
    result = db.session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return result
