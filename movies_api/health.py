"""Whether the process lives, and whether it can serve."""

from functools import lru_cache
from typing import Any

from alembic.script import ScriptDirectory
from flask import current_app
from marshmallow import fields, validate
from sqlalchemy import Select, column, select, table

from .api import Blueprint, runs_in
from .auth.guard import public
from .db import fetch_one
from .errors import PENDING, refuse
from .fields import Output

VERSION: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))

bp = Blueprint("service", __name__, description="The service itself")


class Status(Output):
    """A sign of life."""

    status = fields.String(required=True, validate=validate.OneOf(["ok"]))


@bp.get("/health")
@runs_in("health")
@public
@bp.response(200, Status)
def show_health() -> dict[str, str]:
    """Tell that the process lives; it asks nobody."""
    return {"status": "ok"}


@bp.get("/ready")
@public
@bp.response(200, Status)
def show_readiness() -> dict[str, str]:
    """Tell whether requests can be served: the database answers and is migrated."""
    row = fetch_one(VERSION, {})
    wanted = _head(current_app.extensions["migrate"].directory)
    if row is None or row.version_num != wanted:
        refuse(503, message=PENDING)
    return {"status": "ok"}


@lru_cache(maxsize=1)
def _head(directory: str) -> str | None:
    return ScriptDirectory(directory).get_current_head()
