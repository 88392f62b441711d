"""Health checks: liveness and readiness."""

from functools import lru_cache
from pathlib import Path
from shutil import disk_usage
from typing import Any

from alembic.script import ScriptDirectory
from flask import current_app, request
from itsdangerous import BadSignature
from marshmallow import fields, validate
from sqlalchemy import Select, column, func, select, table
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .api.blueprint import Blueprint, public, runs_in
from .api.errors import abort_with
from .api.fields import ResponseSchema
from .config import current_config
from .db import autocommit_one, db, now
from .db.outages import CAUSES, Cause, cause_of, log_cause
from .signers import CLOCK_SKEW, probe_signer

VERSION: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))
VERSION_ON_SERVER = VERSION.add_columns(func.current_setting("transaction_read_only"))
MIN_FREE_BYTES = 1 << 20  # with less, SQLite's next write may fail
PROBE = "X-Proxy-Probe"  # in requests of `flask doctor`, and in the responses to them

bp = Blueprint("service", __name__, description="Health checks")


class HealthSchema(ResponseSchema):
    """The result of a health check."""

    status = fields.String(validate=validate.OneOf(["ok"]))


@bp.get("/health")
@runs_in("health")
@public
@bp.response(200, HealthSchema)
def get_health() -> tuple[dict[str, str], dict[str, str]]:
    """Check that the process is alive.

    It does not use the database.
    """
    return {"status": "ok"}, _count_proxies(request.headers.get(PROBE, ""))


def _count_proxies(probe: str) -> dict[str, str]:
    """Return the number of entries that proxies added to X-Forwarded-For, if the doctor asks."""
    try:
        signer = probe_signer(current_config().secret_keys)
        sent, signed_at = signer.unsign(probe, return_timestamp=True)
    except BadSignature:
        return {}
    if abs(now() - signed_at) > CLOCK_SKEW:
        return {}
    # Some proxies append to the entry of the probe, others replace it
    added = request.headers.get("X-Forwarded-For", "").rpartition(sent.decode())[2]
    return {PROBE: str(len([entry for entry in added.split(",") if entry.strip()]))}


@bp.get("/ready")
@runs_in("readiness")
@public
@bp.response(200, HealthSchema)
def get_readiness() -> dict[str, str]:
    """Check that the service can serve requests.

    The database must be available, writable and migrated.
    """
    if cause := check_database():
        abort_with(503, message=cause.text)
    return {"status": "ok"}


def check_database() -> Cause | None:
    """Return and log why the database cannot serve requests, or return None."""
    try:
        row: Any = autocommit_one(
            VERSION if current_config().is_embedded else VERSION_ON_SERVER, {}
        )
        if current_config().is_embedded:
            cause = _check_sqlite_file()
        else:
            cause = CAUSES["server_read_only"] if row and row[1] == "on" else None
    except (SQLAlchemyError, OSError) as error:
        cause = cause_of(error) or CAUSES["unavailable"]
        log_cause(cause, error)
        return cause
    # An unknown revision belongs to a newer release, during its deployment or rollback
    if row is None or row[0] in _older_revisions(current_app.extensions["migrate"].directory):
        cause = CAUSES["migrations_pending"]
    if cause:
        log_cause(cause)
    return cause


def _check_sqlite_file() -> Cause | None:
    """Return why the file is not writable, or None; briefly lock it unless a writer has."""
    folder = Path(db.engine.url.database or "").parent
    if disk_usage(folder).free < MIN_FREE_BYTES:
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
def _older_revisions(directory: str) -> set[str]:
    """Return the revisions of this release except the newest."""
    script = ScriptDirectory(directory)
    return {each.revision for each in script.walk_revisions()} - set(script.get_heads())
