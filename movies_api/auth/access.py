"""Where you are logged in, and the tokens of your scripts."""

from typing import Any
from uuid import UUID

from flask import g

from ..api import Blueprint
from ..config import settings
from ..db import db
from ..errors import refuse, reject_quota
from ..logs import audit
from . import schemas
from .guard import refuse_scripts
from .models import hold_user
from .sessions import add_script_token, count_tokens, end_sessions, is_alive, sessions_of

bp = Blueprint("sessions", __name__, description="Where you are logged in, and tokens for scripts")


@bp.get("/auth/sessions")
@bp.response(200, schemas.SessionList)
def list_sessions() -> dict[str, Any]:
    """List your logins and script tokens, the latest used first."""
    return {"items": sessions_of(g.caller)}


@bp.delete("/auth/sessions/<uuid:session_id>")
@bp.response(204)
@bp.alt_response(403, response="PEOPLE_ONLY")
@bp.alt_response(404, response="NO_SUCH_SESSION")
def end_session(session_id: UUID) -> None:
    """End one of your sessions; its access token dies at once."""
    if session_id != g.caller.session_id:
        refuse_scripts(g.caller)
    if not end_sessions(g.caller.id, session_id, "this"):
        refuse(404, message="Session not found")
    db.session.commit()
    audit("session_ended", g.caller.id, sessionId=session_id)


@bp.post("/auth/tokens")
@bp.arguments(schemas.NewToken)
@bp.response(201, schemas.ScriptToken)
@bp.alt_response(403, response="NO_TOKEN")
def create_token(fields: dict[str, Any]) -> dict[str, Any]:
    """Make a token for a script; it is shown this once."""
    refuse_scripts(g.caller)
    if hold_user(g.caller.id) is None or not is_alive(g.caller.session_id):
        refuse(401)  # the session ended while we waited
    limit = settings().max_tokens_per_user
    if count_tokens(g.caller.id) >= limit:
        reject_quota(f"{limit} API tokens: end one to create another.")
    token = add_script_token(g.caller.id, fields["name"], fields["days"])
    db.session.commit()
    audit("token_made", g.caller.id, sessionId=token["id"])
    return token
