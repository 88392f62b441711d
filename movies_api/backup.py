"""Backup and restore: every row, image and the generated key in one portable ZIP file.

A row is a line of JSON with the columns that the manifest lists. The types in the manifest suffice
to load it into either kind of database, at the schema revision of the backup.
"""

import hashlib
import os
import sys
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import click
import flask_migrate
import orjson
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import current_app

from .api.errors import ApiError
from .config import current_config, parse_secret_keys
from .db import UtcDateTime, db, now
from .images.storage import current_storage
from .models import images, users

MANIFEST, KEY_FILE, FORMAT = "manifest.json", "secret_key", 1
BATCH = 500  # rows in memory
TIMEOUT_MS = 86_400_000  # of a statement
# By Python type: the SQL type of a column, and the function that reads its values from JSON
TYPES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "UUID": (sa.Uuid(), UUID),
    "bool": (sa.Boolean(), bool),
    "bytes": (sa.LargeBinary(), b64decode),
    "date": (sa.Date(), date.fromisoformat),
    "datetime": (UtcDateTime(), datetime.fromisoformat),
    "float": (sa.Float(), float),
    "int": (sa.BigInteger(), int),
    "object": (sa.JSON(none_as_null=True), lambda value: value),
    "str": (sa.Text(), str),
}


class BackupError(click.ClickException):
    """The backup cannot be written or restored; the message says what to do."""


def write_backup(path: Path) -> dict[str, Any]:
    """Write a backup with mode 0600; replace the file once it is complete. Return the manifest."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
            try:
                with ZipFile(draft, "w", ZIP_DEFLATED) as archive:
                    manifest = _write_parts(archive)
                draft.flush()
                os.fsync(draft.fileno())
                Path(draft.name).replace(path)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from error
    except ApiError as error:
        raise BackupError(error.description or "") from error
    return manifest


def _write_parts(archive: ZipFile) -> dict[str, Any]:
    """Write a snapshot of the tables, the images in it, the key and the manifest."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": current_app.config["API_VERSION"],
        "createdAt": now(),
        "keys": [_digest(key) for key in current_config().secret_keys],
        "tables": {},
        "rows": {},
        "lastIds": {},
        "missingImages": [],
    }
    with _snapshot() as connection:
        manifest["revision"] = MigrationContext.configure(connection).get_current_revision()
        stored = _stored_columns(connection)
        if "images" not in stored:
            raise BackupError("The database has no tables: run `flask --app wsgi db upgrade`.")
        keys = list(connection.scalars(sa.select(images.c.key)))
        for table, columns in stored.items():
            manifest["tables"][table] = {str(each.name): _type_name(each) for each in columns}
            manifest["rows"][table] = _write_rows(archive, connection, table, columns)
            for column in columns:
                if column is column.table.autoincrement_column:
                    manifest["lastIds"][table] = {str(column.name): _last_id(connection, column)}
    with _progress("Images", len(keys)) as bar:
        for key in keys:
            if not _write_image(archive, f"images/{key}"):
                manifest["missingImages"].append(key)
            bar.update(1)
    if path := _generated_key():
        archive.write(path, KEY_FILE)
    archive.writestr(MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return manifest


@contextmanager
def _snapshot() -> Iterator[sa.Connection]:
    """Yield a connection with a consistent snapshot, without blocking writers."""
    is_embedded = current_config().is_embedded
    options: dict[str, Any] = {"long_timeout_ms": TIMEOUT_MS}
    if not is_embedded:
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    engine: sa.Engine = current_app.extensions["reader" if is_embedded else "writer"]
    with engine.connect() as connection:
        connection.execution_options(**options)
        if is_embedded:
            connection.exec_driver_sql("BEGIN")  # the writer's BEGIN IMMEDIATE would block writers
        yield connection


def _stored_columns(connection: sa.Connection) -> dict[str, list[sa.Column[Any]]]:
    """Return the columns to back up, by table: those that exist and are not derived."""
    inspector = sa.inspect(connection)
    found = {}
    for table in db.metadata.sorted_tables:
        if inspector.has_table(table.name):
            existing = {each["name"] for each in inspector.get_columns(table.name)}
            if unknown := existing - set(table.c.keys()):
                raise BackupError(
                    f"{table.name}.{min(unknown)} is unknown: the database is newer than this "
                    "release. Use the newer release."
                )
            found[str(table.name)] = [
                each
                for each in table.c
                if each.name in existing and not each.computed and not each.info.get("is_derived")
            ]
    return found


def _write_rows(
    archive: ZipFile, connection: sa.Connection, table: str, columns: list[sa.Column[Any]]
) -> int:
    total = connection.scalar(sa.select(sa.func.count()).select_from(columns[0].table)) or 0
    with (
        archive.open(f"tables/{table}", "w", force_zip64=True) as file,
        _progress(table, total) as bar,
    ):
        statement = sa.select(*columns).execution_options(yield_per=BATCH)
        for rows in connection.execute(statement).partitions():
            file.writelines(orjson.dumps([*row], default=_encode) + b"\n" for row in rows)
            bar.update(len(rows))
    return total


def _encode(value: bytes) -> str:
    return b64encode(value).decode()


def _write_image(archive: ZipFile, name: str) -> bool:
    """Copy an image into the archive; return False if it was deleted after the snapshot."""
    if (file := current_storage().open(name)) is None:
        return False
    with file, archive.open(ZipInfo(name), "w") as copy:
        copyfileobj(file, copy)
    return True


def restore_backup(path: Path, *, force: bool, end_sessions: bool) -> dict[str, Any]:
    """Restore a backup, all rows in one transaction; return the manifest.

    With end_sessions, no session or API token is restored, and existing accounts keep
    their current passwords.
    """
    try:
        with ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise BackupError(f"{path} is damaged: {damaged}. Restore another backup.")
            manifest: dict[str, Any] = orjson.loads(archive.read(MANIFEST))
            _check_manifest(manifest)
            if not force and _has_rows():
                raise BackupError("The database is not empty. Add --force to replace its data.")
            _restore_images(archive, manifest)
            try:
                _migrate_to(manifest["revision"])
                _restore_rows(archive, manifest, end_sessions=end_sessions)
            finally:
                flask_migrate.upgrade()
            manifest["isKeyRestored"] = _restore_key(archive)
    except (BadZipFile, KeyError, ValueError, zlib.error) as error:
        raise BackupError(f"{path} is not a backup, or is damaged: {error}") from error
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror}") from error
    except ApiError as error:
        raise BackupError(error.description or "") from error
    return manifest


