"""Add rating, watched_on, notes and idempotency_key to movies, and their indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {
    "rating": sa.SmallInteger(),
    "watched_on": sa.Date(),
    "notes": sa.String(2000),
    "idempotency_key": sa.String(128),
}
HAS_KEY = sa.text("idempotency_key IS NOT NULL")
INDEXES = {
    "ix_movies_owner_rating": "coalesce(rating, 11)",
    "ix_movies_owner_rating_desc": "coalesce(rating, 0)",
    "ix_movies_owner_watched": "coalesce(watched_on, '9999-12-31')",
    "ix_movies_owner_watched_desc": "coalesce(watched_on, '0001-01-01')",
}


def upgrade() -> None:
    """Add nullable columns: the previous release goes on creating movies without them."""
    for name, kind in COLUMNS.items():
        op.add_column("movies", sa.Column(name, kind, nullable=True))
    for name, expression in INDEXES.items():
        op.create_index(name, "movies", ["owner_id", sa.text(expression), "id"])
    op.create_index(
        "ix_movies_owner_idempotency",
        "movies",
        ["owner_id", "idempotency_key"],
        unique=True,
        sqlite_where=HAS_KEY,
        postgresql_where=HAS_KEY,
    )


def downgrade() -> None:
    """Drop the columns; SQLite keeps a column that an index uses."""
    for name in (*INDEXES, "ix_movies_owner_idempotency"):
        op.drop_index(name, "movies")
    for name in COLUMNS:
        op.drop_column("movies", name)
