"""All tables, their constraints and indexes.

Triggers on movies, which the migrations create, keep users.movie_count exact for every INSERT
and DELETE of movies.
"""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from .db import UtcDateTime, db

KEY_LENGTH = 255
RowId = Annotated[
    int,
    mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
]


def _partial_index(name: str, *columns: str, where: str, **options: Any) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where), **options)


class User(db.Model):  # type: ignore[name-defined]
    """An account; movie_count saves lists a COUNT query.

    A user with disabled_at cannot log in, and has no sessions.
    """

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('user', 'admin')", name="role"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(5), server_default="user")
    theme: Mapped[str] = mapped_column(String(6), server_default="system")
    language: Mapped[str] = mapped_column(String(35), server_default="en")
    movie_count: Mapped[int] = mapped_column(server_default="0", info={"is_derived": True})
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


users = User.__table__


class EmailChange(db.Model):  # type: ignore[name-defined]
    """A change of email that the old address can revert; meanwhile the address is reserved.

    A later change of the same user has a larger id.
    """

    __tablename__ = "email_changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[RowId]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(String(254), index=True)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


email_changes = EmailChange.__table__


class Session(db.Model):  # type: ignore[name-defined]
    """A login or an API token; access tokens name its id."""

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(5), server_default="login")
    scope: Mapped[str | None] = mapped_column(String(5))  # of an API token
    name: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    refresh_hash: Mapped[str] = mapped_column(String(64))
    generation: Mapped[int] = mapped_column(server_default="0")  # of the refresh cookie
    superseded: Mapped[dict[str, float]] = mapped_column(JSON)
    remember: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


sessions = Session.__table__


class Movie(db.Model):  # type: ignore[name-defined]
    """A movie; an unknown year is '' so that one index orders all rows."""

    __tablename__ = "movies"
    __table_args__ = (
        Index("ix_movies_owner_created", "owner_id", "created_at", "id"),
        Index("ix_movies_owner_updated", "owner_id", "updated_at", "id"),
        Index("ix_movies_owner_title", "owner_id", "title_key", "id"),
        Index("ix_movies_owner_year", "owner_id", "year", "id"),
        # Unknown values come last in either direction; movies/pagination.py has the same
        Index("ix_movies_owner_rating", "owner_id", text("coalesce(rating, 11)"), "id"),
        Index("ix_movies_owner_rating_desc", "owner_id", text("coalesce(rating, 0)"), "id"),
        Index(
            "ix_movies_owner_watched", "owner_id", text("coalesce(watched_on, '9999-12-31')"), "id"
        ),
        Index(
            "ix_movies_owner_watched_desc",
            "owner_id",
            text("coalesce(watched_on, '0001-01-01')"),
            "id",
        ),
        _partial_index("ix_movies_image", "image_key", where="image_key IS NOT NULL"),
        _partial_index(
            "ix_movies_owner_idempotency",
            *("owner_id", "idempotency_key"),
            where="idempotency_key IS NOT NULL",
            unique=True,
        ),
        {"sqlite_autoincrement": True},  # ids are never reused
    )

    id: Mapped[RowId]
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(255))
    year: Mapped[str] = mapped_column(String(4))
    image_url: Mapped[str | None] = mapped_column(String(2048))
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    watched_on: Mapped[date | None]
    notes: Mapped[str | None] = mapped_column(String(2000))
    search_key: Mapped[str] = mapped_column(Text)
    title_key: Mapped[str] = mapped_column(
        String(KEY_LENGTH).with_variant(String(KEY_LENGTH, collation="C"), "postgresql")
    )
    # Derived from image_url; the foreign key rejects an image that does not exist
    image_key: Mapped[str | None] = mapped_column(
        ForeignKey("images.key"),
        Computed("CASE WHEN substr(image_url, 1, 8) = '/images/' THEN substr(image_url, 9) END"),
    )
    # The Idempotency-Key of the request that created the movie
    idempotency_key: Mapped[str | None] = mapped_column(String(128))
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


movies = Movie.__table__


class Image(db.Model):  # type: ignore[name-defined]
    """A stored image; used_at is when it was added, last put into a movie or last checked.

    unused_since is when it was first found that no movie shows it, or None.
    """

    __tablename__ = "images"
    __table_args__ = (_partial_index("ix_images_used_at", "used_at", where="unused_since IS NULL"),)

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(10))
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    unused_since: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class Upload(db.Model):  # type: ignore[name-defined]
    """A finished upload; its id is another name of the image.

    size is in bytes, as stored; the owner is charged for it.
    """

    __tablename__ = "uploads"
    # Includes the size, so that the sum reads only the index
    __table_args__ = (Index("ix_uploads_owner_size", "owner_id", "size"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(ForeignKey("images.key", ondelete="CASCADE"), index=True)
    size: Mapped[int] = mapped_column(server_default="0")


images, uploads = Image.__table__, Upload.__table__
