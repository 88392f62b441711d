"""Create all tables, the triggers behind users.movie_count, and the indexes."""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
HAS_IMAGE = sa.text("image_key IS NOT NULL")
MAY_BE_USED = sa.text("unused_since IS NULL")
# Triggers keep users.movie_count exact for every writer: single inserts, imports of thousands of
# rows (one update), cascades, rollbacks and manual statements
TRIGGERS = {
    "postgresql": (
        """
        CREATE FUNCTION count_movies() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE users SET movie_count = movie_count + each.added
            FROM (
                SELECT owner_id, count(*) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END AS added
                FROM changed GROUP BY owner_id
            ) AS each
            WHERE users.id = each.owner_id;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER movies_after_insert AFTER INSERT ON movies
        REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_movies()
        """,
        """
        CREATE TRIGGER movies_after_delete AFTER DELETE ON movies
        REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_movies()
        """,
    ),
    "sqlite": (
        """
        CREATE TRIGGER movies_after_insert AFTER INSERT ON movies BEGIN
            UPDATE users SET movie_count = movie_count + 1 WHERE id = NEW.owner_id;
        END
        """,
        """
        CREATE TRIGGER movies_after_delete AFTER DELETE ON movies BEGIN
            UPDATE users SET movie_count = movie_count - 1 WHERE id = OLD.owner_id;
        END
        """,
    ),
}
# The first whose extensions are available; without either, a search scans all titles of the owner
SEARCH_INDEXES = (
    (("pg_trgm", "btree_gin"), "owner_id, search_key gin_trgm_ops"),
    (("pg_trgm",), "search_key gin_trgm_ops"),
)
# New titles wait in a pending list that each search reads in full: 0.2 ms at 64 kB, 6 ms at the
# default of 4 MB; a create costs the same with either
SEARCH_INDEX_OPTIONS = "gin_pending_list_limit = 64"


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    dialect = op.get_bind().dialect.name
    create_users()
    create_sessions()
    create_images()
    create_movies(is_postgresql=dialect == "postgresql")
    create_uploads()
    for statement in TRIGGERS[dialect]:
        op.execute(statement)
    if dialect == "postgresql":
        # For the statistics of the last 30 days. Rows are inserted in chronological order, so a
        # BRIN index adds almost nothing to an INSERT; SQLite has no BRIN indexes
        op.create_index("ix_movies_created", "movies", ["created_at"], postgresql_using="brin")
        create_search_index()


def create_users() -> None:
    """Create the users table."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(5), server_default="user", nullable=False),
        sa.Column("theme", sa.String(6), server_default="system", nullable=False),
        sa.Column("language", sa.String(35), server_default="en", nullable=False),
        sa.Column("movie_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_index(op.f("ix_users_created_at"), "users", ["created_at"])


def create_sessions() -> None:
    """Create the sessions table, for logins and API tokens."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(5), server_default="login", nullable=False),
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("refresh_hash", sa.String(64), nullable=False),
        sa.Column("rotation_key", sa.String(64), nullable=False),
        sa.Column("superseded", sa.JSON(), nullable=False),
        sa.Column("remember", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"])


def create_images() -> None:
    """Create the images table."""
    op.create_table(
        "images",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(10), nullable=False),
        sa.Column("used_at", TIME, nullable=False),
        sa.Column("unused_since", TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_images")),
    )
    op.create_index(op.f("ix_images_unused_since"), "images", ["unused_since"])
    op.create_index(
        "ix_images_used_at",
        "images",
        ["used_at"],
        sqlite_where=MAY_BE_USED,
        postgresql_where=MAY_BE_USED,
    )


def create_movies(*, is_postgresql: bool) -> None:
    """Create the movies table, with an index for each sort order."""
    op.create_table(
        "movies",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            nullable=False,
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("year", sa.String(4), nullable=False),
        sa.Column("image_url", sa.String(2048), nullable=True),
        sa.Column("search_key", sa.Text(), nullable=False),
        sa.Column(
            "title_key", sa.String(255, collation="C" if is_postgresql else None), nullable=False
        ),
        # Generated, so that no writer can forget it. PostgreSQL needs it stored for a foreign key
        sa.Column(
            "image_key",
            sa.String(64),
            sa.Computed(
                "CASE WHEN substr(image_url, 1, 8) = '/images/' THEN substr(image_url, 9) END",
                persisted=is_postgresql,
            ),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_movies_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image_key"], ["images.key"], name=op.f("fk_movies_image_key_images")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movies")),
        sqlite_autoincrement=True,  # an id is never reused
    )
    for name, column in (
        ("ix_movies_owner_created", "created_at"),
        ("ix_movies_owner_updated", "updated_at"),
        ("ix_movies_owner_title", "title_key"),
        ("ix_movies_owner_year", "year"),
    ):
        op.create_index(name, "movies", ["owner_id", column, "id"])
    op.create_index(
        "ix_movies_image",
        "movies",
        ["image_key"],
        sqlite_where=HAS_IMAGE,
        postgresql_where=HAS_IMAGE,
    )


def create_uploads() -> None:
    """Create the uploads table, for completed uploads."""
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_uploads_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["key"], ["images.key"], name=op.f("fk_uploads_key_images"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    # Includes the size, so that the sum of an account is an index-only scan
    op.create_index("ix_uploads_owner_size", "uploads", ["owner_id", "size"])
    op.create_index(op.f("ix_uploads_key"), "uploads", ["key"])


def create_search_index() -> None:
    """Create the trigram index on titles if its extensions exist or can be created."""
    connection = op.get_bind()
    for extensions, columns in SEARCH_INDEXES:
        try:
            with connection.begin_nested():
                for name in extensions:
                    connection.execute(sa.text(f"CREATE EXTENSION IF NOT EXISTS {name}"))
                connection.execute(
                    sa.text(
                        f"CREATE INDEX ix_movies_search ON movies USING gin ({columns}) "
                        f"WITH ({SEARCH_INDEX_OPTIONS})"
                    )
                )
        except sa.exc.DBAPIError as error:
            reason = type(error.orig).__name__
            logging.getLogger("movies_api").warning("no %s: %s", " and ".join(extensions), reason)
        else:
            return


def downgrade() -> None:
    """Drop the tables; keep the extensions, which other applications may use."""
    for name in ("uploads", "movies", "images", "sessions", "users"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION count_movies")
