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
NAMES = ("movie", "search", "sort")
# One statement for a batch: sent one by one, updates take four times as long on PostgreSQL
UPDATE = sa.text(
    "UPDATE movies SET search_key = new.search_key, title_key = new.title_key "
    "FROM unnest(CAST(:movie AS bigint[]), CAST(:search AS text[]), CAST(:sort AS text[])) "
    "AS new (id, search_key, title_key) WHERE movies.id = new.id"
)
UPDATE_ONE = sa.text("UPDATE movies SET search_key = :search, title_key = :sort WHERE id = :movie")
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
    rebuild_keys()  # before there are more indexes to update
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
    if op.get_bind().dialect.name == "postgresql":
        # For titles that start with the search; SQLite scans all titles of the owner
        op.execute(
            "CREATE INDEX ix_movies_owner_start ON movies "
            "(owner_id, substr(search_key, 1, 40) text_pattern_ops)"
        )


def rebuild_keys() -> None:
    """Compute the search and sort keys of all titles, and update those that differ in batches."""
    connection, last = op.get_bind(), 0
    movies = sa.table("movies", *map(sa.column, ("id", "title", "search_key", "title_key")))
    batch = sa.select(movies).order_by(movies.c.id).limit(BATCH)
    while rows := connection.execute(batch.where(movies.c.id > last)).all():
        last = rows[-1].id
        keys = [(row.id, search_key(row.title), order_key(row.title)) for row in rows]
        changed = [new for new, row in zip(keys, rows, strict=True) if new[1:] != row[2:]]
        if changed and connection.dialect.name == "postgresql":
            connection.execute(
                UPDATE, dict(zip(NAMES, map(list, zip(*changed, strict=True)), strict=True))
            )
        elif changed:
            connection.execute(UPDATE_ONE, [dict(zip(NAMES, new, strict=True)) for new in changed])


def downgrade() -> None:
    """Drop the indexes, then the columns: SQLite cannot drop an indexed column."""
    for name in (*INDEXES, "ix_movies_owner_idempotency"):
        op.drop_index(name, "movies")
    op.execute("DROP INDEX IF EXISTS ix_movies_owner_start")
    for name in COLUMNS:
        op.drop_column("movies", name)
