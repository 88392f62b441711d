"""Query plans on PostgreSQL with 200,000 movies: indexes are used and few rows are read."""

import json
from urllib.parse import quote

import psycopg2
import pytest

from movies_api.db import db

from ..client import recorded
from ..conftest import Database, app_for, config_for, migrate

LIMIT = 20
MOVIES, OF_ALICE, USERS = 200_000, 20_000, 5_000

pytestmark = pytest.mark.only_on("postgresql")

FILL = """
INSERT INTO users (id, name, email, password_hash, movie_count, created_at)
SELECT gen_random_uuid(), 'Extra ' || n, 'extra' || n || '@example.com', 'x', 0, now()
FROM generate_series(1, %(users)s) n;

INSERT INTO sessions (id, user_id, refresh_hash, superseded, remember, created_at, last_used_at, expires_at)
SELECT gen_random_uuid(), id, md5(email), '{}', false, now(), now(), now() + interval '7 days'
FROM users, generate_series(1, 4);

INSERT INTO movies (owner_id, title, year, rating, watched_on, search_key, title_key, created_at, updated_at)
SELECT CASE WHEN n <= %(of_alice)s THEN %(alice)s::uuid ELSE o.ids[1 + n %% %(users)s] END,
       t, y, nullif(n %% 11, 0), CASE WHEN n %% 3 = 0 THEN at::date END, lower(t) || E'\n' || replace(lower(t), ' ', ''), lower(t), at, at
FROM (SELECT array_agg(id) ids FROM users WHERE name LIKE 'Extra %%') o,
     generate_series(1, %(movies)s) n,
     LATERAL (SELECT initcap(translate(substr(md5(n::text), 1, 24), '0123456789', 'ghij klmno')) AS t,
                     (1950 + n %% 75)::text AS y,
                     now() - n * interval '1 minute' AS at) AS made;

UPDATE users SET movie_count = %(of_alice)s WHERE id = %(alice)s::uuid;
"""


@pytest.fixture(scope="module")
def large(server, tmp_path_factory):
    """A database with 200,000 movies, a tenth of them Alice's, her client, and a connection."""
    url = server.create_database("movies_api_large")
    app = app_for(config_for(url, tmp_path_factory.mktemp("large")))
    migrate(app)
    alice = app.test_client().sign_up("Alice")
    values = {"users": USERS, "movies": MOVIES, "of_alice": OF_ALICE, "alice": alice.user["id"]}
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
        cursor.execute("VACUUM ANALYZE")
    yield Database("postgresql", url), alice, connection
    connection.close()
    with app.app_context():
        db.engine.dispose()
    server.drop_database("movies_api_large")


@pytest.fixture
def plans(large, database):
    """A function that sends a request as Alice and returns the executed plans of its SELECTs."""
    _, alice, connection = large

    def plans(path, **headers):
        response = alice.get(path, headers=headers)
        assert response.status_code == 200, response.text
        found = []
        for statement in list(recorded):
            if statement.startswith("SELECT"):
                with connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
                    found.append(cursor.fetchone()[0][0]["Plan"])
        assert found
        return found

    return plans


