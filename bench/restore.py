"""`python -m bench.restore`: back up under load, delete everything, restore and compare."""

import argparse
import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

import boto3
import sqlalchemy as sa
from PIL import Image

from movies_api.db import db
from tests.concurrency import cookie_of
from tests.servers import CHECKOUT, SECRET_KEY, Service, gunicorn, own_postgres, s3

from .scenarios import PASSWORD, movies_file

WRITERS = 6
# Columns that requests change later; movie_count is compared with the number of movies
CHANGING = {"movie_count", "used_at", "unused_since", "last_used_at", "generation", "superseded"}
Rows = dict[str, set[tuple[Any, ...]]]


class Journal:
    """What the service has acknowledged: movie IDs with the times, deleted users."""

    def __init__(self) -> None:
        self.movies: dict[int, float] = {}
        self.deleted: dict[str, float] = {}
        self.errors: list[str] = []
        self.lock = Lock()
        self.is_done = Event()


def image(size: int) -> str:
    """Return the data URL of an image of noise."""
    file = BytesIO()
    Image.effect_noise((size, size), 90).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def sign_up(service: Service, email: str) -> Any:
    """Create an account; return the response."""
    body = {"name": "Ann", "email": email, "password": PASSWORD}
    return service.request("POST", "/auth/signup", body)


def write(service: Service, journal: Journal, writer: int) -> None:
    """Sign up, add movies with and without images, and delete every third account."""
    number = 0
    while not journal.is_done.is_set():
        number += 1
        response = sign_up(service, f"user{writer}-{number}@example.com")
        if response.status != 201:
            journal.errors.append(f"signup: {response.status}")
            continue
        user, token, added = response.json["user"]["id"], response.json["accessToken"], []
        for each in range(4):
            body = {"title": f"Movie {each}", "imageUrl": image(24) if each % 2 else None}
            movie = service.request("POST", "/movies", body, token)
            if movie.status == 201:
                added.append((movie.json["id"], time.time()))
            else:
                journal.errors.append(f"movie: {movie.status}")
        with journal.lock:
            if number % 3 == 0:
                journal.deleted[user.replace("-", "")] = time.time()
                service.request("DELETE", "/me", {"password": PASSWORD}, token)
            else:
                journal.movies.update(added)


class Run(NamedTuple):
    """Seconds and peak memory of a command."""

    seconds: float
    mb: float


