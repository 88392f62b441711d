"""Run Alembic migrations: one at a time, each in one transaction."""

import random
import warnings
from collections.abc import Iterable
from time import sleep

import click
from alembic import context
from flask import current_app
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from movies_api.db.outages import cause_of, driver_message

LOCK = 4_815_162_342  # advisory lock key: an arbitrary number
# While a migration waits for a lock, requests wait behind it: less than the time after which the
# service rejects them (STUCK_AFTER in thread_pools.py), and than PostgreSQL's deadlock_timeout
LOCK_TIMEOUT_MS = 200
SQLITE_TIMEOUT_MS = 600_000
ATTEMPTS = 80
LOCKED = {"55P03", "57014", "40P01"}  # lock timeout, statement timeout, deadlock
# Only on PostgreSQL, the first only where pg_trgm could be created; see the migrations
OPTIONAL_INDEXES = {"ix_movies_search", "ix_movies_created", "ix_movies_owner_start"}
# SQLAlchemy does not read indexes of expressions from SQLite
warnings.filterwarnings("ignore", ".*expression-based index")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether autogenerate compares the object."""
    return not (kind == "index" and name in OPTIONAL_INDEXES)


def run() -> None:
    """Migrate; retry while the service holds locks that a migration needs."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return migrate()
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in LOCKED or attempt == ATTEMPTS:
                if (cause := cause_of(error)) and cause.name != "migrations_pending":
                    raise click.ClickException(f"{cause.text} {driver_message(error)}") from error
                raise
        click.echo(f"The tables are locked: attempt {attempt} of {ATTEMPTS} failed. Retrying.")
        sleep(random.uniform(0.2, 1))  # noqa: S311  no secret
    return None


def migrate() -> None:
    """Migrate in one transaction; a lock makes concurrent releases wait for each other."""
    database = current_app.extensions["migrate"].db
    with current_app.extensions["writer"].connect() as connection:
        is_postgresql = connection.dialect.name == "postgresql"
        connection.execution_options(long_timeout_ms=0 if is_postgresql else SQLITE_TIMEOUT_MS)
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            include_name=is_ours,
            transactional_ddl=True,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            if is_postgresql:  # on SQLite, BEGIN IMMEDIATE is the lock
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            command = context.get_context().opts["fn"].__name__
            found, script = set(context.get_context().get_current_heads()), context.script
            if command == "upgrade" and found - {each.revision for each in script.walk_revisions()}:
                click.echo(f"The database is newer than this release: {found}. Nothing to upgrade.")
                return
            is_moving = command == "downgrade" or found != set(script.get_heads())
            if is_postgresql and command in {"upgrade", "downgrade"} and is_moving:
                lock_tables(connection, database.metadata.tables)
            context.run_migrations()


def lock_tables(connection: Connection, names: Iterable[str]) -> None:
    """Lock out writers before any change, to avoid deadlocks with them.

    One statement with a timeout locks all tables; locks that a migration acquires later have the
    same timeout.
    """
    existing = sorted(set(inspect(connection).get_table_names()) & set(names))
    if existing:
        connection.execute(text(f"SET LOCAL statement_timeout = {LOCK_TIMEOUT_MS}"))
        connection.execute(text(f"LOCK TABLE {', '.join(existing)} IN EXCLUSIVE MODE"))
    connection.execute(
        text(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    )


if context.is_offline_mode():
    raise SystemExit("--sql is not supported: migrations inspect the database they change.")
run()
