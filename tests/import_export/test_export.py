"""GET /movies/export."""

from __future__ import annotations

import csv
import http.client
import json
import socket
from contextlib import closing
from importlib import import_module
from io import StringIO
from urllib.parse import urlsplit

import pytest

from ..concurrency import wait_for
from ..helpers import ANN, FORMATS
from ..image_helpers import data_url, make_image
from ..import_helpers import NASTY, fill
from ..servers import gunicorn

HEADER = "id,title,year,imageUrl,rating,watchedOn,notes,createdAt,updatedAt"


@pytest.fixture
def collection(alice):
    """Movies of Alice's as GET /movies lists them."""
    for title in ("Alien", "=1+1", "Amélie"):
        alice.post("/movies", json={"title": title, "year": "1979"})
    alice.post("/movies", json={"title": "Brazil", "imageUrl": data_url(make_image())})
    return alice.get("/movies").json["items"]


def rows_of(response):
    """Read an export of any format; times and ids of CSV are text."""
    kind = response.headers["Content-Type"]
    if kind == "application/json":
        return response.json
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in response.text.splitlines()]
    return list(csv.DictReader(StringIO(response.text, newline="")))


@pytest.mark.parametrize("query", ["", "?format=json"])
def test_is_an_array_of_movies_as_the_list_has_them(alice, collection, query):
    response = alice.get(f"/movies/export{query}")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Disposition"] == 'attachment; filename="movies.json"'
    assert response.json == collection


def test_is_a_movie_in_each_line(alice, collection):
    response = alice.get("/movies/export?format=ndjson")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="movies.ndjson"'
    assert rows_of(response) == collection
    assert response.data.endswith(b"}\n")


