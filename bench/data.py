"""The data: people with movies, written in bulk; sessions made by the service's own functions."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from flask import Flask
from psycopg2.extras import execute_values

from movies_api.auth.passwords import hash_password
from movies_api.auth.sessions import add_session
from movies_api.auth.tokens import access_token, refresh_token
from movies_api.db import db
from movies_api.movies.titles import fold, order_key

from .scenarios import COMMON, PASSWORD, RARE, Person

TITLES = 20_000
FIRST = "Silent Broken Golden Última Wild Lost Élan Crimson Hidden Secret Last Lonely"
THINGS = (
    "River Garden Detective Mirror Señorita Station Orchard Machine Island Daughter Winter Letter "
    "Soldier Pianist Door Harbour Façade Mountain Horse Sea Stranger Kingdom Promise Shadow"
)
PLACES = "Paris Brooklyn Málaga Kyoto the_North Tomorrow the_Sea Berlin Nowhere Åland Oz"

ADD_VOCABULARY = """
CREATE TABLE bench_titles
(n int PRIMARY KEY, title text, year text, search_key text, title_key text)
"""
ADD_PEOPLE = """
INSERT INTO users (id, name, email, password_hash, created_at)
SELECT gen_random_uuid(), 'Person ' || n, %(prefix)s || n || '@example.com', %(hash)s, now()
FROM generate_series(%(first)s, %(last)s) n
"""
# In order of time, so that one person's movies lie scattered, as they do when people add them
ADD_MOVIES = """
INSERT INTO movies
(owner_id, title, year, image_url, search_key, title_key, created_at, updated_at)
SELECT u.id, t.title, t.year, 'https://images.example.com/' || t.n || '.jpg',
       t.search_key, t.title_key, at, at
FROM (SELECT id, substring(email FROM '([0-9]+)@')::int AS n FROM users
      WHERE email LIKE %(prefix)s || '%%' AND movie_count = 0) u
CROSS JOIN generate_series(1, %(each)s) m
CROSS JOIN LATERAL (SELECT timestamptz '2020-01-01 00:00Z'
                           + m * interval '20 minutes' + u.n * interval '1 second') x(at)
JOIN bench_titles t ON t.n = (u.n::bigint * 7919 + m::bigint * 104729) %% %(titles)s
ORDER BY m, u.n
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'movies' AND indexname NOT LIKE 'pk%'
"""
SAMPLE = """
SELECT u.id, u.email, array_agg(m.id)
FROM (SELECT id, email FROM users WHERE email LIKE %(prefix)s || '%%'
      ORDER BY md5(email) LIMIT %(people)s) u
CROSS JOIN LATERAL (SELECT id FROM movies WHERE owner_id = u.id LIMIT 20) m
GROUP BY 1, 2 ORDER BY 2
"""


def titles() -> Iterator[tuple[int, str, str, str, str]]:
    """Yield number, title, year and keys; a fifth hold the common word, very few a rare one."""
    dice = random.Random(1)
    words = [text.split() for text in (FIRST, THINGS, PLACES)]
    for number in range(TITLES):
        first, thing, place = (dice.choice(choices).replace("_", " ") for choices in words)
        title = f"The {first} {thing} of {place}"
        if number % 5 == 0:
            title = f"{first} {COMMON.title()} in {place}"
        elif number % 4000 == 1:
            title = f"{thing} of {RARE[number // 4000].title()}"
        title = f"{title} {dice.choice(('', 'II', 'III'))}".strip()
        yield number, title, str(dice.randint(1930, 2026)), fold(title), order_key(title)


@contextmanager
def connected(url: str) -> Iterator["psycopg2.extensions.cursor"]:
    """Give a cursor, each statement its own transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection.cursor()
    finally:
        connection.close()


def add_vocabulary(url: str) -> None:
    """Write the titles that movies are made of."""
    with connected(url) as cursor:
        cursor.execute(ADD_VOCABULARY)
        execute_values(cursor, "INSERT INTO bench_titles VALUES %s", titles(), page_size=5000)


def add_people(app: Flask, url: str, prefix: str, numbers: range, each: int) -> None:
    """Add people <prefix><number>@example.com with so many movies each."""
    values: dict[str, Any] = {"prefix": prefix, "each": each, "titles": TITLES}
    values |= {"first": numbers.start, "last": numbers.stop - 1}
    with app.app_context():
        values["hash"] = hash_password(PASSWORD)
    with connected(url) as cursor:
        cursor.execute(INDEXES)
        # Many rows at once: indexes are faster built anew
        indexes = cursor.fetchall() if len(numbers) * each > 50_000 else []
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(ADD_PEOPLE, values)
        cursor.execute(ADD_MOVIES, values)
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")


def log_in(app: Flask, url: str, prefix: str, people: int) -> list[Person]:
    """Give people a new session each, without the password hashing that a login costs."""
    with connected(url) as cursor:
        cursor.execute(SAMPLE, {"prefix": prefix, "people": people})
        found = cursor.fetchall()
    with app.app_context():
        sessions = [add_session(user, "bench", remember=False) for user, _, _ in found]
        db.session.commit()
        return [
            Person(email, access_token(session), refresh_token(session, secret), tuple(movies))
            for (_, email, movies), (session, secret, _) in zip(found, sessions, strict=True)
        ]
