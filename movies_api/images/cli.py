"""Commands: flask --app wsgi images cleanup."""

import click
from flask.cli import AppGroup

from ..api.errors import ApiError
from ..db import begin_long_transaction, db
from .cleanup import cleanup_next, stray_files
from .queries import mark_unused
from .storage import current_storage

images = AppGroup("images", help="Look after the pictures.")


@images.command()
def cleanup() -> None:
    """Remove the pictures that no movie has shown for a day, and uploads that were never used.

    The day begins when the movie goes, or when a sweep or an upload first sees that none shows it.
    Each upload removes a few by itself; this removes all of them. It may run while the service
    serves.
    """
    try:
        removed, strays = _delete_unused_images(), _delete_stray_files()
    except ApiError as error:
        raise click.ClickException(error.description or "") from error
    click.echo(f"Removed {removed} pictures and {strays} stray files.")


def _delete_unused_images() -> int:
    begin_long_transaction()
    mark_unused()
    db.session.commit()
    return sum(iter(cleanup_next, None))


def _delete_stray_files() -> int:
    with click.progressbar(strays := stray_files(), label="Strays") as found:
        for stored in found:
            current_storage().remove([stored.name])
    return len(strays)
