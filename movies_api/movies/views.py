"""Movie routes: list, get, create, update, delete."""

import re
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

from flask import g, request
from sqlalchemy.exc import IntegrityError

from ..api.blueprint import ETAG, Blueprint, raises, response_header, runs_in, scopes
from ..api.errors import abort_quota, abort_validation, abort_with
from ..api.fields import InlineFile
from ..config import current_config
from ..images.ingest import (
    FOLDER,
    IMAGE_NOT_FOUND,
    absolutize_urls,
    allow_image_body,
    assert_image_exists,
    own_base,
    store_image,
)
from ..images.queries import release_images
from . import schemas
from .cursors import cursor_from_position, position_from_cursor
from .fields import MovieCreateSchema
from .pagination import count_matches, fetch_page, is_filtered
from .queries import (
    edit_movie,
    insert_movie,
    movie_from_id,
    movie_from_key,
    owners_from_ids,
    remove_movie,
    remove_movies,
)
from .stats import summarize_movies

ONE = "/movies/<row:movie_id>"
MOVIE_NOT_FOUND, ANOTHER_USERS = "Movie not found", "This movie belongs to another user."
LOCATION = response_header("Location", "URL of the movie.")
LINK = response_header("Link", "Absolute URLs of the first, previous, next and last page.")
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "example": "*",
    "description": "The ETag of a previous response: returns 412 if the movie was modified since.",
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "pattern": "^[ -~]{1,128}$"},
    "example": "5f0c7c1e-6f0d-4d0e-9a51-0f3f3f1f7c55",
    "description": "A unique key of this request, e.g. a UUID. Within 24 hours, the same key "
    "returns the movie that the first request created, as it is now; bodies are not compared.",
}
VERSION = re.compile("([1-9][0-9]{0,8})(-[0-9a-f]{1,8})?(-share)?")
BodyAndHeaders = tuple[dict[str, Any], dict[str, str]]

bp = Blueprint("movies", __name__, description="The caller's own movies")


