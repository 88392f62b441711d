"""Backup and restore: every row, image and the generated key in one ZIP file.

The rows are a SQLite database, whichever database the service uses. A restore migrates it to the
schema of this release, then copies its rows in one transaction.
"""

import hashlib
import os
import re
import signal
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj, disk_usage
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import click
import flask_migrate
import orjson
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from .api.errors import ApiError
from .config import current_config, parse_secret_keys
from .db import db, engine_options, init_db, now
from .db.outages import cause_of, driver_message
from .images.queries import all_image_keys
from .images.storage import Bucket, bucket_errors, current_storage
from .models import images, sessions, users

MANIFEST, DATABASE, KEY_FILE, FORMAT = "manifest.json", "movies.db", "secret_key", 1
NAME = re.compile(r"(.*/)?movies-\d{8}T\d{6}Z\.zip")
BATCH = 500  # rows in memory
TIMEOUT_MS = 86_400_000  # of a statement
DAMAGED = (BadZipFile, EOFError, LookupError, RuntimeError, TypeError, ValueError, zlib.error)
MAX_SMALL = 1 << 20  # bytes of the manifest and the key
# Passwords of accounts that exist during the restore, and whether they are disabled
CURRENT = sa.select(
    users.c.id.label("user"), users.c.password_hash.label("hash"), users.c.disabled_at.label("at")
)
KEEP = (
    sa.update(users)
    .where(users.c.id == sa.bindparam("user"))
    .values(password_hash=sa.bindparam("hash"), disabled_at=sa.bindparam("at"))
)
SEQUENCE = "pg_get_serial_sequence(:table, :column)"
LAST_ID = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = :table",
    "postgresql": f"SELECT pg_sequence_last_value({SEQUENCE}::regclass)",
}
SET_LAST_ID = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = :table",
        "INSERT INTO sqlite_sequence VALUES (:table, :last)",
    ),
    "postgresql": (f"SELECT setval({SEQUENCE}, greatest(:last, 1), :last > 0)",),
}


class BackupError(click.ClickException):
    """The backup cannot be written or restored; the message says what to do."""


def write_backup(target: str, keep: int | None) -> None:
    """Write a backup to a file, a directory or s3://bucket/prefix, where it appears complete."""
    name = f"movies-{now():%Y%m%dT%H%M%SZ}.zip"
    bucket, prefix = _find_bucket(f"{target.rstrip('/')}/")
    path = Path(target)
    if path.is_dir():
        path /= name
    elif keep and not bucket:
        raise click.UsageError("--keep requires a directory or s3://, not a file.")
    parent = None if bucket else path.parent
    with _clear_errors(target), TemporaryDirectory(dir=parent, prefix=".backup-") as folder:
        draft = Path(folder, name)
        with draft.open("xb") as file:
            draft.chmod(0o600)
            with ZipFile(file, "w", ZIP_DEFLATED) as archive:
                _write_parts(archive, Path(folder))
            file.flush()
            os.fsync(file.fileno())
        size = draft.stat().st_size
        if bucket:
            with bucket_errors(), _progress("Upload", size) as bar:
                bucket.client.upload_file(draft, bucket.bucket, prefix + name, Callback=bar.update)
            found = [each.name for each in bucket.names(prefix)]
        else:
            draft.replace(path)
            found = [str(each) for each in path.parent.iterdir()]
        old = sorted(filter(NAME.fullmatch, found))[:-keep] if keep else []
        for each in old:
            bucket.remove([each]) if bucket else Path(each).unlink()
            click.echo(f"Deleted {each}.")
    click.echo(f"Wrote {f's3://{bucket.bucket}/{prefix}{name}' if bucket else path}: {size} bytes.")


def _find_bucket(target: str) -> tuple[Bucket | None, str]:
    """Return the bucket and the key of s3://bucket/key, with the settings of the image storage."""
    if not target.startswith("s3://"):
        return None, ""
    if not current_config().s3_bucket:
        raise BackupError("S3_BUCKET is not set: s3:// uses the settings of the image storage.")
    name, _, key = target.removeprefix("s3://").partition("/")
    return Bucket(replace(current_config(), s3_bucket=name)), key


