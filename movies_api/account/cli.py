"""Commands: flask --app wsgi user ..."""

from typing import Any

import click
from marshmallow import ValidationError
from sqlalchemy import Row

from ..auth.schemas import Email
from ..auth.sessions import count_tokens, end_sessions
from ..auth.tokens import reset_link
from ..auth.users import account_from_email, change_user, iter_accounts, set_disabled
from ..db import begin_long_transaction, db, now
from ..db.outages import CommandGroup
from ..images.queries import charged_bytes
from ..logs import audit
from .deletion import delete_account_data

user = CommandGroup("user", help="Manage accounts.")
email_argument = click.argument("email")


def load_user(email: str) -> Row[Any]:
    """Return the user, disabled or not, or exit with an error."""
    try:
        found = account_from_email(str(Email().deserialize(email)))
    except ValidationError as error:
        raise click.BadParameter(" ".join(map(str, error.messages))) from error
    if found is None:
        raise click.ClickException(f"No account has the email address {email}.")
    return found


@user.command("list")
def list_users() -> None:
    """List all users: email, role, state, number of movies and signup date."""
    for row in iter_accounts():
        state = "disabled" if row["disabled_at"] else "enabled"
        signed_up = f"{row['created_at']:%Y-%m-%d}"
        click.echo(f"{row['email']}\t{row['role']}\t{state}\t{row['movie_count']}\t{signed_up}")


@user.command()
@email_argument
def show(email: str) -> None:
    """Show the account of EMAIL and its usage."""
    found = load_user(email)
    values = {
        "id": found.id,
        "email": found.email,
        "name": found.name,
        "role": found.role,
        "signed up": found.created_at.isoformat(),
        "disabled": found.disabled_at.isoformat() if found.disabled_at else "no",
        "movies": found.movie_count,
        "image bytes": charged_bytes(found.id),
        "API tokens": count_tokens(found.id),
    }
    for name, value in values.items():
        click.echo(f"{name}: {value}")


@user.command()
@email_argument
def disable(email: str) -> None:
    """Disable EMAIL: end all sessions and API tokens, reject logins and password resets."""
    found = load_user(email)
    set_disabled(found.id, now())
    end_sessions(found.id, None, "all")
    db.session.commit()
    audit("account_disabled", found.id)
    click.echo(f"{found.email} is disabled.")


@user.command()
@email_argument
def enable(email: str) -> None:
    """Let EMAIL log in again."""
    found = load_user(email)
    set_disabled(found.id, None)
    db.session.commit()
    audit("account_enabled", found.id)
    click.echo(f"{found.email} is enabled.")


@user.command()
@email_argument
@click.confirmation_option(prompt="Delete the account with its movies and images?")
def delete(email: str) -> None:
    """Delete EMAIL with all movies and images, immediately and permanently."""
    found = load_user(email)
    begin_long_transaction()
    if not delete_account_data(found):
        raise click.ClickException(f"{found.email} was modified meanwhile. Try again.")
    click.echo(f"Deleted {found.email}.")


@user.command()
@email_argument
def promote(email: str) -> None:
    """Make EMAIL an admin."""
    change_user(found := load_user(email), {"role": "admin"})
    audit("account_promoted", found.id)
    click.echo(f"{found.email} is an admin.")


@user.command()
@email_argument
def demote(email: str) -> None:
    """Remove the admin role from EMAIL."""
    change_user(found := load_user(email), {"role": "user"})
    audit("account_demoted", found.id)
    click.echo(f"{found.email} is no longer an admin.")


@user.command("end-sessions")
@email_argument
def end_all_sessions(email: str) -> None:
    """End all sessions and API tokens of EMAIL."""
    count = end_sessions((found := load_user(email)).id, None, "all")
    db.session.commit()
    audit("sessions_ended", found.id)
    click.echo(f"Ended {count} sessions and API tokens.")


@user.command("reset-password")
@email_argument
def reset_password(email: str) -> None:
    """Print a link to set a new password for EMAIL, valid for 30 minutes."""
    found = load_user(email)
    if found.disabled_at:
        raise click.ClickException(f"{found.email} is disabled. Enable it first.")
    audit("reset_link_created", found.id)
    click.echo(reset_link(found))