def nodes(plan):
    """Yield a plan node and its descendants."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def kinds(plans):
    """Return the node types of the plans."""
    return {node["Node Type"] for plan in plans for node in nodes(plan)}


def most_rows(plans):
    """Return the largest number of rows that any node read from a table or an index."""
    return max(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for plan in plans
        for node in nodes(plan)
        if "Scan" in node["Node Type"]
    )


def describe(plans):
    """Format the plans for an assertion message."""
    return json.dumps(plans, indent=1)[:6000]


@pytest.mark.parametrize(
    "sort",
    [
        "createdAt",
        "-createdAt",
        "updatedAt",
        "-updatedAt",
        "title",
        "-title",
        "year",
        "-year",
        "rating",
        "-rating",
        "watchedOn",
        "-watchedOn",
    ],
)
def test_page_in_any_order_reads_only_its_rows(plans, sort):
    found = plans(f"/movies?limit={LIMIT}&sort={sort}")

    assert not {
        kind for kind in kinds(found) if kind in ("Seq Scan", "Sort", "Incremental Sort")
    }, describe(found)
    assert most_rows(found) <= LIMIT + 1, describe(found)


@pytest.mark.parametrize(
    "sort", ["", "updatedAt", "title", "-title", "year", "-year", "rating", "-watchedOn"]
)
def test_cursor_cost_does_not_depend_on_depth(plans, large, sort):
    query = f"limit={LIMIT}" + (f"&sort={sort}" if sort else "")
    _, alice, _ = large
    cursor = alice.get(f"/movies?page={OF_ALICE // LIMIT // 2}&{query}").json["meta"]["nextCursor"]

    found = plans(f"/movies?{query}&cursor={quote(cursor)}")

    assert not {kind for kind in kinds(found) if kind in ("Seq Scan", "Sort")}, describe(found)
    assert most_rows(found) <= LIMIT + 1, describe(found)


def test_several_sort_keys_sort_only_equal_rows(plans):
    found = plans(f"/movies?limit={LIMIT}&sort=year,title")

    assert "Seq Scan" not in kinds(found), describe(found)
    assert most_rows(found) < OF_ALICE / 10, describe(found)


@pytest.mark.parametrize(
    "query",
    ["year=1979", "yearFrom=1979&yearTo=1980", "year=1979&sort=title", "yearFrom=2024&sort=-year"],
)
def test_year_filter_uses_an_index(plans, query):
    found = plans(f"/movies?{query}")

    assert "Seq Scan" not in kinds(found), describe(found)


def test_search_uses_the_search_index(plans, large):
    database, alice, _ = large
    [(title,)] = database.execute(
        "SELECT search_key FROM movies WHERE owner_id = :me LIMIT 1", {"me": alice.user["id"]}
    )
    word = max(title.partition("\n")[0].split(), key=len)

    found = plans(f"/movies?search={word}")

    assert "ix_movies_search" in {node.get("Index Name") for plan in found for node in nodes(plan)}
    assert "Seq Scan" not in kinds(found), describe(found)
    assert most_rows(found) < 1000, describe(found)


def test_search_never_reads_movies_of_other_users(plans):
    for search in ("a", "zz", "abc", "a b c", "%25"):
        found = plans(f"/movies?search={search}")
        assert "Seq Scan" not in kinds(found), describe(found)
        assert most_rows(found) <= OF_ALICE, describe(found)


def test_stats_read_only_the_movies_of_the_user(plans):
    found = plans("/movies/stats")

    assert "Seq Scan" not in kinds(found), describe(found)
    assert most_rows(found) <= OF_ALICE, describe(found)


def test_get_movie_reads_one_row_by_index(plans, large):
    _, alice, _ = large
    movie = alice.get("/movies?limit=1").json["items"][0]["id"]

    found = plans(f"/movies/{movie}")

    assert most_rows(found) == 1, describe(found)
    assert "Seq Scan" not in kinds(found), describe(found)


def test_authentication_reads_one_row_by_index(plans):
    found = plans("/me")[:2]  # the third reads a table that is empty here

    assert most_rows(found) == 1, describe(found)
    assert "Seq Scan" not in kinds(found), describe(found)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM users WHERE email = 'extra77@example.com'",
        "DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = 'extra77@example.com')",
        "DELETE FROM sessions WHERE expires_at <= now() - interval '1 day'",
    ],
)
def test_user_and_session_statements_use_indexes(large, database, statement):
    _, _, connection = large
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        plan = cursor.fetchone()[0][0]["Plan"]

    assert "Seq Scan" not in kinds([plan]), describe([plan])


def test_first_page_of_20000_movies_is_fast(plans):
    """Measured by the database, with a margin for a busy machine."""
    for query in ("", "?sort=title", "?page=500", "?year=1979"):
        found = plans(f"/movies{query}")
        assert sum(plan["Actual Total Time"] for plan in found) < 50, describe(found)