def flask(environment: dict[str, str], *words: str) -> Run:
    """Run a command of flask; exit if it fails."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            sys.exit(output.read().decode())
    return Run(time.monotonic() - start, usage.ru_maxrss / 1024)


def rows_of(url: str) -> Rows:
    """Return the rows of each table, without the columns that change."""
    found = {}
    engine = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            columns = [each for each in table.c if each.name not in CHANGING]
            found[table.name] = {tuple(row) for row in connection.execute(sa.select(*columns))}
        statement = sa.text(
            "SELECT count(*) FROM users WHERE movie_count <> "
            "(SELECT count(*) FROM movies WHERE owner_id = users.id)"
        )
        assert connection.scalar(statement) == 0, "movie_count is wrong"
    return found


def owner_of(table: str, row: tuple[Any, ...]) -> Any:
    """Return the ID of the user that a row belongs to, or None for images."""
    columns = [each.name for each in db.metadata.tables[table].c if each.name not in CHANGING]
    name = {"users": "id", "movies": "owner_id", "uploads": "owner_id", "images": ""}
    owner = name.get(table, "user_id")
    return row[columns.index(owner)].hex if owner else None


def compare(restored: Rows, final: Rows, journal: Journal, began: float, files: set[str]) -> int:
    """Return the number of differences from what a moment after `began` allows."""
    ids = {row[0] for row in restored["movies"]}
    lost = [each for each, at in journal.movies.items() if at < began and each not in ids]
    gone = {user for user, at in journal.deleted.items() if at >= began}
    altered = [
        (table, row)
        for table, rows in restored.items()
        for row in rows - final[table]
        if (owner := owner_of(table, row)) not in gone and owner is not None
    ]
    keys = {row[0] for row in restored["images"]}
    shown = {row[5].removeprefix("/images/") for row in restored["movies"] if row[5]}
    assert all(len(key) == 64 for key in shown)
    for each in [*lost, *altered, *(keys ^ files), *(shown - files)][:5]:
        print("difference:", each)
    return len(lost) + len(altered) + len(keys ^ files) + len(shown - files)


def load_and_back_up(
    service: Service, token: str, options: argparse.Namespace, back_up: Callable[[], Run]
) -> tuple[Journal, float, Run]:
    """Fill the service, and back it up under load; return also the time when that began."""
    journal = Journal()
    if options.movies:
        file = movies_file(options.movies)
        service.request("POST", "/movies/import", file, token, timeout=300)

    def add_image(number: int) -> None:
        body = {"title": f"Image {number}", "imageUrl": image(200)}
        assert service.request("POST", "/movies", body, token, timeout=300).status == 201

    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(add_image, range(options.images)))
        count = 0 if options.movies else WRITERS
        writers = [threads.submit(write, service, journal, each) for each in range(count)]
        try:
            time.sleep(options.seconds)
            began = time.time()
            backup = back_up()
            time.sleep(options.seconds / 2)
        finally:
            journal.is_done.set()
        for writer in writers:
            writer.result()
    return journal, began, backup


def read_bucket(url: str) -> Iterator[bytes]:
    """Yield the content of all objects."""
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="movies"):
        for each in page.get("Contents", ()):
            yield client.get_object(Bucket="movies", Key=each["Key"])["Body"].read()


def drill(source: str, target: str, options: argparse.Namespace, stack: ExitStack) -> int:
    """Run one drill and print its figures; return the number of differences."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
    server = stack.enter_context(own_postgres()) if "postgresql" in source + target else None
    old, new = (
        server.create_database(name)
        if server and kind == "postgresql"
        else f"sqlite:///{folder / name}.db"
        for kind, name in ((source, "old"), (target, "new"))
    )
    common = {"SECRET_KEY": SECRET_KEY, "PATH": os.environ["PATH"], "LOG_LEVEL": "WARNING"}
    common |= {"IMAGE_DIR": str(folder / "images"), "INSTANCE_DIR": str(folder)}
    path, database = str(folder / "a.zip"), {"DATABASE_URL": old}
    flask(common | database, "db", "upgrade")
    with gunicorn(old, IMAGE_DIR=common["IMAGE_DIR"]) as service:
        first = sign_up(service, "first@example.com")
        token, cookie = first.json["accessToken"], cookie_of(first)
        journal, began, backup = load_and_back_up(
            service, token, options, lambda: flask(common | database, "backup", path)
        )
    final, size = rows_of(old), Path(path).stat().st_size / 1e6
    shutil.rmtree(folder / "images")
    for each in folder.glob("old.db*"):
        each.unlink()
    if server and source == "postgresql":
        server.drop_database("old")
    storage: dict[str, Any] = {}
    if target == "bucket":
        os.environ.update({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
        url = stack.enter_context(s3())
        storage = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
        storage |= {"S3_BUCKET": "movies", "S3_ENDPOINT_URL": url, "S3_REGION": "us-east-1"}
        boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket="movies")
    restore = flask(common | storage | {"DATABASE_URL": new}, "restore", path)
    restored = rows_of(new)
    bodies = (
        read_bucket(url)
        if storage
        else (each.read_bytes() for each in (folder / "images").iterdir())
    )
    files = {hashlib.sha256(body).hexdigest() for body in bodies}
    differences = compare(restored, final, journal, began, files)
    with gunicorn(new, IMAGE_DIR=common["IMAGE_DIR"], **storage) as service:
        status = service.request("GET", "/movies", token=token).status
        assert status == 200, "the access token has ended"
        status = service.request("POST", "/auth/refresh", headers={"Cookie": cookie}).status
        assert status == 200, "the refresh cookie has ended"
    counts = sum(map(len, restored.values())), len(files), len(journal.movies), len(journal.errors)
    figures = size, backup.seconds, backup.mb, restore.seconds, restore.mb
    cells = [*map(str, counts), str(differences), *(f"{each:.1f}" for each in figures)]
    print(f"| {source} -> {target} | {' | '.join(cells)} |", flush=True)
    return differences


def main() -> int:
    """Run the drills; return 1 if any row or image differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.restore", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of load before the backup")
    parser.add_argument("--movies", type=int, default=0, help="of one user, without load")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--drill", type=int, action="append", help="only this one, 0 to 3")
    options = parser.parse_args()
    drills = [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "postgresql")]
    drills.append(("sqlite", "bucket"))
    heads = "rows, images, acknowledged, errors, differences, MB, backup s, MB, restore s, MB"
    print(f"| | {heads.replace(', ', ' | ')} |\n{'|---' * 11}|")
    differences = 0
    for number, each in enumerate(drills):
        if number in (options.drill or range(4)):
            with ExitStack() as stack:
                differences += drill(*each, options, stack)
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
