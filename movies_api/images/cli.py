"""Commands: flask --app wsgi images cleanup."""

import click

from ..api.errors import ApiError
from ..db import begin_long_transaction, db
from ..db.outages import CommandGroup
from .cleanup import delete_next_unused, find_stray_files
from .queries import mark_unused
from .storage import current_storage

images = CommandGroup("images", help="Manage stored images.")


@images.command()
def cleanup() -> None:
    """Delete images that no movie has shown for a day, and uploads that were never used.

    The day starts when the movie is deleted, or when a cleanup or an upload first finds the image
    unused. Each upload deletes a few unused images; this command deletes all of them. It is safe to
    run while the service is running.
    """
    try:
        deleted, strays = _delete_unused_images(), _delete_stray_files()
    except ApiError as error:
        raise click.ClickException(error.description or "") from error
    click.echo(f"Deleted {deleted} images and {strays} stray files.")


def _delete_unused_images() -> int:
    begin_long_transaction()
    mark_unused()
    db.session.commit()
    return sum(iter(delete_next_unused, None))


def _delete_stray_files() -> int:
    with click.progressbar(strays := find_stray_files(), label="Stray files") as found:
        for stored in found:
            current_storage().remove([stored.name])
    return len(strays)
