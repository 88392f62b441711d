"""`python -m bench.sqlite`: whether the size of a collection shows on SQLite."""

import os
import tempfile
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import insert

from movies_api import create_app
from movies_api.auth.models import add_user
from movies_api.auth.sessions import add_session
from movies_api.auth.tokens import access_token, refresh_token
from movies_api.config import Config
from movies_api.db import db
from movies_api.movies.models import movies

from .data import titles
from .profile import answer_of
from .scenarios import BY_NAME, Person, Scenario, World

SMALL, HEAVY = 200, 100_000
PLAYED = ("list", "heavy-list", "heavy-page", "heavy-cursor", "heavy-search-rare", "get", "create")
ROUNDS, SECONDS = 3, 3.0


def add_person(email: str, count: int) -> Person:
    """Add somebody with so many movies and a session."""
    user = add_user("Person", email, "no hash fits")
    started = datetime(2020, 1, 1, tzinfo=UTC)
    rows = []
    for number, (_, title, year, search_key, title_key) in enumerate(
        islice(cycle(list(titles())), count)
    ):
        at = started + timedelta(minutes=20 * number)
        row = {"title": title, "year": year, "search_key": search_key, "title_key": title_key}
        rows.append({**row, "owner_id": user.id, "created_at": at, "updated_at": at})
    found = db.session.execute(insert(movies).returning(movies.c.id), rows).scalars().all()
    session, secret, _ = add_session(user.id, "bench", remember=False)
    db.session.commit()
    return Person(email, access_token(session), refresh_token(session, secret), tuple(found[:20]))


def micro(app: Flask, world: World, scenario: Scenario) -> float:
    """Return the CPU of one request in the app, in µs: the least of the rounds."""
    found = []
    for _ in range(ROUNDS):
        script = scenario.script(world, 0)
        answer, count = answer_of(app, next(script)), 0
        started = time.process_time()
        while time.process_time() - started < SECONDS / ROUNDS:
            answer = answer_of(app, script.send(answer))
            count += 1
        if int(answer[9:12]) != scenario.status:
            raise SystemExit(f"{scenario.name} answers {answer.decode(errors='replace')}")
        found.append((time.process_time() - started) / count * 1e6)
    return min(found)


def measure(folder: str) -> dict[str, float]:
    """Fill a file, and return the figure of each scenario."""
    own = {"INSTANCE_DIR": folder, "RATELIMIT_ENABLED": "false", "LOG_FORMAT": "json"}
    app = create_app(Config.from_environ(own))
    with app.app_context():
        upgrade()
        small, heavy = add_person("a@example.com", SMALL), add_person("b@example.com", HEAVY)
    world = World([small], heavy, HEAVY)
    path, head = f"/movies?page={world.deep_page}", f"Bearer {heavy.token}"
    page = app.test_client().get(path, headers={"Authorization": head}).get_json()
    world = World([small], heavy, HEAVY, page["meta"]["nextCursor"])
    return {name: micro(app, world, BY_NAME[name]) for name in PLAYED}


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory(prefix="movies-api-bench-") as folder,
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
    ):
        found = measure(folder)
    for name, each in found.items():
        print(f"{name:22}{each:8.0f} µs  x{each / found['list']:.2f} of list")


if __name__ == "__main__":
    main()