def _check_manifest(manifest: dict[str, Any]) -> None:
    """Raise BackupError if this release cannot load the backup."""
    script = ScriptDirectory(current_app.extensions["migrate"].directory)
    try:
        script.get_revision(manifest["revision"])
    except CommandError:
        manifest["format"] = None
    if manifest["format"] != FORMAT:
        raise BackupError(
            f"The backup was made by a newer release ({manifest['version']}): restore it with that "
            "release or a later one."
        )


def _has_rows() -> bool:
    with db.engine.connect() as connection:
        return any(
            connection.scalar(sa.select(sa.exists().select_from(columns[0].table)))
            for columns in _stored_columns(connection).values()
        )


def _migrate_to(revision: str) -> None:
    """Upgrade or downgrade the database, so that it has exactly the columns of the backup."""
    script = ScriptDirectory(current_app.extensions["migrate"].directory)
    with db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current in {
        each.revision for each in script.iterate_revisions(revision, "base")
    }:
        flask_migrate.upgrade(revision=revision)
    else:
        flask_migrate.downgrade(revision=revision)


def _restore_images(archive: ZipFile, manifest: dict[str, Any]) -> None:
    """Store the images that the storage does not have yet."""
    storage, present = current_storage(), set(archive.namelist())
    sizes = {each.name: each.size for each in storage.names("images/")}
    with _progress("Images", manifest["rows"]["images"]) as bar:
        for rows in _read_rows(archive, manifest, "images"):
            for row in rows:
                name = f"images/{row['key']}"
                if name in present and sizes.get(name) != archive.getinfo(name).file_size:
                    storage.put(name, archive.read(name), row["media_type"])
            bar.update(len(rows))


