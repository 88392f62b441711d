"""Commands of `flask --app wsgi`; some packages define their own."""

from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from . import demo
from .account.cli import user
from .api.blueprint import openapi_spec
from .auth.sessions import purge_sessions
from .config_docs import write_config_docs
from .db import begin_long_transaction, db
from .import_export.cli import movies

sessions = AppGroup("sessions", help="Manage sessions.")


def init_cli(app: Flask) -> None:
    """Register the commands."""
    app.cli.commands.pop("openapi", None)  # flask-smorest's; ours writes docs/openapi.yml
    for command in (seed, sessions, user, movies, write_openapi, config_docs):
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
