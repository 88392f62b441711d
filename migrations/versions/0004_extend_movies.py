"""Add rating, watched_on, notes and idempotency_key to movies; recompute title keys."""

import sqlalchemy as sa
from alembic import op

from movies_api.movies.titles import order_key, search_key

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
BATCH = 1000
HAS_KEY = sa.text("idempotency_key IS NOT NULL")
INDEXES = {
    "ix_movies_owner_rating": "coalesce(rating, 11)",
    "ix_movies_owner_rating_desc": "coalesce(rating, 0)",
    "ix_movies_owner_watched": "coalesce(watched_on, '9999-12-31')",
    "ix_movies_owner_watched_desc": "coalesce(watched_on, '0001-01-01')",
}


def upgrade() -> None:
    """Add nullable columns, so that the previous release can still insert movies."""
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
    rebuild_keys()
    if op.get_bind().dialect.name == "postgresql":
        # For titles that start with the search; SQLite scans all titles of the owner
        op.execute(
            "CREATE INDEX ix_movies_owner_start ON movies "
            "(owner_id, substr(search_key, 1, 40) text_pattern_ops)"
        )


def rebuild_keys() -> None:
    """Compute the search and sort keys of all titles, batch by batch."""
    connection, last = op.get_bind(), 0
    movies = sa.table("movies", *map(sa.column, ("id", "title", "search_key", "title_key")))
    batch = sa.select(movies.c.id, movies.c.title).order_by(movies.c.id).limit(BATCH)
    update = movies.update().where(movies.c.id == sa.bindparam("movie"))
    while rows := connection.execute(batch.where(movies.c.id > last)).all():
        connection.execute(
            update,
            [
                {"movie": movie, "search_key": search_key(title), "title_key": order_key(title)}
                for movie, title in rows
            ],
        )
        last = rows[-1].id


def downgrade() -> None:
    """Drop the indexes, then the columns: SQLite cannot drop an indexed column."""
    for name in (*INDEXES, "ix_movies_owner_idempotency"):
        op.drop_index(name, "movies")
    op.execute("DROP INDEX IF EXISTS ix_movies_owner_start")
    for name in COLUMNS:
        op.drop_column("movies", name)
