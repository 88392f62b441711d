"""PgBouncer in transaction mode; `python -m bench.pgbouncer pytest` runs a command behind it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from tests.servers import OwnPostgres, ServerError, free_port, own_postgres, wait_until

SETTINGS = """
[databases]
* = host=127.0.0.1 port={postgres}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {people}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
"""
PEOPLE = ("postgres", "movies_api_plain")  # the second is the tests'


@contextmanager
def pgbouncer(server: OwnPostgres) -> Iterator[tuple[int, int]]:
    """Start a PgBouncer before the server, under its account; give its port and its process id."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise ServerError("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    port, log = free_port(), server.folder / "pgbouncer.log"
    file = server.folder / "pgbouncer.ini"
    people = server.folder / "pgbouncer.people"
    people.write_text("".join(f'"{name}" ""\n' for name in PEOPLE))
    file.write_text(SETTINGS.format(postgres=server.port, port=port, people=people))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, str(file)], stdout=output, stderr=output, **server.account
        )
    try:
        wait_until(lambda: _is_ready(port), process, log)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(port: int) -> bool:
    try:
        psycopg2.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def main() -> int:
    """Run a command, such as pytest, with TEST_DATABASE_URL behind PgBouncer."""
    with own_postgres() as server, pgbouncer(server) as (port, _):
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        environment = {**os.environ, "TEST_DATABASE_URL": url}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
