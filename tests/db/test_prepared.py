"""Prepared statements: the limit per connection, and unknown values."""

from itertools import permutations

import pytest
from sqlalchemy import bindparam, select

from movies_api.db import autocommit_all, autocommit_one, db
from movies_api.db.prepared import MAX_PREPARED, Prepared
from movies_api.models import movies

from ..conftest import app_for, config_for

NAMES = ("title", "year", "createdAt", "updatedAt")
SORTS = [",".join(sort) for length in (1, 2, 3, 4) for sort in permutations(NAMES, length)]


@pytest.mark.only_on("postgresql")
def test_prepared_statements_per_connection_are_limited(alice, database, tmp_path):
    client = app_for(config_for(database.url, tmp_path, DB_POOL_SIZE="1")).test_client()
    client.token = alice.token
    titles = [client.post("/movies", json={"title": title}).json for title in ("Alien", "Brazil")]
    assert len(SORTS) > MAX_PREPARED + 3

    for _ in range(2):
        for sort in SORTS:
            response = client.get(f"/movies?sort={sort}")
            assert response.status_code == 200
            assert response.json["items"] == titles

    with client.application.app_context():
        with db.engine.connect() as connection:
            kept = connection.exec_driver_sql("SELECT name, statement FROM pg_prepared_statements")
            statements = dict(tuple(row) for row in kept)
        db.engine.dispose()
    assert len(statements) == MAX_PREPARED
    # the statement of the guard, which every request uses, stays
    assert any("FROM sessions JOIN users" in statement for statement in statements.values())


def test_value_without_parameter_raises_type_error(app):
    statement = Prepared(select(movies.c.id).where(movies.c.id == bindparam("movie")))
    with app.app_context():
        assert autocommit_all(statement, {"movie": 1}) == []
        for fetch in (autocommit_all, autocommit_one):
            with pytest.raises(TypeError, match="has no parameter rating"):
                fetch(statement, {"movie": 1, "rating": 7})
