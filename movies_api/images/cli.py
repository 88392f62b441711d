"""Commands: flask --app wsgi images sweep."""

import click
from flask.cli import AppGroup

from ..db import db
from .keeping import storage
from .models import note_use, unused_pictures
from .sweeping import stray_files, sweep_picture

images = AppGroup("images", help="Look after the pictures.")


@images.command()
def sweep() -> None:
    """Remove the pictures that no movie has shown for a day, and uploads that were never used.

    Run it once a day, or more often; it may run while the service serves.
    """
    note_use()
    db.session.commit()
    removed = 0
    with click.progressbar(unused_pictures(), label="Pictures") as keys:
        for key in keys:
            removed += sweep_picture(key)
    with click.progressbar(strays := stray_files(), label="Strays") as found:
        for stored in found:
            storage().remove([stored.name])
    click.echo(f"Removed {removed} pictures and {len(strays)} stray files.")
