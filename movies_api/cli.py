"""Commands of `flask --app wsgi`; some packages define their own."""

from json import dumps
from pathlib import Path

import click
from flask import Flask, current_app

from . import demo
from .account.cli import user
from .api.blueprint import openapi_spec
from .auth.sessions import purge_sessions
from .config import environment
from .config_docs import write_config_docs
from .db import begin_long_transaction, db
from .db.outages import CommandGroup
from .import_export.cli import movies

sessions = CommandGroup("sessions", help="Manage sessions.")


def init_cli(app: Flask) -> None:
    """Register the commands."""
    app.cli.commands.pop("openapi", None)  # flask-smorest's; ours writes docs/openapi.yml
    groups = (sessions, user, movies)
    for command in (seed, *groups, backup, restore, doctor, write_openapi, config_docs):
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


@click.command()
@click.argument("path", metavar="[FILE|DIRECTORY]", required=False)
@click.option("--to", metavar="s3://BUCKET/PREFIX", help="Upload to a bucket instead.")
@click.option("--keep", type=click.IntRange(1), help="Delete all but the newest N backups there.")
def backup(path: str | None, to: str | None, keep: int | None) -> None:
    """Back up all data to a file, or to a new file in a directory, while the service runs.

    It contains the images, password hashes and, unless SECRET_KEY is set, the secret key: it
    has mode 0600. It can be restored into either kind of database and of image storage.
    """
    from .backup import write_backup  # noqa: PLC0415  needed here only

    if not (target := path or to) or (path and to):
        raise click.UsageError("Name a file, a directory or --to s3://BUCKET/PREFIX.")
    write_backup(target, keep)


@click.command()
@click.argument("path", metavar="FILE|s3://BUCKET/NAME")
@click.option("--force", is_flag=True, help="Replace the data of a database that is not empty.")
@click.option(
    "--end-sessions",
    is_flag=True,
    help="Restore no sessions and API tokens; existing accounts keep their current passwords.",
)
def restore(path: str, *, force: bool, end_sessions: bool) -> None:
    """Restore a backup into this database and image storage, and migrate it."""
    from .backup import restore_backup  # noqa: PLC0415  needed here only

    restore_backup(path, force=force, end_sessions=end_sessions)


@click.command()
@click.option("--url", help="Public address to send a request to; default: PUBLIC_URL.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, url: str | None, *, as_json: bool) -> None:
    """Check settings, database and servers: exit with 1 for warnings, 2 for errors."""
    from .doctor import examine  # noqa: PLC0415  needed here only

    findings = examine(environment(), url)
    if as_json:
        click.echo(dumps([each._asdict() for each in findings]))
    for each in () if as_json else findings:
        click.echo(f"{each.level}: {each.variable}: {each.message}")
    context.exit(max([{"warning": 1, "error": 2}[each.level] for each in findings], default=0))


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
