"""Importer: a file from its bytes to the report, for the route and the command."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import IO, Any
from uuid import UUID

from ..db import db
from .insert import insert_rows, resolve_conflicts
from .reader import Progress, read_file
from .report import build_report
from .row_images import store_row_images


def import_file(
    owner: UUID,
    file: IO[bytes],
    file_name: str,
    options: Mapping[str, Any],
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Import the movies and return the report; commit, or in a dry run roll back.

    The options are those of ImportQuerySchema.
    """
    is_dry, on_duplicate = options["dry_run"], options["on_duplicate"]
    with ExitStack() as files:
        parsed = read_file(file, file_name, files, progress)
        store_row_images(owner, parsed.rows, is_dry=is_dry)
        resolve_conflicts(owner, parsed, on_duplicate)
        if is_dry:
            db.session.rollback()
        else:
            insert_rows(owner, parsed)
            db.session.commit()
        return build_report(parsed, on_duplicate, is_dry=is_dry)
