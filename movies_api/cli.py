"""Commands of `flask --app wsgi`; the images package defines its own."""

import sys
from io import SEEK_END
from pathlib import Path
from typing import IO, Any

import click
from flask import Flask, current_app, g
from flask.cli import AppGroup
from marshmallow import ValidationError
from sqlalchemy import Row

from . import demo
from .api.blueprint import openapi_spec
from .api.errors import ApiError
from .auth.schemas import Email
from .auth.sessions import purge_sessions
from .auth.tokens import reset_link
from .auth.users import promote_user, user_from_email
from .config_docs import write_config_docs
from .db import begin_long_transaction, db
from .import_export.export import FORMATS, stream_export
from .import_export.importer import import_file

sessions = AppGroup("sessions", help="Manage sessions.")
user = AppGroup("user", help="Manage accounts.")
movies = AppGroup("movies", help="Import and export movies.")
of_user = click.option("--user", "email", required=True, help="Email address of the account.")


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
    click.echo(reset_link(load_user(email)))


@movies.command("import")
@click.argument("file", type=click.File("rb"))
@of_user
@click.option("--dry-run", is_flag=True, help="Only report what an import would do.")
@click.option(
    "--on-duplicate", type=click.Choice(["skip", "allow", "error", "update"]), default="skip"
)
def import_movies(file: IO[bytes], email: str, **options: Any) -> None:
    """Import movies from FILE, like POST /movies/import, and print the report."""
    owner, size = load_user(email).id, file.seek(0, SEEK_END)
    bar: Any = click.progressbar(
        length=size, label="Reading", file=sys.stderr, update_min_steps=size // 100 + 1
    )
    with current_app.test_request_context():  # image URLs of this service are told by the request
        try:
            with bar:
                report = import_file(owner, file, file.name, options, bar.update)
        except ApiError as error:
            raise click.ClickException(error.description or "") from error
    _print_report(current_app.json.loads(current_app.json.dumps(report)))


def _print_report(report: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {action}" for action, count in report["counts"].items())
    done = "would be imported" if report["dryRun"] else "imported"
    click.echo(f"{report['format']} ({report['encoding']}), {done}: {counts}.")
    if report["ignoredColumns"]:
        click.echo(f"Ignored columns: {', '.join(report['ignoredColumns'])}.")
    for ignored in report.get("ignoredFiles", ()):
        click.echo(f"Ignored file: {ignored['file']}: {ignored['reason']}")
    for row in report["rows"]:
        if row["reason"]:
            place = f"{row.get('file', '')} {row['line']:>6}"
            click.echo(f"{place}  {row['action']:<8}  {row['reason']}")


@movies.command("export")
@click.argument("file", type=click.File("wb"), default="-")
@of_user
@click.option("--format", "file_format", type=click.Choice([*FORMATS]), default="json")
def export_movies(file: IO[bytes], email: str, file_format: str) -> None:
    """Export all movies to FILE, or to the standard output."""
    owner = load_user(email)
    with current_app.test_request_context():
        g.request_id = "flask movies export"
        parts = stream_export(owner, file_format)
        with click.progressbar(parts, label="Exporting", file=sys.stderr) as shown:
            file.writelines(shown)


def load_user(email: str) -> Row[Any]:
    """Return the user with that address, or end with an error."""
    found = user_from_email(parse_email(email))
    if found is None:
        raise click.ClickException(f"No account has the email address {email}.")
    return found


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
