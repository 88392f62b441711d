"""What an account is charged for its images, and which images to look at next."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MAY_BE_USED = sa.text("unused_since IS NULL")


def upgrade() -> None:
    """Add the size and two indexes; no table is rewritten, uploads that are there are free."""
    op.add_column("uploads", sa.Column("size", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_uploads_owner_size", "uploads", ["owner_id", "size"])
    op.drop_index("ix_uploads_owner_id", "uploads")
    op.create_index(
        "ix_pictures_used_at",
        "pictures",
        ["used_at"],
        sqlite_where=MAY_BE_USED,
        postgresql_where=MAY_BE_USED,
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_pictures_used_at", "pictures")
    op.create_index("ix_uploads_owner_id", "uploads", ["owner_id"])
    op.drop_index("ix_uploads_owner_size", "uploads")
    op.drop_column("uploads", "size")
