"""Pictures, uploads, and which movie shows which picture."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Generated, so that no writer can forget it; SQLite adds only virtual columns, PostgreSQL before
# 18 has only stored ones. ALTER and not a batch: a table made anew would lose its triggers
ADD_KEY = """
    ALTER TABLE movies ADD COLUMN picture_key VARCHAR(64)
    {constraint}
    GENERATED ALWAYS AS (
        CASE WHEN substr(image_url, 1, 8) = '/images/' THEN substr(image_url, 9) END
    ) {kind}
"""
REFERENCES = "CONSTRAINT fk_movies_picture_key_pictures REFERENCES pictures (key)"
IS_PICTURED = sa.text("picture_key IS NOT NULL")


def upgrade() -> None:
    """Add the two tables and the reference."""
    op.create_table(
        "pictures",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(10), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_pictures")),
    )
    op.create_index(op.f("ix_pictures_unused_since"), "pictures", ["unused_since"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_uploads_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["key"], ["pictures.key"], name=op.f("fk_uploads_key_pictures"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_owner_id"), "uploads", ["owner_id"])
    op.create_index(op.f("ix_uploads_key"), "uploads", ["key"])
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    kind = "STORED" if is_postgresql else "VIRTUAL"
    op.execute(ADD_KEY.format(constraint=REFERENCES, kind=kind))
    op.create_index(
        "ix_movies_picture",
        "movies",
        ["picture_key"],
        sqlite_where=IS_PICTURED,
        postgresql_where=IS_PICTURED,
    )


def downgrade() -> None:
    """Drop them; the files stay in the storage."""
    op.drop_index("ix_movies_picture", "movies")
    op.execute("ALTER TABLE movies DROP COLUMN picture_key")
    op.drop_table("uploads")
    op.drop_table("pictures")
