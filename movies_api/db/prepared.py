"""Prepared statements: what nearly every request asks, compiled once and planned once a connection.

To go through SQLAlchemy's execution costs as much CPU as the driver itself, and PostgreSQL plans
such a statement for longer than it executes it: docs/performance.md has the figures.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from select import POLLIN, poll
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extensions import new_type, register_type
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ..logs import log

PARAMETER = re.compile(r"%\((\w+)\)s")
# Not prepared on this connection after all; or a migration has changed the type of its result
NOT_PREPARED_CODES = {"26000", "0A000"}
ALREADY_PREPARED_CODE = "42P05"
# On each connection; the least recently used one makes room for the next. A plan takes up to 1 MB
MAX_PREPARED = 50


class Prepared:
    """A statement of SQLAlchemy's that PostgreSQL is sent by name, with values alone.

    It has parameters, none of which expands to a list, and the best plan is the same whatever they
    are.
    """

    def __init__(self, statement: Any) -> None:
        """Take the statement; it is compiled when it is first executed."""
        self.statement = statement
        self.text = ""
        self.labels: tuple[str, ...] = ()
        self.parameters = frozenset(statement.compile().params)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise a TypeError that names the values which the statement does not take."""
        if unknown := values.keys() - self.parameters:
            raise TypeError(
                f"the statement takes no {', '.join(sorted(unknown))}: {self.statement}"
            )

    def compile(self, engine: Engine) -> None:
        """Find out how the statement is sent."""
        compiled = self.statement.compile(engine)
        told = compiled.params.items()
        self.constants = {name: value for name, value in told if value is not None}
        text = str(compiled)
        self.names = list(dict.fromkeys(PARAMETER.findall(text)))
        numbered = PARAMETER.sub(lambda found: f"${self.names.index(found[1]) + 1}", text)
        # By its content: whoever has prepared a statement of that name has prepared this one
        self.name = f"movies_{sha256(numbered.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {self.name} AS {numbered.replace('%%', '%')}"
        self.execute = f"EXECUTE {self.name}({', '.join(['%s'] * len(self.names))})"
        self.text = text

    def rows(
        self, engine: Engine, values: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Execute on PostgreSQL, as a transaction of its own; return labels and rows."""
        if not self.text:
            self.compile(engine)
        given = {**self.constants, **values}
        sent = [
            str(value) if isinstance(value := given[name], UUID) else value for name in self.names
        ]
        # The pool's own places, without the proxy that SQLAlchemy makes for each use of one
        pool: Any = engine.pool
        place = None
        try:
            place = pool._do_get()  # noqa: SLF001
            connection = _living(place)
            cursor = connection.cursor()
            self._send(cursor, place.info, sent)
            self.labels = self.labels or tuple(name for name, *_ in cursor.description)
            return self.labels, cursor.fetchall()
        except psycopg2.Error as error:
            raise self._known(error, engine, place) from error
        finally:
            if place is not None:
                pool._do_return_conn(place)  # noqa: SLF001

    def _known(self, error: psycopg2.Error, engine: Engine, place: Any) -> Exception:
        """Return the error as SQLAlchemy would raise it, and give up a connection that is lost."""
        dialect: Any = engine.dialect
        connection = place and place.dbapi_connection
        is_lost = connection is not None and dialect.is_disconnect(error, connection, None)
        if is_lost:
            place.invalidate(error)
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
                prepared[self.name] = None  # the last key is the one used last
                cursor.execute(self.execute, sent)
            except psycopg2.Error as error:
                if error.pgcode not in NOT_PREPARED_CODES:  # these two come before anything is done
                    raise
                log.info("no prepared statements: a pooler hands out the database by transaction")
                info["prepared"] = None
            else:
                return
        cursor.execute(self.text, dict(zip(self.names, sent, strict=True)))

    def _prepare(self, cursor: Any, prepared: dict[str, None]) -> None:
        if not prepared:
            # LIMIT as a parameter would have PostgreSQL plan each list again
            cursor.execute("SET plan_cache_mode = force_generic_plan")
        elif len(prepared) >= MAX_PREPARED:
            oldest = next(iter(prepared))
            del prepared[oldest]
            cursor.execute(f"DEALLOCATE {oldest}")
        try:
            cursor.execute(self.prepare)
        except psycopg2.Error as error:
            if error.pgcode != ALREADY_PREPARED_CODE:
                raise


def _living(place: Any) -> Any:
    """Return the connection of a place in the pool, a new one if its server went away."""
    is_used = place.dbapi_connection is not None
    connection = place.get_connection()
    if is_used and is_dead(connection):
        place.invalidate()
        connection = place.get_connection()
    return connection


def is_dead(connection: Any) -> bool:
    """Tell whether the server of an idle connection went away; unlike a ping it asks nobody."""
    # It has nothing to read, unless the server has said goodbye
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))


@lru_cache(maxsize=4096)
def _uuid_from(text: str) -> UUID:
    return UUID(text)


# The ids of users and sessions come again with each request: 0.1 µs in place of 2
UUIDS = new_type((2950,), "UUID", lambda text, _: None if text is None else _uuid_from(text))


def read_uuids(connection: Any) -> None:
    """Have the connection's UUIDs parsed once."""
    register_type(UUIDS, connection)
