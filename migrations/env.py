"""How Alembic runs our migrations: one at a time, whole or not at all."""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import text

LOCK = 4_815_162_342  # any number that nobody else on the database server uses
# Only on PostgreSQL, the first only where pg_trgm could be created; see the migrations
OPTIONAL_INDEXES = {"ix_movies_search", "ix_movies_created"}


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Tell autogenerate what to compare."""
    return not (kind == "index" and name in OPTIONAL_INDEXES)


def run() -> None:
    """Migrate in one transaction, behind a lock: two releases at once wait for each other."""
    database = current_app.extensions["migrate"].db
    with current_app.extensions["writer"].connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            include_name=is_ours,
            transactional_ddl=True,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":  # on SQLite a transaction is a lock
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("--sql is not supported: migrations look at the database they change.")
run()
