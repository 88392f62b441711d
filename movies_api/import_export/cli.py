"""Commands: flask --app wsgi movies ..."""

import sys
from io import SEEK_END
from typing import IO, Any

import click
from flask import current_app, g

from ..account.cli import load_user
from ..api.errors import ApiError
from ..db.outages import CommandGroup
from .export import FORMATS, stream_export
from .importer import import_file

movies = CommandGroup("movies", help="Import and export movies.")
of_user = click.option("--user", "email", required=True, help="Email address of the account.")


@movies.command("import")
@click.argument("file", type=click.File("rb"))
@of_user
@click.option("--dry-run", is_flag=True, help="Only report what an import would do.")
@click.option(
    "--on-duplicate", type=click.Choice(["skip", "allow", "error", "update"]), default="skip"
)
def import_from_file(file: IO[bytes], email: str, **options: Any) -> None:
    """Import movies from FILE, like POST /movies/import, and print the report."""
    owner, size = load_user(email).id, file.seek(0, SEEK_END)
    bar: Any = click.progressbar(
        length=size, label="Reading", file=sys.stderr, update_min_steps=size // 100 + 1
    )
    with current_app.test_request_context():  # image URLs depend on the request
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
def export_to_file(file: IO[bytes], email: str, file_format: str) -> None:
    """Export all movies to FILE, or to the standard output."""
    owner = load_user(email)
    with current_app.test_request_context():
        g.request_id = "flask movies export"
        parts = stream_export(owner, file_format)
        with click.progressbar(parts, label="Exporting", file=sys.stderr) as shown:
            file.writelines(shown)
