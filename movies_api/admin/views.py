"""Figures for admins."""

from typing import Any

from flask import g

from ..api import Blueprint
from ..errors import refuse
from . import schemas
from .models import stats

bp = Blueprint("admin", __name__, description="For admins")


@bp.get("/admin/stats")
@bp.response(200, schemas.Stats)
@bp.alt_response(403, response="ADMINS_ONLY")
def show_stats() -> dict[str, Any]:
    """Show how much there is, and how it grew in 30 days."""
    if g.caller.role != "admin":
        refuse(403, message="This is for admins.")
    return stats()
