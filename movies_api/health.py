"""Whether the process lives, and whether it can serve."""

from functools import lru_cache
from pathlib import Path
from shutil import disk_usage
from typing import Any

from alembic.script import ScriptDirectory
from flask import Flask, current_app
from marshmallow import fields, validate
from sqlalchemy import Select, column, func, select, table
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .api.blueprint import Blueprint, public, runs_in
from .api.errors import abort_with
from .api.fields import ResponseSchema
from .config import current_config
from .db import autocommit_one, db
from .db.outages import CAUSES, Cause, cause_of, log_cause

VERSION: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))
VERSION_ON_SERVER = VERSION.add_columns(func.current_setting("transaction_read_only"))
FREE_BYTES = 1 << 20  # under which SQLite's next write may fail

bp = Blueprint("service", __name__, description="The service itself")


class StatusSchema(ResponseSchema):
    """A sign of life."""

    status = fields.String(required=True, validate=validate.OneOf(["ok"]))


@bp.get("/health")
@runs_in("health")
@public
@bp.response(200, StatusSchema)
def get_health() -> dict[str, str]:
    """Tell that the process lives; it asks nobody."""
    return {"status": "ok"}


@bp.get("/ready")
@runs_in("readiness")
@public
@bp.response(200, StatusSchema)
def get_readiness() -> dict[str, str]:
    """Tell whether requests can be served: the database takes writes and is migrated."""
    if cause := check_database():
        abort_with(503, message=cause.text)
    return {"status": "ok"}


def check_database() -> Cause | None:
    """Return why the database cannot serve requests, which the log tells too, or None."""
    try:
        row: Any = autocommit_one(
            VERSION if current_config().is_embedded else VERSION_ON_SERVER, {}
        )
        if current_config().is_embedded:
            cause = _fault_of_file()
        else:
            cause = CAUSES["server_read_only"] if row and row[1] == "on" else None
    except (SQLAlchemyError, OSError) as error:
        cause = cause_of(error) or CAUSES["unavailable"]
        log_cause(cause, error)
        return cause
    # A revision that this release does not know is that of a newer one, before or after it
    if row is None or row[0] in _older(current_app.extensions["migrate"].directory):
        cause = CAUSES["migrations_pending"]
    if cause:
        log_cause(cause)
    return cause


def _fault_of_file() -> Cause | None:
    """Return why the file takes no writes: take the lock, unless a writer has it, and let it go."""
    folder = Path(db.engine.url.database or "").parent
    if disk_usage(folder).free < FREE_BYTES:
        return CAUSES["disk_full"]
    with db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("ROLLBACK")
        except OperationalError as error:
            if cause_of(error) != CAUSES["lock_timeout"]:
                raise
        finally:
            timeout = current_config().db_lock_timeout_ms
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {timeout}")
    return None


@lru_cache(maxsize=1)
def _older(directory: str) -> set[str]:
    """Return the revisions before the newest one of this release."""
    script = ScriptDirectory(directory)
    return {each.revision for each in script.walk_revisions()} - set(script.get_heads())


def check_at_boot(app: Flask) -> None:
    """Try the database once and log why it cannot serve; the service starts in any case."""
    with app.app_context():
        check_database()
        db.engine.dispose()  # workers that are forked must not share a connection