@bp.get("/movies")
@scopes("write", "read", "share")
@bp.arguments(schemas.MovieQuerySchema, location="query")
@bp.response(200, schemas.MoviePageSchema, headers=LINK)
def list_movies(query: dict[str, Any]) -> BodyAndHeaders:
    """List your movies, one page per request."""
    caller, cursor = g.caller, query["cursor"]
    if cursor is not None:
        after = position_from_cursor(query, cursor)
        if after is None:
            abort_validation(
                {"cursor": ["Invalid cursor. Use meta.nextCursor of the previous page."]}
            )
        items, last = fetch_page(caller, query, after)
        meta: dict[str, Any] = {"limit": query["limit"]}
    else:
        query["page"] = query["page"] or 1
        items, last = fetch_page(caller, query, None)
        total = count_matches(caller, query) if is_filtered(query) else caller.movie_count
        pages = -(-total // query["limit"])
        meta = {"page": query["page"], "limit": query["limit"], "total": total, "totalPages": pages}
    absolutize_urls(items)
    _hide_private_fields(items)
    meta["nextCursor"] = last and cursor_from_position(query, last)
    return {"items": items, "meta": meta}, {"Link": _link_header(meta)}


@bp.post("/movies")
@scopes("write")
@runs_in("movies")
@allow_image_body
@bp.arguments(MovieCreateSchema)
@bp.response(201, schemas.MovieSchema, headers=ETAG | LOCATION)
@raises("QUOTA_EXCEEDED", "TOO_MANY_REQUESTS")
@bp.doc(parameters=[IDEMPOTENCY_KEY])
def create_movie(fields: dict[str, Any]) -> BodyAndHeaders:
    """Create a movie."""
    key = _idempotency_key()
    if key and (movie := movie_from_key(g.caller.id, key)):
        return _created_response(movie)
    limit = current_config().max_movies_per_user
    if g.caller.movie_count >= limit:
        abort_quota("movies", f"{limit} movies. Delete some to add more.")
    store_image(g.caller.id, fields)
    try:
        movie = insert_movie(g.caller.id, fields | {"idempotency_key": key})
    except IntegrityError:
        if key and (movie := movie_from_key(g.caller.id, key)):
            return _created_response(movie)
        assert_image_exists(fields)
        abort_with(401, "INVALID_TOKEN", "This account has been deleted.")
    return _created_response(movie)


@bp.delete("/movies")
@scopes("write")
@bp.arguments(schemas.MoviesDeleteQuerySchema, location="query")
@bp.response(204)
@raises("FORBIDDEN", "NOT_FOUND")
def delete_movies(query: dict[str, Any]) -> None:
    """Delete several of your movies, all or none."""
    ids = query["ids"]
    removed = remove_movies(g.caller.id, ids)
    if not removed:
        owners = owners_from_ids(ids)
        if missing := sorted(ids - owners.keys()):
            abort_with(404, message=MOVIE_NOT_FOUND, details={"ids": missing})
        foreign = sorted(each for each, owner in owners.items() if owner != g.caller.id)
        abort_with(403, message=ANOTHER_USERS, details={"ids": foreign})
    if keys := [key for key in removed if key]:
        release_images(keys)


@bp.get("/movies/stats")
@scopes("write", "read")
@bp.response(200, schemas.MovieStatsSchema)
def get_movie_stats() -> dict[str, Any]:
    """Return statistics of your collection: ratings, decades, and movies watched per month."""
    return summarize_movies(g.caller.id)


@bp.get(ONE)
@scopes("write", "read", "share")
@bp.response(200, schemas.MovieSchema)
@raises("FORBIDDEN", "NOT_FOUND")
def get_movie(movie_id: int) -> BodyAndHeaders:
    """Return one of your movies."""
    movie = load_movie(movie_id)
    return _movie_response(movie)


@bp.route(ONE, methods=["PUT", "PATCH"])
@scopes("write")
@runs_in("movies")
@allow_image_body
@bp.arguments(schemas.MovieUpdateSchema, example={"title": "Aliens", "year": "1986"})
@bp.response(200, schemas.MovieSchema, headers=ETAG)
@raises(
    "FORBIDDEN", "IMAGE_QUOTA_EXCEEDED", "NOT_FOUND", "PRECONDITION_FAILED", "TOO_MANY_REQUESTS"
)
@bp.doc(parameters=[IF_MATCH])
def update_movie(fields: dict[str, Any], movie_id: int) -> BodyAndHeaders:
    """Update one of your movies; missing fields keep their values."""
    versions, replaced = _if_match_versions(), None
    if isinstance(fields.get("image_url"), InlineFile):
        # abort before storing a file
        replaced = load_movie(movie_id, versions)["imageUrl"]
    store_image(g.caller.id, fields)
    try:
        movie = edit_movie(g.caller.id, movie_id, fields, versions)
    except IntegrityError:
        abort_validation({"imageUrl": [IMAGE_NOT_FOUND]})
    if movie is None:
        load_movie(movie_id)
        abort_with(412)
    if replaced and replaced.startswith(FOLDER):
        release_images([replaced.removeprefix(FOLDER)])
    return _movie_response(movie)


@bp.delete(ONE)
@scopes("write")
@bp.response(204)
@raises("FORBIDDEN", "NOT_FOUND", "PRECONDITION_FAILED")
@bp.doc(parameters=[IF_MATCH])
def delete_movie(movie_id: int) -> None:
    """Delete one of your movies."""
    removed = remove_movie(g.caller.id, movie_id, _if_match_versions())
    if removed is None:
        load_movie(movie_id)
        abort_with(412)
    if removed.image_key:
        release_images([removed.image_key])


def load_movie(movie_id: int, versions: list[int] | None = None) -> dict[str, Any]:
    """Return the caller's movie or abort.

    :raise 404: if it does not exist
    :raise 403: if it belongs to another user
    :raise 412: if it has none of the versions
    """
    movie = movie_from_id(movie_id)
    if movie is None:
        abort_with(404, message=MOVIE_NOT_FOUND)
    if movie["ownerId"] != g.caller.id:
        abort_with(403, message=ANOTHER_USERS)
    if versions is not None and movie["version"] not in versions:
        abort_with(412)
    return movie


def _created_response(movie: dict[str, Any]) -> BodyAndHeaders:
    return _movie_response(movie, Location=f"{request.root_path}{request.path}/{movie['id']}")


def _movie_response(movie: dict[str, Any], **headers: str) -> BodyAndHeaders:
    """Return the movie in its wire format, and its version as the ETag header."""
    tag, stored = str(movie.pop("version")), movie["imageUrl"]
    absolutize_urls([movie])
    if movie["imageUrl"] != stored:  # a new base URL changes the response but no version
        tag += f"-{crc32(movie['imageUrl'].encode()):x}"
    if _hide_private_fields([movie]):
        tag += "-share"
    return movie, {"ETag": f'"{tag}"', **headers}


def _hide_private_fields(movies: list[dict[str, Any]]) -> bool:
    """Remove fields that the caller's scope does not allow; return whether it restricts any."""
    if g.caller.scope != "share":
        return False
    for movie in movies:
        for field in schemas.PRIVATE:
            movie.pop(field, None)
    return True


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[ -~]{1,128}", key):
        abort_validation({"Idempotency-Key": ["Must be 1 to 128 printable ASCII characters."]})
    return key


def _if_match_versions() -> list[int] | None:
    """Return the versions that If-Match allows, or None if it allows any."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    # werkzeug parses the tag "" as None
    found = (VERSION.fullmatch(tag) for tag in request.if_match.as_set() if tag)
    return [int(version[1]) for version in found if version]


def _link_header(meta: dict[str, Any]) -> str:
    """Return the Link header for the pages around this one."""
    positions = {"page", "cursor"}
    # Stripped, as the schema does: headers have a maximum length
    kept = {
        name: value.strip()
        for name, value in request.args.items()
        if name not in positions and value.strip()
    }
    start = f"<{own_base()}{request.path}?{urlencode(kept)}{'&' if kept else ''}"
    targets = {"first": "page=1"}
    if "page" in meta:
        if meta["page"] > 1:
            targets["prev"] = f"page={min(meta['page'] - 1, max(meta['totalPages'], 1))}"
        if meta["page"] < meta["totalPages"]:
            targets["next"] = f"page={meta['page'] + 1}"
        targets["last"] = f"page={max(meta['totalPages'], 1)}"
    elif meta["nextCursor"]:  # its characters need no escaping
        targets["next"] = f"cursor={meta['nextCursor']}"
    return ", ".join(f'{start}{target}>; rel="{relation}"' for relation, target in targets.items())
