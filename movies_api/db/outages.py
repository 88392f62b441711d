"""Map errors of the database driver to causes, each with advice for the operator."""

import re
from typing import Any, NamedTuple

import click
from flask.cli import AppGroup
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..config import current_config
from ..logs import log, log_outage


class Cause(NamedTuple):
    """Why the database cannot serve a request; the text contains no secrets."""

    name: str
    text: str
    is_outage: bool  # False: only this request hit a limit


LIMITS = {"lock_timeout", "statement_timeout", "deadlock"}
CAUSES = {
    name: Cause(name, text, is_outage=name not in LIMITS)
    for name, text in {
        "host_unknown": "DATABASE_URL: the host name cannot be resolved: check it.",
        "connection_refused": (
            "DATABASE_URL: connection refused: check host and port, and that the server is running."
        ),
        "host_unreachable": (
            "DATABASE_URL: the server does not respond: check host, port and firewall."
        ),
        "password_rejected": (
            "DATABASE_URL: password authentication failed: check the user and the password."
        ),
        "unknown_role": (
            "DATABASE_URL: the user does not exist on the server: create the role or correct it."
        ),
        "unknown_database": (
            "DATABASE_URL: the database does not exist: create it or correct its name."
        ),
        "access_denied": (
            "The server's pg_hba.conf does not allow this connection: add a line there, or "
            "?sslmode=require to DATABASE_URL."
        ),
        "tls_failed": "DATABASE_URL: TLS failed: check sslmode and the certificates.",
        "invalid_option": (
            "DATABASE_URL: the query string contains an invalid option: correct it."
        ),
        "too_many_connections": (
            "The server has no free connection: lower DB_POOL_SIZE or WEB_CONCURRENCY, or raise "
            "its max_connections."
        ),
        "server_starting": "The server is starting or shutting down: wait until it is up.",
        "connection_lost": "The connection to the server was lost: check that it is running.",
        "pool_exhausted": "All connections of this process are in use: raise DB_POOL_SIZE.",
        "permission_denied": (
            "The user of DATABASE_URL may not use the tables: grant the privileges or connect as "
            "their owner."
        ),
        "server_read_only": "The server is read-only: name the primary in DATABASE_URL.",
        "disk_full": "The disk of the database is full: free up space.",
        "out_of_memory": "The server is out of memory: add memory or lower WEB_CONCURRENCY.",
        "file_read_only": (
            "The database file is read-only: make the file and its folder writable for the user "
            "that runs the service."
        ),
        "file_unusable": (
            "The database file cannot be opened: check DATABASE_URL and INSTANCE_DIR, and that the "
            "user that runs the service may write to the file and its folder."
        ),
        "file_damaged": "The file is damaged or is not a SQLite database: restore a backup.",
        "io_error": "Reading or writing the database file failed: check the disk.",
        "migrations_pending": "Migrations are pending. Run `flask --app wsgi db upgrade`.",
        "unavailable": "The database is unavailable: see the driver's message in the log.",
        "lock_timeout": (
            "A statement waited for a lock longer than DB_LOCK_TIMEOUT_MS: end the transaction "
            "that holds it."
        ),
        "statement_timeout": "A statement took longer than DB_STATEMENT_TIMEOUT_MS.",
        "deadlock": "Two transactions deadlocked: the client can retry.",
    }.items()
}
# By SQLSTATE, or its first two or three characters
STATES = {
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "40": "deadlock",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
    "57P03": "server_starting",
    "57P": "connection_lost",
    "25P03": "connection_lost",
    "08": "connection_lost",
    "25006": "server_read_only",
    "42501": "permission_denied",
    "42P01": "migrations_pending",
    "42703": "migrations_pending",
    "28P01": "password_rejected",
    "3D000": "unknown_database",
}
SQLITE = {
    "SQLITE_BUSY": "lock_timeout",
    "SQLITE_LOCKED": "lock_timeout",
    "SQLITE_INTERRUPT": "statement_timeout",
    "SQLITE_FULL": "disk_full",
    "SQLITE_READONLY": "file_read_only",
    "SQLITE_PERM": "file_unusable",
    "SQLITE_CANTOPEN": "file_unusable",
    "SQLITE_AUTH": "file_unusable",
    "SQLITE_CORRUPT": "file_damaged",
    "SQLITE_NOTADB": "file_damaged",
    "SQLITE_IOERR": "io_error",
}
# psycopg2 sets no SQLSTATE if a connection fails; the first pattern that matches wins
MESSAGES = [
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in [
        ("no such (table|column):", "migrations_pending"),
        ("authentication failed|no password supplied", "password_rejected"),
        (r"role \"[^\"\n]*\" does not exist|no such user", "unknown_role"),
        (r"database \"[^\"\n]*\" does not exist|no such database", "unknown_database"),
        (
            "too many (connections|clients)|connection slots are reserved|no more connections",
            "too_many_connections",
        ),
        (
            "the database system is (starting up|shutting down|in recovery|not (yet )?accepting)",
            "server_starting",
        ),
        ("no pg_hba.conf entry|pg_hba.conf rejects", "access_denied"),
        ("permission denied for", "permission_denied"),
        ("could not translate host name", "host_unknown"),
        (r"invalid (dsn|connection option|URI|sslmode)", "invalid_option"),
        (r"\b(SSL|TLS|certificate)\b(?! connection has been closed| SYSCALL)", "tls_failed"),
        ("connection refused|no such file or directory", "connection_refused"),
        ("timeout expired|timed out|no route to host|is unreachable", "host_unreachable"),
        ("server closed|connection (reset|already closed)|broken pipe|SSL", "connection_lost"),
        ("cannot connect to server|query_wait_timeout", "connection_lost"),  # PgBouncer
    ]
]


