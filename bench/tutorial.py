"""For scale: the same movies the way tutorials serve them, entities and schemas all through."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask, Response, abort, g, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, fields, validate
from sqlalchemy import DateTime, ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from movies_api.auth.tokens import read_access_token
from movies_api.config import Config
from movies_api.movies.titles import fold, order_key

app = Flask(__name__)
app.extensions["movies_api"] = Config.from_environ()
app.config["SQLALCHEMY_DATABASE_URI"] = app.extensions["movies_api"].database_url
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
db = SQLAlchemy(app)


class User(db.Model):  # type: ignore[name-defined]
    """An account."""

    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    role: Mapped[str]


class Session(db.Model):  # type: ignore[name-defined]
    """A login."""

    __tablename__ = "sessions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    user: Mapped[User] = relationship()


class Movie(db.Model):  # type: ignore[name-defined]
    """A movie."""

    __tablename__ = "movies"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str]
    year: Mapped[str]
    image_url: Mapped[str | None]
    search_key: Mapped[str]
    title_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MovieSchema(Schema):
    """A movie, in and out."""

    id = fields.Integer(dump_only=True)
    title = fields.String(required=True, validate=validate.Length(1, 255))
    year = fields.String(validate=validate.Length(equal=4))
    image_url = fields.Url(data_key="imageUrl")
    owner_id = fields.UUID(data_key="ownerId", dump_only=True)
    created_at = fields.DateTime(data_key="createdAt", dump_only=True)
    updated_at = fields.DateTime(data_key="updatedAt", dump_only=True)


@app.before_request
def load_user() -> None:
    """Load the user of the token."""
    if request.path == "/health":
        return
    named = read_access_token(request.headers.get("Authorization", "").removeprefix("Bearer "))
    session = named and db.session.get(Session, named[0])
    g.user = session.user if session else abort(401)


@app.get("/health")
def health() -> Response:
    """Tell that the process lives."""
    return jsonify({"status": "ok"})


@app.get("/movies")
def index() -> Response:
    """List a page of movies, counted."""
    query = select(Movie).where(Movie.owner_id == g.user.id)
    if search := request.args.get("search"):
        query = query.where(Movie.title.ilike(f"%{search}%"))
    query = query.order_by(Movie.created_at.desc(), Movie.id.desc())
    page = db.paginate(query, page=request.args.get("page", 1, type=int), per_page=20)
    meta = {"page": page.page, "limit": 20, "total": page.total, "totalPages": page.pages}
    return jsonify({"items": MovieSchema(many=True).dump(page.items), "meta": meta})


@app.get("/movies/<int:movie_id>")
def show(movie_id: int) -> Response:
    """Show a movie."""
    return jsonify(MovieSchema().dump(own_movie(movie_id)))


@app.post("/movies")
def create() -> tuple[Response, int]:
    """Add a movie."""
    movie = Movie(owner_id=g.user.id, year="", created_at=datetime.now(UTC))
    db.session.add(movie)
    return save(movie, MovieSchema().load(request.get_json())), 201


@app.put("/movies/<int:movie_id>")
def update(movie_id: int) -> Response:
    """Change a movie."""
    return save(own_movie(movie_id), MovieSchema(partial=True).load(request.get_json()))


def own_movie(movie_id: int) -> Movie:
    """Return the user's movie or abort."""
    movie = db.session.get(Movie, movie_id) or abort(404)
    return movie if movie.owner_id == g.user.id else abort(403)


def save(movie: Movie, values: dict[str, Any]) -> Response:
    """Store the values and return the movie."""
    for name, value in values.items():
        setattr(movie, name, value)
    movie.search_key, movie.title_key = fold(movie.title), order_key(movie.title)
    movie.updated_at = datetime.now(UTC)
    db.session.commit()
    return jsonify(MovieSchema().dump(movie))
