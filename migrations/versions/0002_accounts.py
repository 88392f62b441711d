"""Preferences, names of sessions, and tokens for scripts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ADDED = {
    "users": (
        sa.Column("theme", sa.String(6), server_default="system", nullable=False),
        sa.Column("language", sa.String(35), server_default="en", nullable=False),
    ),
    "sessions": (
        sa.Column("kind", sa.String(5), server_default="login", nullable=False),
        sa.Column("name", sa.String(100), nullable=True),
    ),
}


def upgrade() -> None:
    """Add the columns; none rewrites a table."""
    for table, columns in ADDED.items():
        for column in columns:
            op.add_column(table, column)
    # What the admin's figures of 30 days read. BRIN costs a create next to nothing: rows come in
    # the order of their time; SQLite has none, and reads one file
    op.create_index("ix_users_created_at", "users", ["created_at"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_movies_created", "movies", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    """Take them back, the tokens for scripts first: nothing would tell them from logins."""
    op.execute("DELETE FROM sessions WHERE kind = 'token'")
    op.drop_index("ix_users_created_at", "users")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_movies_created", "movies")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column.name)
