"""Commands: flask --app wsgi images sweep."""

import click
from flask.cli import AppGroup

from ..db import begin_long_transaction, db
from ..errors import ApiError
from .models import note_use
from .storage import storage
from .sweeping import stray_files, sweep_next

images = AppGroup("images", help="Look after the pictures.")


@images.command()
def sweep() -> None:
    """Remove the pictures that no movie has shown for a day, and uploads that were never used.

    The day begins when the movie goes, or when a sweep or an upload first sees that none shows it.
    Each upload removes a few by itself; this removes all of them. It may run while the service
    serves.
    """
    try:
        removed, strays = _sweep_pictures(), _sweep_strays()
    except ApiError as error:
        raise click.ClickException(error.description or "") from error
    click.echo(f"Removed {removed} pictures and {strays} stray files.")


def _sweep_pictures() -> int:
    begin_long_transaction()
    note_use()
    db.session.commit()
    return sum(iter(sweep_next, None))


def _sweep_strays() -> int:
    with click.progressbar(strays := stray_files(), label="Strays") as found:
        for stored in found:
            storage().remove([stored.name])
    return len(strays)
