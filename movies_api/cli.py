"""Commands of `flask --app wsgi`; the images package defines its own."""

from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from marshmallow import ValidationError

from . import demo
from .api.blueprint import openapi_spec
from .auth.schemas import Email
from .auth.sessions import purge_sessions
from .auth.tokens import reset_link
from .auth.users import promote_user, user_from_email
from .config_docs import write_config_docs
from .db import begin_long_transaction, db

sessions = AppGroup("sessions", help="Manage sessions.")
user = AppGroup("user", help="Manage accounts.")


def init_cli(app: Flask) -> None:
    """Register the commands."""
    app.cli.commands.pop("openapi", None)  # flask-smorest's; ours writes docs/openapi.yml
    for command in (seed, sessions, user, write_openapi, config_docs):
        app.cli.add_command(command)


@click.command()
def seed() -> None:
    """Add the demo account and its movies to an empty database."""
    if demo.add_demo_data():
        click.echo(f"Added {demo.EMAIL} / {demo.PASSWORD} with {len(demo.MOVIES)} movies.")
    else:
        click.echo("The database has accounts already: nothing was added.")


@sessions.command()
def purge() -> None:
    """Delete expired sessions."""
    begin_long_transaction()
    count = purge_sessions(most=2**31)
    db.session.commit()
    click.echo(f"Deleted {count} expired sessions.")


@user.command()
@click.argument("email")
def promote(email: str) -> None:
    """Make EMAIL an admin."""
    if not promote_user(parse_email(email)):
        raise click.ClickException(f"No account has the email address {email}.")
    click.echo(f"{email} is an admin.")


@user.command("reset-password")
@click.argument("email")
def reset_password(email: str) -> None:
    """Print a link to set a new password for EMAIL, valid for 30 minutes."""
    found = user_from_email(parse_email(email))
    if found is None:
        raise click.ClickException(f"No account has the email address {email}.")
    click.echo(reset_link(found))


def parse_email(email: str) -> str:
    """Return the address as it is stored."""
    try:
        return str(Email().deserialize(email))
    except ValidationError as error:
        raise click.BadParameter(" ".join(map(str, error.messages))) from error


@click.command("openapi")
@click.argument("path", default="docs/openapi.yml", type=click.Path(path_type=Path))
def write_openapi(path: Path) -> None:
    """Write the OpenAPI document to a file (requires the extra `test`)."""
    import yaml  # noqa: PLC0415  not installed in production

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(openapi_spec(current_app), sort_keys=False, allow_unicode=True))
    click.echo(f"Wrote {path}.")


@click.command()
def config_docs() -> None:
    """Write docs/configuration.md and .env.example from the settings in config.py."""
    write_config_docs(Path(current_app.root_path).parent)
    click.echo("Wrote docs/configuration.md and .env.example.")