def test_is_a_table_with_the_names_of_the_wire(alice, collection):
    response = alice.get("/movies/export?format=csv")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="movies.csv"'
    assert response.text.split("\r\n")[0] == HEADER
    assert response.text.endswith("\r\n")
    assert rows_of(response) == [
        {
            "id": str(movie["id"]),
            "title": movie["title"].replace("=", "'="),
            "year": movie["year"] or "",
            "imageUrl": movie["imageUrl"] or "",
            **dict.fromkeys(("rating", "watchedOn", "notes"), ""),
            "createdAt": movie["createdAt"],
            "updatedAt": movie["updatedAt"],
        }
        for movie in collection
    ]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("json", "[]\n"),
        ("ndjson", ""),
        ("csv", f"{HEADER}\r\n"),
    ],
)
def test_of_nothing_is_a_file_too(alice, query, text):
    response = alice.get(f"/movies/export?format={query}")

    assert response.status_code == 200
    assert response.text == text


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_holds_each_movie_once_newest_first(alice, database, file_format, count):
    fill(database, alice.user["id"], count)

    response = alice.get(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    titles = [row["title"] for row in rows_of(response)]
    assert titles == [f"Movie {number}" for number in range(count, 0, -1)]


def test_no_cell_begins_like_a_formula(alice):
    for title in NASTY:
        assert alice.post("/movies", json={"title": title}).status_code == 201

    response = alice.get("/movies/export?format=csv")

    cells = [row["title"] for row in rows_of(response)][::-1]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r"] == []
    changed = {title: cell for title, cell in zip(NASTY, cells, strict=True) if title != cell}
    assert changed == {
        "=1+1": "'=1+1",
        "'=1+1": "''=1+1",
        "''=1+1": "'''=1+1",
        "+1": "'+1",
        "-273": "'-273",
        "@home": "'@home",
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_holds_nothing_of_anybody_else(alice, bob, collection, file_format):
    response = bob.get(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    assert rows_of(response) == []


def test_shows_images_where_they_are(alice, collection, make_app):
    elsewhere = make_app(IMAGE_BASE_URL="https://cdn.example.com").test_client()
    elsewhere.token = alice.token

    shown = elsewhere.get("/movies/export").json

    assert shown == elsewhere.get("/movies").json["items"]
    assert shown[0]["imageUrl"].startswith("https://cdn.example.com/images/")


@pytest.mark.parametrize("file_format", FORMATS)
def test_answers_head_as_get_without_a_body(alice, collection, file_format):
    full = alice.get(f"/movies/export?format={file_format}")

    response = alice.head(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    assert response.data == b""
    for name in ("ETag", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert response.headers[name] == full.headers[name]


@pytest.mark.parametrize("file_format", FORMATS)
def test_need_not_be_sent_again_until_something_changes(alice, collection, file_format):
    url = f"/movies/export?format={file_format}"
    one, other = (f"/movies/{movie['id']}" for movie in collection[:2])
    for change in (
        lambda: alice.patch(one, json={"title": "Aliens"}),
        lambda: alice.post("/movies", json={"title": "Alien"}),
        lambda: alice.delete(one),
        lambda: alice.patch(other, json={"year": "1999"}),
    ):
        known = {"If-None-Match": alice.get(url).headers["ETag"]}
        assert alice.get(url, headers=known).status_code == 304

        assert change().status_code < 300

        assert alice.get(url, headers=known).status_code == 200


def test_an_export_of_one_kind_says_nothing_of_another(alice, collection):
    tags = {alice.get(f"/movies/export?format={each}").headers["ETag"] for each in FORMATS}

    assert len(tags) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=xml", "format"),
        ("format=JSON", "format"),
        ("format=csv&format=json", "format"),
        ("page=1", "page"),
        ("Format=csv", "Format"),
    ],
)
def test_names_the_parameter_that_is_wrong(alice, query, field):
    response = alice.get(f"/movies/export?{query}")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]


def test_asks_for_a_token(client):
    assert client.get("/movies/export").json["error"]["code"] == "MISSING_TOKEN"


def test_is_open_to_scripts(alice, make_client, collection):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert script.get("/movies/export").json == collection


def test_takes_only_get(alice):
    response = alice.post("/movies/export", json={})

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_costs_a_statement_for_each_thousand(alice, database):
    fill(database, alice.user["id"], 2500)

    assert alice.get("/movies/export").status_code == 200

    assert len(alice.statements) == 5  # who calls, the ETag, and three batches
    assert not [text for text in alice.statements if not text.startswith("SELECT")]


def test_a_database_that_is_away_has_its_usual_answer(alice, monkeypatch):
    exporting = import_module("movies_api.import_export.export")
    away = import_module("sqlalchemy.exc").OperationalError("", {}, Exception())

    def fail(*_):
        raise away

    monkeypatch.setattr(exporting, "fetch_page", fail)

    assert alice.get("/movies/export").status_code == 503


def ask(service, path, token):
    """Ask the real service, and take in no more than the operating system must."""
    address = urlsplit(service.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sock.settimeout(20)
    connection.sock.connect((address.hostname, address.port))
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    return connection, connection.getresponse()


@pytest.fixture
def ann(service, database):
    """Somebody with more movies than fit between a server and a client who waits."""
    answer = service.request("POST", "/auth/signup", ANN).json
    fill(database, answer["user"]["id"], 12_000, f"https://example.com/{'x' * 2000}")
    return answer["accessToken"]


@pytest.fixture
def lone_service(database):
    """The service in one process, whose log may tell of faults."""
    with gunicorn(database.url, workers=1, DB_POOL_SIZE="1") as service:
        yield service


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_fault_in_the_middle_breaks_the_connection(lone_service, ann, database, file_format):
    connection, response = ask(lone_service, f"/movies/export?format={file_format}", ann)
    with closing(connection):
        assert response.status == 200
        assert response.read(1000)
        # What can still be read has not been asked for yet: the file is not made in one piece
        database.execute("alter table movies rename to films")
        try:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                response.read()
        finally:
            database.execute("alter table films rename to movies")
    wait_for(lambda: "export aborted" in lone_service.log)
    assert lone_service.request("GET", "/health").status == 200


def test_a_client_who_waits_keeps_no_connection_of_the_database(lone_service, ann):
    connection, response = ask(lone_service, "/movies/export", ann)
    with closing(connection):
        assert response.read(1000)

        assert lone_service.request("GET", "/movies?limit=1", token=ann).status == 200
        assert lone_service.request("POST", "/movies", {"title": "New"}, ann).status == 201

        rest = json.loads(b"[\n" + response.read().partition(b",\n")[2])
    assert rest[-1]["title"] == "Movie 1"
    assert "New" not in {movie["title"] for movie in rest}
