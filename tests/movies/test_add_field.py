"""The recipe "How to add a field to movies" of docs/architecture.md, followed in a copy."""

import json
import os
import re
import subprocess
import sys
from shutil import copytree

import pytest

from ..servers import CHECKOUT

RECIPE = (CHECKOUT / "docs/architecture.md").read_text().partition("## How to add a field")[2]
# Each block of the recipe goes below this line of the file
PLACES = {
    "models.py": '    """A movie; an unknown year is \'\' so that one index orders all rows."""\n',
    "movies/fields.py": '    """The fields of a new movie."""\n',
}
STEPS = """
import json, sys
from pathlib import Path

import flask_migrate
from movies_api.api.blueprint import openapi_spec
from tests.conftest import app_for, config_for

url, folder, fields = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
app = app_for(config_for(url, folder))
with app.app_context():
    flask_migrate.upgrade(directory="migrations")
    flask_migrate.migrate(directory="migrations", message="Add director")
    flask_migrate.upgrade(directory="migrations")
    flask_migrate.check(directory="migrations")
    schemas = openapi_spec(app)["components"]["schemas"]
alice = app.test_client().sign_up("Alice")  # it checks each response against the document
made = alice.post("/movies", json=fields).json
path = f"/movies/{made['id']}"
found = {
    "documented": [name for name in schemas if "director" in schemas[name].get("properties", {})],
    "created": made,
    "read": alice.get(path).json,
    "updated": alice.patch(path, json={"director": "James Cameron"}).json,
    "listed": alice.put(path, json=fields) and alice.get("/movies").json["items"][0],
}
for name in ("json", "csv", "ndjson"):
    file = alice.get(f"/movies/export?format={name}").data
    reader = app.test_client().sign_up(name)
    assert reader.post("/movies/import", data=file).json["counts"]["added"] == 1
    found[f"imported from {name}"] = reader.get("/movies").json["items"][0]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_new_field_needs_only_a_column_and_a_schema_field(empty_database, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", RECIPE.partition("\n## ")[0], re.DOTALL)
    for name in ("movies_api", "migrations"):
        copytree(CHECKOUT / name, tmp_path / name)
    for block, (name, place) in zip(blocks, PLACES.items(), strict=True):
        file = tmp_path / "movies_api" / name
        text = file.read_text()
        assert text.count(place) == 1
        file.write_text(text.replace(place, place + re.sub(r"^ *", "    ", block)))
    body = {"title": "Alien", "director": "Ridley Scott"}

    run = subprocess.run(
        [sys.executable, "-c", STEPS, empty_database.url, str(tmp_path), json.dumps(body)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{CHECKOUT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert set(found.pop("documented")) >= {"Movie", "MovieCreate", "MovieUpdate"}
    directors = {name: movie["director"] for name, movie in found.items()}
    assert directors.pop("updated") == "James Cameron"
    assert set(directors.values()) == {"Ridley Scott"}