def _write_parts(archive: ZipFile, folder: Path) -> None:
    """Write the images, a snapshot of the tables, the key and the manifest."""
    with _open_draft(folder) as draft:
        # Images first, then those added since: else the snapshot may name images deleted after it
        copied = _copy_images(archive, all_image_keys())
        _copy_snapshot(draft, folder)
        with draft.app_context():
            keys = all_image_keys()
    copied |= _copy_images(archive, keys - copied)
    archive.write(folder / DATABASE, DATABASE)
    if path := _generated_key():
        archive.write(path, KEY_FILE)
    manifest = {
        "format": FORMAT,
        "version": current_app.config["API_VERSION"],
        "createdAt": now(),
        "keys": [_digest(key) for key in current_config().secret_keys],
    }
    archive.writestr(MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    if missing := len(keys - copied):
        click.echo(f"{missing} images are missing.", err=True)


@contextmanager
def _open_draft(folder: Path) -> Iterator[Flask]:
    """Yield an app on a SQLite database in the folder; SIGTERM deletes the folder, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    draft = Flask(current_app.import_name)
    config = replace(current_config(), database_url=f"sqlite:///{folder / DATABASE}")
    draft.extensions["movies_api"] = config
    draft.config.update(
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(config),
    )
    init_db(draft, config)
    try:
        yield draft
    finally:
        draft.extensions["reader"].dispose()


def _copy_snapshot(draft: Flask, folder: Path) -> None:
    """Copy the rows of one moment, without blocking writers."""
    if current_config().is_embedded:
        with current_app.extensions["reader"].connect() as source:
            source.execution_options(long_timeout_ms=TIMEOUT_MS)
            source.exec_driver_sql("VACUUM INTO ?", (str(folder / DATABASE),))
        return
    with draft.app_context():
        flask_migrate.upgrade()
    with (
        current_app.extensions["writer"].connect() as source,
        draft.extensions["writer"].begin() as copy,
    ):
        source.execution_options(long_timeout_ms=TIMEOUT_MS, isolation_level="REPEATABLE READ")
        if _revision(source) != _revision(copy):
            raise BackupError(
                "The database has the schema of another release: use that release, or run "
                "`flask --app wsgi db upgrade`."
            )
        _copy_rows(source, copy)


def _copy_images(archive: ZipFile, keys: set[str]) -> set[str]:
    """Copy images into the archive; return those that exist."""
    copied = set()
    with _progress("Images", len(keys)) as bar:
        for key in keys:
            if file := current_storage().open(f"images/{key}"):
                with file, archive.open(ZipInfo(f"images/{key}"), "w", force_zip64=True) as copy:
                    copyfileobj(file, copy)
                copied.add(key)
            bar.update(1)
    return copied


def restore_backup(target: str, *, force: bool, end_sessions: bool) -> None:
    """Restore a backup, all rows in one transaction.

    With end_sessions, no session or API token is restored, and existing accounts keep
    their current passwords and remain disabled or enabled.
    """
    bucket, key = _find_bucket(target)
    with _clear_errors(target), TemporaryDirectory(prefix=".restore-") as folder:
        file = bucket.open(key) if bucket else Path(target).open("rb")  # noqa: SIM115  see below
        if file is None:
            raise BackupError(f"{target} does not exist.")
        with file, ZipFile(file) as archive, _open_draft(Path(folder)) as draft:
            manifest = orjson.loads(archive.open(MANIFEST).read(MAX_SMALL))
            secret = ""
            if KEY_FILE in archive.namelist():
                secret = archive.open(KEY_FILE).read(MAX_SMALL).decode()
                parse_secret_keys(secret.strip())
            _extract_rows(archive, Path(folder))
            if damaged := archive.testzip():
                raise BadZipFile(damaged)
            with draft.app_context():
                _check_draft(manifest)
                flask_migrate.upgrade()
            if not force and _has_users():
                raise BackupError("The database is not empty. Add --force to replace its data.")
            flask_migrate.upgrade()
            with draft.extensions["reader"].connect() as source:
                source.execution_options(long_timeout_ms=TIMEOUT_MS)
                _restore_images(archive, source)
                count = _restore_rows(source, end_sessions=end_sessions)
        click.echo(f"Restored {count} rows from {manifest['createdAt']}.")
        known = {_digest(each) for each in current_config().secret_keys}
        if secret and (path := _generated_key()):
            path.write_text(secret)
            click.echo("The secret key was restored. Restart the service.")
        elif known.isdisjoint(manifest["keys"]) and not end_sessions:
            click.echo(
                "SECRET_KEY is not the key of the backup: logins have ended. To keep them, set it "
                "to the old key and restart. A generated key is in the file: "
                f"unzip -p {target} {KEY_FILE}",
                err=True,
            )


def _extract_rows(archive: ZipFile, folder: Path) -> None:
    """Extract the database, unless an archive of a few bytes would fill the disk."""
    size, free = archive.getinfo(DATABASE).file_size, disk_usage(folder).free
    if size > free:
        raise BackupError(f"{folder.parent} has {free} bytes free; {size} are needed: set TMPDIR.")
    with archive.open(DATABASE) as source, (folder / DATABASE).open("wb") as copy:
        copyfileobj(source, copy)


def _check_draft(manifest: dict[str, Any]) -> None:
    """Raise BackupError if this release cannot load the backup in the current app."""
    script = ScriptDirectory(current_app.extensions["migrate"].directory)
    with db.engine.connect() as connection:
        revision = _revision(connection)
        if sa.inspect(connection).get_view_names():  # a recursive one may have no end
            raise ValueError("it has views")
    known = {each.revision for each in script.walk_revisions()}
    if manifest["format"] != FORMAT or revision not in known:
        raise BackupError(
            f"The backup was made by a newer release ({manifest['version']}): restore it with that "
            "release or a later one."
        )


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _has_users() -> bool:
    with db.engine.connect() as connection:
        return sa.inspect(connection).has_table(users.name) and bool(
            connection.scalar(sa.select(sa.exists().select_from(users)))
        )


def _restore_images(archive: ZipFile, source: sa.Connection) -> None:
    """Store the images that the storage does not have."""
    storage, missing = current_storage(), 0
    sizes = {each.name: each.size for each in storage.names("images/")}
    members = {each.filename: each for each in archive.infolist()}
    rows = source.execute(sa.select(images.c.key, images.c.media_type)).all()
    with _progress("Images", len(rows)) as bar:
        for key, media_type in rows:
            member = members.get(name := f"images/{key}")
            # Images are not compressed: none needs more memory than its part of the archive
            if member is None or member.compress_type != ZIP_STORED:
                missing += 1
            elif sizes.get(name) != member.file_size:
                data = archive.read(member)
                if hashlib.sha256(data).hexdigest() == key:
                    storage.put(name, data, media_type)
                else:
                    missing += 1
            bar.update(1)
    if missing:
        click.echo(f"{missing} images are missing or damaged.", err=True)


def _restore_rows(source: sa.Connection, *, end_sessions: bool) -> int:
    """Replace all rows, in one transaction."""
    with current_app.extensions["writer"].connect() as target:
        is_postgresql = target.dialect.name == "postgresql"
        target.execution_options(long_timeout_ms=0 if is_postgresql else TIMEOUT_MS)
        with target.begin():
            if is_postgresql:
                names = ", ".join(db.metadata.tables)
                target.execute(sa.text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
            kept = target.execute(CURRENT).mappings().all() if end_sessions else []
            for table in reversed(db.metadata.sorted_tables):
                target.execute(sa.delete(table))
            count = _copy_rows(source, target)
            if end_sessions:
                target.execute(sa.delete(sessions))
            if kept:
                target.execute(KEEP, [dict(row) for row in kept])
            return count


def _copy_rows(source: sa.Connection, target: sa.Connection) -> int:
    """Copy all rows and the largest ids; return the number of rows."""
    count = 0
    for table in db.metadata.sorted_tables:
        columns = [each for each in table.c if not (each.computed or "is_derived" in each.info)]
        total = source.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        statement = sa.select(*columns).execution_options(yield_per=BATCH)
        with _progress(table.name, total) as bar:
            for batch in source.execute(statement).mappings().partitions():
                target.execute(sa.insert(table), [dict(row) for row in batch])
                bar.update(len(batch))
        if (column := table.autoincrement_column) is not None:
            _copy_last_id(source, target, column)
        count += total
    return count


def _copy_last_id(source: sa.Connection, target: sa.Connection, column: sa.Column[Any]) -> None:
    """Copy the largest id that was ever used, so that none is used again."""
    values = {"table": column.table.name, "column": column.name}
    used = source.scalar(sa.text(LAST_ID[source.dialect.name]), values) or 0
    last = max(used, source.scalar(sa.select(sa.func.max(column))) or 0)
    for statement in SET_LAST_ID[target.dialect.name]:
        target.execute(sa.text(statement), {**values, "last": last})


def _generated_key() -> Path | None:
    """Return the file of the secret key, if the key in use is a generated one."""
    path = current_config().instance_dir / KEY_FILE
    with suppress(OSError, ValueError):
        if parse_secret_keys(path.read_text().strip()) == current_config().secret_keys:
            return path
    return None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


@contextmanager
def _clear_errors(target: str) -> Iterator[None]:
    """Turn expected errors into messages for operators."""
    try:
        yield
    except ApiError as error:  # of the storage
        raise BackupError(f"{target}: {error.__context__ or error.description}") from error
    except SQLAlchemyError as error:
        cause = cause_of(error)
        raise BackupError(f"{target}: {cause.text if cause else driver_message(error)}") from error
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror or error}") from error
    except DAMAGED as error:
        raise BackupError(f"{target} is not a backup, or is damaged: {error}") from error


def _progress(label: str, length: int) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)
