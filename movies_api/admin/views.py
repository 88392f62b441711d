"""Routes for admins."""

from typing import Any

from flask import g

from ..api.blueprint import Blueprint, raises
from ..api.errors import abort_with
from . import schemas
from .queries import fetch_stats

bp = Blueprint("admin", __name__, description="For admins")


@bp.get("/admin/stats")
@bp.response(200, schemas.ServiceStatsSchema)
@raises("ADMIN_REQUIRED")
def get_stats() -> dict[str, Any]:
    """Return totals, and the signups and created movies of each of the last 30 days."""
    if g.caller.role != "admin":
        abort_with(403, message="Only admins can do this.")
    return fetch_stats()
