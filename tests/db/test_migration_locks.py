"""Migrations do not block requests for long on tables with many rows."""

import re
from shutil import copytree
from textwrap import dedent

import flask_migrate
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect

from ..conftest import app_for, config_for
from ..servers import CHECKOUT

# On a table with rows, each blocks writers or all requests until every row is read or written
SLOW = {
    "index without CONCURRENTLY": r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)",
    "new type": r"ALTER TABLE .* TYPE ",
    # After ADD CONSTRAINT ... CHECK ... NOT VALID and VALIDATE CONSTRAINT it would not scan
    "SET NOT NULL": r"ALTER TABLE .* SET NOT NULL",
    "constraint without NOT VALID": r"ALTER TABLE .* ADD (CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)"
    r"(?!.*(NOT VALID|USING INDEX))",
    # A constant default is stored once; a function or a generated column rewrites the table
    "computed column": r"ALTER TABLE .* ADD COLUMN .*(GENERATED|SERIAL|DEFAULT \S*\()",
    "all rows in one statement": r"(UPDATE|DELETE)(?!.*\bid (=|IN|BETWEEN) )",
}
# Part of the first release: no database with rows has to run them
KNOWN = {
    "0002": {"all rows in one statement"},
    "0004": {"index without CONCURRENTLY"},
}


def find_slow(statements):
    """Return what is slow in statements of a migration, except on tables that it creates."""
    text = [" ".join(each.split()) for each in statements]
    new = {name for each in text for name in re.findall(r"CREATE TABLE (\w+)", each)}
    of_new = re.compile(
        rf".*\b(ON|TABLE|FROM|INTO|UPDATE) ({'|'.join(new | {'alembic_version'})})\b"
    )
    return {
        name
        for name, pattern in SLOW.items()
        if any(re.match(pattern, each) and not of_new.match(each) for each in text)
    }


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("CREATE INDEX ix ON movies (year)", {"index without CONCURRENTLY"}),
        ("CREATE UNIQUE INDEX ix ON movies (year)", {"index without CONCURRENTLY"}),
        ("CREATE INDEX CONCURRENTLY ix ON movies (year)", set()),
        ("ALTER TABLE movies ALTER COLUMN year TYPE INTEGER", {"new type"}),
        ("ALTER TABLE movies ALTER COLUMN rating SET NOT NULL", {"SET NOT NULL"}),
        ("ALTER TABLE movies ADD CONSTRAINT ck CHECK (id > 0)", {"constraint without NOT VALID"}),
        ("ALTER TABLE movies ADD CONSTRAINT ck CHECK (id > 0) NOT VALID", set()),
        ("ALTER TABLE movies VALIDATE CONSTRAINT ck", set()),
        (
            "ALTER TABLE movies ADD COLUMN at TIMESTAMP DEFAULT clock_timestamp()",
            {"computed column"},
        ),
        ("ALTER TABLE movies ADD COLUMN n INTEGER DEFAULT '0' NOT NULL", set()),
        ("UPDATE movies SET year = '' WHERE year IS NULL", {"all rows in one statement"}),
        ("UPDATE movies SET year = '' WHERE id BETWEEN 1 AND 1000", set()),
    ],
)
def test_slow_statements_are_found(statement, found):
    assert find_slow([statement]) == found
    assert find_slow(["CREATE TABLE movies ()", statement]) == set()


@pytest.mark.only_on("postgresql")
def test_migrations_do_not_lock_for_long(empty_database, tmp_path):
    app, statements = app_for(config_for(empty_database.url, tmp_path)), {}
    folder = str(CHECKOUT / "migrations")
    revisions = [each.revision for each in ScriptDirectory(folder).walk_revisions()][::-1]

    def record(_connection, _cursor, statement, *_):
        statements[revision].append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        with app.app_context():
            for revision in revisions:
                statements[revision] = []
                flask_migrate.upgrade(directory=folder, revision=revision)
    finally:
        event.remove(Engine, "before_cursor_execute", record)

    assert {
        each: found for each in revisions[1:] if (found := find_slow(statements[each]))
    } == KNOWN
    for revision in revisions[1:]:
        kinds = [re.sub(r"\s+", " ", each) for each in statements[revision]]
        first = next(n for n, each in enumerate(kinds) if re.match("ALTER|CREATE|UPDATE", each))
        assert "SET LOCAL lock_timeout = 200" in "".join(kinds[:first])


def test_index_can_be_created_outside_the_transaction(empty_database, tmp_path):
    """The recipe of docs/architecture.md, for a column that exists."""
    text = (CHECKOUT / "docs/architecture.md").read_text()
    [recipe] = re.findall(r"^( +def upgrade.*?)^ +```", text, re.DOTALL | re.MULTILINE)
    folder = copytree(CHECKOUT / "migrations", tmp_path / "migrations")
    head = ScriptDirectory(str(folder)).get_current_head()
    code = f"from alembic import op\nrevision, down_revision = 'later', '{head}'\n{dedent(recipe)}"
    (folder / "versions" / "later.py").write_text(code.replace('"director"', '"image_url"'))

    with app_for(config_for(empty_database.url, tmp_path)).app_context():
        flask_migrate.upgrade(directory=str(folder))

    names = {index["name"] for index in inspect(empty_database.engine).get_indexes("movies")}
    assert "ix_movies_director" in names
    assert empty_database.execute("SELECT version_num FROM alembic_version") == [("later",)]
