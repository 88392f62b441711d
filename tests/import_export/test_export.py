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
from ..import_helpers import TRICKY, fill
from ..servers import gunicorn

HEADER = "id,title,year,imageUrl,rating,watchedOn,notes,createdAt,updatedAt"


@pytest.fixture
def collection(alice):
    """Alice's movies, as GET /movies lists them."""
    for title in ("Alien", "=1+1", "Amélie"):
        alice.post("/movies", json={"title": title, "year": "1979"})
    alice.post("/movies", json={"title": "Brazil", "imageUrl": data_url(make_image())})
    return alice.get("/movies").json["items"]


def rows_of(response):
    """Parse an export of any format; the values of CSV are text."""
    kind = response.headers["Content-Type"]
    if kind == "application/json":
        return response.json
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in response.text.splitlines()]
    return list(csv.DictReader(StringIO(response.text, newline="")))


@pytest.mark.parametrize("query", ["", "?format=json"])
def test_json_export_is_an_array_of_movies(alice, collection, query):
    response = alice.get(f"/movies/export{query}")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Disposition"] == 'attachment; filename="movies.json"'
    assert response.json == collection


def test_ndjson_export_has_one_movie_per_line(alice, collection):
    response = alice.get("/movies/export?format=ndjson")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="movies.ndjson"'
    assert rows_of(response) == collection
    assert response.data.endswith(b"}\n")


def test_csv_export_has_a_header_row_of_field_names(alice, collection):
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
def test_export_of_empty_collection_is_a_valid_file(alice, query, text):
    response = alice.get(f"/movies/export?format={query}")

    assert response.status_code == 200
    assert response.text == text


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_export_contains_each_movie_once_newest_first(alice, database, file_format, count):
    fill(database, alice.user["id"], count)

    response = alice.get(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    titles = [row["title"] for row in rows_of(response)]
    assert titles == [f"Movie {number}" for number in range(count, 0, -1)]


def test_csv_export_escapes_formulas(alice):
    for title in TRICKY:
        assert alice.post("/movies", json={"title": title}).status_code == 201

    response = alice.get("/movies/export?format=csv")

    cells = [row["title"] for row in rows_of(response)][::-1]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r"] == []
    changed = {title: cell for title, cell in zip(TRICKY, cells, strict=True) if title != cell}
    assert changed == {
        "=1+1": "'=1+1",
        "'=1+1": "''=1+1",
        "''=1+1": "'''=1+1",
        "+1": "'+1",
        "-273": "'-273",
        "@home": "'@home",
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_export_contains_no_movies_of_other_users(alice, bob, collection, file_format):
    response = bob.get(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    assert rows_of(response) == []


def test_export_contains_current_image_urls(alice, collection, make_app):
    elsewhere = make_app(IMAGE_BASE_URL="https://cdn.example.com").test_client()
    elsewhere.token = alice.token

    shown = elsewhere.get("/movies/export").json

    assert shown == elsewhere.get("/movies").json["items"]
    assert shown[0]["imageUrl"].startswith("https://cdn.example.com/images/")


@pytest.mark.parametrize("file_format", FORMATS)
def test_head_of_export_matches_get(alice, collection, file_format):
    full = alice.get(f"/movies/export?format={file_format}")

    response = alice.head(f"/movies/export?format={file_format}")

    assert response.status_code == 200
    assert response.data == b""
    for name in ("ETag", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert response.headers[name] == full.headers[name]


@pytest.mark.parametrize("file_format", FORMATS)
def test_export_with_matching_etag_returns_304_until_a_change(alice, collection, file_format):
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


def test_export_etag_depends_on_the_format(alice, collection):
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
def test_invalid_export_parameter_returns_400(alice, query, field):
    response = alice.get(f"/movies/export?{query}")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]


def test_anonymous_export_returns_401(client):
    assert client.get("/movies/export").json["error"]["code"] == "MISSING_TOKEN"


def test_api_token_can_export(alice, make_client, collection):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert script.get("/movies/export").json == collection


def test_export_accepts_only_get(alice):
    response = alice.post("/movies/export", json={})

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_export_needs_one_statement_per_1000_movies(alice, database):
    fill(database, alice.user["id"], 2500)

    assert alice.get("/movies/export").status_code == 200

    assert len(alice.statements) == 5  # authentication, the ETag and three batches
    assert not [text for text in alice.statements if not text.startswith("SELECT")]


def test_export_with_unavailable_database_returns_503(alice, monkeypatch):
    exporting = import_module("movies_api.import_export.export")
    error = import_module("sqlalchemy.exc").OperationalError("", {}, Exception())

    def fail(*_):
        raise error

    monkeypatch.setattr(exporting, "fetch_page", fail)

    assert alice.get("/movies/export").status_code == 503


def fetch(service, path, token):
    """Send a request with a small receive buffer; return the connection and the response."""
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
    """The token of a user whose export is larger than all network buffers."""
    response = service.request("POST", "/auth/signup", ANN).json
    fill(database, response["user"]["id"], 12_000, f"https://example.com/{'x' * 2000}")
    return response["accessToken"]


@pytest.fixture
def one_worker(database):
    """The service with one worker and one database connection."""
    with gunicorn(database.url, workers=1, DB_POOL_SIZE="1") as service:
        yield service


@pytest.mark.parametrize("file_format", FORMATS)
def test_error_during_export_closes_the_connection(one_worker, ann, database, file_format):
    connection, response = fetch(one_worker, f"/movies/export?format={file_format}", ann)
    with closing(connection):
        assert response.status == 200
        assert response.read(1000)
        # The export is streamed: the database has not been asked for the last movies yet
        database.execute("alter table movies rename to films")
        try:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                response.read()
        finally:
            database.execute("alter table films rename to movies")
    wait_for(lambda: "export aborted" in one_worker.log)
    assert one_worker.request("GET", "/health").status == 200


def test_slow_export_client_blocks_no_database_connection(one_worker, ann):
    connection, response = fetch(one_worker, "/movies/export", ann)
    with closing(connection):
        assert response.read(1000)

        assert one_worker.request("GET", "/movies?limit=1", token=ann).status == 200
        assert one_worker.request("POST", "/movies", {"title": "New"}, ann).status == 201

        rest = json.loads(b"[\n" + response.read().partition(b",\n")[2])
    assert rest[-1]["title"] == "Movie 1"
    assert "New" not in {movie["title"] for movie in rest}
