"""Prepared statements: what nearly every request asks, compiled once and planned once a connection.

To go through SQLAlchemy's execution costs as much CPU as the driver itself, and PostgreSQL plans
such a statement for longer than it executes it: docs/performance.md has the figures.
"""

import re
from collections import namedtuple
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from .logs import log

PARAMETER = re.compile(r"%\((\w+)\)s")
# Not prepared on this connection after all; or a migration has changed the type of its result
UNPLANNED = {"26000", "0A000"}
THERE_ALREADY = "42P05"


class Prepared:
    """A statement of SQLAlchemy's that PostgreSQL is sent by name, with values alone.

    It has parameters, none of which expands to a list, and the best plan is the same whatever they
    are.
    """

    def __init__(self, statement: Any) -> None:
        """Take the statement; it is compiled when it is first executed."""
        self.statement = statement
        self.text = ""
        self.row: Any = None

    def compile(self, engine: Engine) -> None:
        """Find out how the statement is sent."""
        compiled = self.statement.compile(engine)
        told = compiled.params.items()
        self.constants = {name: value for name, value in told if value is not None}
        text = str(compiled)
        self.names = list(dict.fromkeys(PARAMETER.findall(text)))
        numbered = PARAMETER.sub(lambda found: f"${self.names.index(found[1]) + 1}", text)
        # By its content: whoever has prepared a statement of that name has prepared this one
        name = f"movies_{sha256(numbered.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {name} AS {numbered.replace('%%', '%')}"
        self.execute = f"EXECUTE {name}({', '.join(['%s'] * len(self.names))})"
        self.text = text

    def rows(self, engine: Engine, values: Mapping[str, Any]) -> list[Any]:
        """Execute on PostgreSQL, as a transaction of its own; return named tuples."""
        if not self.text:
            self.compile(engine)
        given = {**self.constants, **values}
        sent = [
            str(value) if isinstance(value := given[name], UUID) else value for name in self.names
        ]
        connection = None
        try:
            connection = engine.raw_connection()
            cursor = connection.cursor()
            self._send(cursor, connection.info, sent)
            found = cursor.fetchall()
            self.row = self.row or _row_type(name for name, *_ in cursor.description)
        except psycopg2.Error as error:
            raise self._known(error, engine, connection) from error
        finally:
            if connection is not None:
                connection.close()
        return [self.row._make(each) for each in found]

    def _known(self, error: psycopg2.Error, engine: Engine, connection: Any) -> Exception:
        """Return the error as SQLAlchemy would raise it, and give up a connection that is lost."""
        dialect: Any = engine.dialect
        is_lost = connection is not None and dialect.is_disconnect(error, connection, None)
        if is_lost:
            connection.invalidate(error)
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
        prepared = info.setdefault("prepared", set())
        if prepared is not None:
            try:
                if self.execute not in prepared:
                    self._prepare(cursor)
                    prepared.add(self.execute)
                cursor.execute(self.execute, sent)
            except psycopg2.Error as error:
                if error.pgcode not in UNPLANNED:  # these two come before anything is done
                    raise
                log.info("no prepared statements: a pooler hands out the database by transaction")
                info["prepared"] = None
            else:
                return
        cursor.execute(self.text, dict(zip(self.names, sent, strict=True)))

    def _prepare(self, cursor: Any) -> None:
        try:
            cursor.execute(self.prepare)
        except psycopg2.Error as error:
            if error.pgcode != THERE_ALREADY:
                raise


def _row_type(labels: Iterable[str]) -> Any:
    return namedtuple("Row", labels)  # noqa: PYI024  known only now