def cause_of(error: Exception) -> Cause | None:
    """Return why the database cannot serve a request, or None for any other error."""
    if isinstance(error, PoolTimeout):
        return CAUSES["pool_exhausted"]
    if isinstance(error, OSError):
        return CAUSES["file_unusable"]
    driver: Any = getattr(error, "orig", None) or error
    state = getattr(driver, "pgcode", None) or ""
    sqlite = "_".join((getattr(driver, "sqlite_errorname", None) or "").split("_")[:2])
    found = STATES.get(state) or STATES.get(state[:3]) or STATES.get(state[:2])
    found = found or SQLITE.get(sqlite)
    if found is None and not state:
        found = next((name for pattern, name in MESSAGES if pattern.search(str(driver))), None)
    if found is None and sqlite != "SQLITE_ERROR" and is_lost(error):
        found = "unavailable"
    return CAUSES[found] if found else None


def is_lost(error: Exception) -> bool:
    """Return whether the server, not the statement, caused the error."""
    return isinstance(error, (OperationalError, InterfaceError)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def log_cause(cause: Cause, error: Exception | None = None) -> None:
    """Log a cause with the driver's message: an outage once a minute, a limit always."""
    fields = {"cause": cause.name}
    if error is not None:
        fields["driver"] = driver_message(error)
    if not cause.is_outage:
        log.warning(cause.text, extra={"fields": fields})
        return
    log_outage(cause.name, "database unavailable: %s", cause.text, **fields)


def driver_message(error: Exception) -> str:
    """Return the line of the driver's message that shows the cause, without the password."""
    driver: Any = getattr(error, "orig", None) or error
    lines = str(driver).splitlines() or [type(driver).__name__]
    line = lines[0].strip()
    # A host may have several addresses, with one line for each
    if getattr(driver, "pgcode", None) is None:
        matching = (each for pattern, _ in MESSAGES for each in lines if pattern.search(each))
        line = next(matching, line).strip()
    password = make_url(current_config().database_url).password
    return line.replace(str(password), "***") if password else line


class CommandGroup(AppGroup):
    """A group of commands that exit with the cause if they cannot use the database."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command."""
        try:
            return super().invoke(ctx)
        except SQLAlchemyError as error:
            if cause := cause_of(error):
                raise click.ClickException(f"{cause.text} {driver_message(error)}") from error
            raise