def _restore_rows(archive: ZipFile, manifest: dict[str, Any], *, end_sessions: bool) -> None:
    """Replace all rows, in one transaction."""
    with current_app.extensions["writer"].connect() as connection:
        is_postgresql = connection.dialect.name == "postgresql"
        connection.execution_options(long_timeout_ms=0 if is_postgresql else TIMEOUT_MS)
        with connection.begin():
            if is_postgresql:
                quote = connection.dialect.identifier_preparer.quote
                names = ", ".join(map(quote, manifest["tables"]))
                connection.execute(sa.text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
            kept = {}
            if end_sessions:
                kept = dict(connection.execute(sa.select(users.c.id, users.c.password_hash)).all())
            for table in reversed(manifest["tables"]):
                connection.execute(sa.delete(sa.table(table)))
            for table, columns in manifest["tables"].items():
                target = sa.table(table, *(sa.column(n, TYPES[t][0]) for n, t in columns.items()))
                if end_sessions and table == "sessions":
                    continue
                with _progress(table, manifest["rows"][table]) as bar:
                    for rows in _read_rows(archive, manifest, table):
                        if table == "users":
                            for row in rows:
                                row["password_hash"] = kept.get(row["id"], row["password_hash"])
                        connection.execute(sa.insert(target), rows)
                        bar.update(len(rows))
            for table, last in manifest["lastIds"].items():
                _set_last_id(connection, table, *last.popitem())


def _read_rows(
    archive: ZipFile, manifest: dict[str, Any], table: str
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a table, BATCH at a time."""
    columns = [(name, TYPES[kind][1]) for name, kind in manifest["tables"][table].items()]
    with archive.open(f"tables/{table}") as file:
        while lines := list(islice(file, BATCH)):
            yield [
                {
                    name: None if value is None else read(value)
                    for (name, read), value in zip(columns, orjson.loads(line), strict=True)
                }
                for line in lines
            ]


def _last_id(connection: sa.Connection, column: sa.Column[Any]) -> int:
    """Return the largest id that was ever used, so that no id is reused."""
    largest = connection.scalar(sa.select(sa.func.max(column))) or 0
    if connection.dialect.name == "sqlite":
        statement = "SELECT seq FROM sqlite_sequence WHERE name = :table"
    else:
        statement = (
            "SELECT pg_sequence_last_value(pg_get_serial_sequence(:table, :column)::regclass)"
        )
    values = {"table": column.table.name, "column": column.name}
    return max(largest, connection.scalar(sa.text(statement), values) or 0)


def _set_last_id(connection: sa.Connection, table: str, column: str, last: int) -> None:
    values = {"table": table, "column": column, "last": last}
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :table"), values)
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES (:table, :last)"), values)
    elif last:
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"), values
        )


def _generated_key() -> Path | None:
    """Return the file of the secret key, if the key in use is a generated one."""
    path = current_config().instance_dir / KEY_FILE
    with suppress(OSError, ValueError):
        if parse_secret_keys(path.read_text().strip()) == current_config().secret_keys:
            return path
    return None


def _restore_key(archive: ZipFile) -> bool:
    """Replace the generated key by that of the backup; return False if SECRET_KEY is set."""
    path = _generated_key()
    if path is None or KEY_FILE not in archive.namelist():
        return False
    with NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(archive.read(KEY_FILE))
    Path(draft.name).replace(path)
    return True


def is_key_missing(manifest: dict[str, Any]) -> bool:
    """Return whether this service lacks the key that signed the sessions of the backup."""
    known = {_digest(key) for key in current_config().secret_keys}
    return not manifest["isKeyRestored"] and known.isdisjoint(manifest["keys"])


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _type_name(column: sa.Column[Any]) -> str:
    kind: Any = getattr(column.type, "impl_instance", column.type)  # of UtcDateTime, DateTime
    return str(kind.python_type.__name__)


def _progress(label: str, length: int) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)
