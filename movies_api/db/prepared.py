"""Prepared statements for frequent queries: compiled once, planned once per connection.

SQLAlchemy's execution takes as much CPU as the driver, and PostgreSQL takes longer to plan such a
statement than to execute it: docs/performance.md has the figures.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from select import POLLIN, poll
from typing import Any
from uuid import UUID

import psycopg2
from blinker import signal
from psycopg2.extensions import new_type, register_type
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ..logs import log

PARAMETER = re.compile(r"%\((\w+)\)s")
# Not prepared on this connection, or a migration has changed the type of its result
NOT_PREPARED_CODES = {"26000", "0A000"}
ALREADY_PREPARED_CODE = "42P05"
# Per connection; the least recently used one is deallocated first. A plan uses up to 1 MB
MAX_PREPARED = 50
statement_prepared = signal("statement-prepared")


class Prepared:
    """A SQLAlchemy statement that is sent to PostgreSQL by name, with its values.

    It has parameters, none of which expands to a list, and its best plan does not depend on them.
    """

    def __init__(self, statement: Any) -> None:
        """Store the statement; its first execution compiles it."""
        self.statement = statement
        self.text = ""
        self.labels: tuple[str, ...] = ()
        self.parameters = frozenset(statement.compile().params)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise a TypeError that names values without a parameter in the statement."""
        if unknown := values.keys() - self.parameters:
            raise TypeError(
                f"the statement has no parameter {', '.join(sorted(unknown))}: {self.statement}"
            )

    def compile(self, engine: Engine) -> None:
        """Compile the statement into PREPARE and EXECUTE commands."""
        compiled = self.statement.compile(engine)
        self.constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }
        text = str(compiled)
        self.names = list(dict.fromkeys(PARAMETER.findall(text)))
        numbered = PARAMETER.sub(lambda found: f"${self.names.index(found[1]) + 1}", text)
        # A hash of the text, so that a name always stands for the same statement
        self.name = f"movies_{sha256(numbered.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {self.name} AS {numbered.replace('%%', '%')}"
        self.execute = f"EXECUTE {self.name}({', '.join(['%s'] * len(self.names))})"
        self.text = text

    def rows(
        self, engine: Engine, values: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Execute on PostgreSQL in autocommit; return labels and rows."""
        if not self.text:
            self.compile(engine)
        by_name = {**self.constants, **values}
        sent = [
            str(value) if isinstance(value := by_name[name], UUID) else value for name in self.names
        ]
        # Use the pool's connection records directly, without SQLAlchemy's proxy for each checkout
        pool: Any = engine.pool
        record = None
        try:
            record = pool._do_get()  # noqa: SLF001
            connection = _live_connection(record)
            cursor = connection.cursor()
            self._send(cursor, record.info, sent)
            self.labels = self.labels or tuple(name for name, *_ in cursor.description)
            return self.labels, cursor.fetchall()
        except psycopg2.Error as error:
            raise self._wrap_error(error, engine, record) from error
        finally:
            if record is not None:
                pool._do_return_conn(record)  # noqa: SLF001

    def _wrap_error(self, error: psycopg2.Error, engine: Engine, record: Any) -> Exception:
        """Return the error as SQLAlchemy raises it; invalidate the connection if it is lost."""
        dialect: Any = engine.dialect
        connection = record and record.dbapi_connection
        is_lost = connection is not None and dialect.is_disconnect(error, connection, None)
        if is_lost:
            record.invalidate(error)
        return DBAPIError.instance(
            self.text,
            None,
            error,
            psycopg2.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        )

    def _send(self, cursor: Any, info: dict[str, Any], sent: list[Any]) -> None:
        prepared = info.setdefault("prepared", {})
        if prepared is not None:
            try:
                if self.name in prepared:
                    del prepared[self.name]
                else:
                    self._prepare(cursor, prepared)
                prepared[self.name] = None  # last key: most recently used
                cursor.execute(self.execute, sent)
            except psycopg2.Error as error:
                if error.pgcode not in NOT_PREPARED_CODES:  # before anything is executed
                    raise
                log.info("prepared statements disabled: a pooler in transaction mode is in use")
                info["prepared"] = None
            else:
                return
        cursor.execute(self.text, dict(zip(self.names, sent, strict=True)))

    def _prepare(self, cursor: Any, prepared: dict[str, None]) -> None:
        if not prepared:
            # With LIMIT as a parameter, PostgreSQL would plan each list again
            cursor.execute("SET plan_cache_mode = force_generic_plan")
        elif len(prepared) >= MAX_PREPARED:
            oldest = next(iter(prepared))
            del prepared[oldest]
            cursor.execute(f"DEALLOCATE {oldest}")
        try:
            cursor.execute(self.prepare)
            statement_prepared.send()
        except psycopg2.Error as error:
            if error.pgcode != ALREADY_PREPARED_CODE:
                raise


def _live_connection(record: Any) -> Any:
    """Return the connection of a pool record; replace it if the server has closed it."""
    is_used = record.dbapi_connection is not None
    connection = record.get_connection()
    if is_used and is_dead(connection):
        record.invalidate()
        connection = record.get_connection()
    return connection


def is_dead(connection: Any) -> bool:
    """Return whether the server has closed an idle connection, without a round trip."""
    # An idle connection has nothing to read unless the server has closed it
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))


@lru_cache(maxsize=4096)
def _uuid_from(text: str) -> UUID:
    return UUID(text)


# The ids of users and sessions repeat on every request: a cache lookup takes 0.1 µs, not 2
UUIDS = new_type((2950,), "UUID", lambda text, _: None if text is None else _uuid_from(text))


def read_uuids(connection: Any) -> None:
    """Parse the connection's UUIDs with a cache."""
    register_type(UUIDS, connection)
