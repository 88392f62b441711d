"""Routes of sessions and API tokens."""

from typing import Any
from uuid import UUID

from flask import g

from ..api.blueprint import Blueprint, raises, scopes
from ..api.errors import abort_quota, abort_with
from ..config import current_config
from ..db import db
from ..logs import audit
from . import schemas
from .guard import require_user_session
from .sessions import count_tokens, create_api_token, end_sessions, fetch_sessions, is_session_alive
from .users import lock_user_shared

bp = Blueprint("sessions", __name__, description="Sessions and API tokens")


@bp.get("/auth/sessions")
@bp.response(200, schemas.SessionListSchema)
def list_sessions() -> dict[str, Any]:
    """List your logins and API tokens, most recently used first."""
    return {"items": fetch_sessions(g.caller)}


@bp.delete("/auth/sessions/<uuid:session_id>")
@scopes("write", "read", "share")
@bp.response(204)
@raises("SESSION_NOT_FOUND")
def end_session(session_id: UUID) -> None:
    """End one of your sessions; its access token becomes invalid immediately.

    An API token can end only itself.
    """
    if session_id != g.caller.session_id:
        require_user_session(g.caller)
    if not end_sessions(g.caller.id, session_id, "this"):
        abort_with(404, message="Session not found")
    db.session.commit()
    audit("session_ended", g.caller.id, sessionId=session_id)


@bp.post("/auth/tokens")
@bp.arguments(schemas.ApiTokenCreateSchema)
@bp.response(201, schemas.ApiTokenSchema)
@raises("TOKEN_QUOTA_EXCEEDED")
def create_token(fields: dict[str, Any]) -> dict[str, Any]:
    """Create an API token; it is shown only once."""
    if lock_user_shared(g.caller.id) is None or not is_session_alive(g.caller.session_id):
        abort_with(401)  # the session ended meanwhile
    limit = current_config().max_tokens_per_user
    if count_tokens(g.caller.id) >= limit:
        abort_quota("tokens", f"{limit} API tokens. End one to create another.")
    token = create_api_token(g.caller.id, **fields)
    db.session.commit()
    audit("token_created", g.caller.id, sessionId=token["id"])
    return token
