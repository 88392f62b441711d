"""Number the refresh cookies of a session, and give API tokens a scope.

Refresh cookies issued before this migration become invalid.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; existing API tokens keep full access."""
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("scope", sa.String(5), nullable=True))
        table.add_column(sa.Column("generation", sa.Integer(), server_default="0", nullable=False))
        table.drop_column("rotation_key")
    op.execute("UPDATE sessions SET scope = 'write' WHERE kind = 'token'")


def downgrade() -> None:
    """Delete all sessions and API tokens: the previous release cannot read the cookies."""
    op.execute("DELETE FROM sessions")
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("rotation_key", sa.String(64), nullable=False))
        table.drop_column("generation")
        table.drop_column("scope")
