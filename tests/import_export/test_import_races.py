"""POST /movies/import during other requests, errors and account deletion; images in files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from threading import Event

import psycopg2
import pytest

from ..client import PASSWORD
from ..concurrency import run_parallel, statuses, wait_for
from ..helpers import ANN, titles
from ..image_helpers import data_url, make_image, path_of, request_upload
from ..import_helpers import form_file, import_file

FILE = "title,year\n" + "".join(f"Movie {number},1979\n" for number in range(2500))
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
NOT_FOUND = "Added without its image, which no longer exists."


@pytest.fixture
def token(service):
    """The access token of a user of the running service."""
    return service.request("POST", "/auth/signup", ANN).json["accessToken"]


@pytest.fixture
def act_before(monkeypatch):
    """A function that runs an action just before the import calls a function."""

    def insert(module, name, act):
        home = import_module(f"movies_api.import_export.{module}")
        real = getattr(home, name)

        def act_first(*values):
            with ThreadPoolExecutor(1) as threads:  # a thread does not share the transaction
                threads.submit(act).result()
            return real(*values)

        monkeypatch.setattr(home, name, act_first)

    return insert


def state(database):
    """Return the number of movies and the movie count of each user."""
    (total,) = database.execute("select count(*) from movies")
    return total[0], [count for (count,) in database.execute("select movie_count from users")]


def test_concurrent_imports_of_one_file_add_it_once(service, token, database):
    call = partial(service.request, "POST", "/movies/import", FILE.encode(), token)

    responses = run_parallel([call] * 4)

    assert statuses(responses) == {200: 4}
    counts = [response.json["counts"] for response in responses]
    assert sorted(each["added"] for each in counts) == [0, 0, 0, 2500]
    assert sorted(each["skipped"] for each in counts) == [0, 2500, 2500, 2500]
    assert state(database) == (2500, [2500])


def test_movies_can_be_created_during_an_import(service, token, database):
    file = partial(
        service.request, "POST", "/movies/import?onDuplicate=allow", FILE.encode(), token
    )
    one = partial(service.request, "POST", "/movies", {"title": "One"}, token)
    listing = partial(service.request, "GET", "/movies/export", None, token)

    responses = run_parallel([file, one, listing, file, one, listing])

    assert statuses(responses) == {200: 4, 201: 2}
    assert state(database) == (5002, [5002])


@contextmanager
def trigger(database, act):
    """Run SQL when Movie 400, which is in the last batch, is inserted."""
    if database.is_postgresql:
        database.execute(
            "create function act() returns trigger language plpgsql as "
            f"$$ begin if new.title = 'Movie 400' then {act}; end if; return new; end $$"
        )
        database.execute("create trigger act before insert on movies for each row execute function act()")  # fmt: skip
    else:
        database.execute(
            f"create trigger act before insert on movies when new.title = 'Movie 400' begin {act}; end"
        )
    try:
        yield
    finally:
        database.execute("drop trigger act on movies" if database.is_postgresql else "drop trigger act")  # fmt: skip
        if database.is_postgresql:
            database.execute("drop function act")


def test_error_during_import_rolls_back(alice, database):
    alice.post("/movies", json={"title": "Old"})
    act = "raise 'broken'" if database.is_postgresql else "select raise(abort, 'broken')"
    with trigger(database, act):
        response = import_file(alice, FILE)

    assert response.status_code == 500
    assert state(database) == (1, [1])
    assert titles(alice) == ["Old"]
    assert import_file(alice, FILE).json["counts"]["added"] == 2500


@pytest.mark.only_on("postgresql")
def test_lost_connection_during_import_rolls_back(service, token, database):
    call = partial(service.request, "POST", "/movies/import", FILE.encode(), token)
    with (
        trigger(database, "perform pg_advisory_xact_lock(7)"),
        closing(psycopg2.connect(database.url)) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        other.cursor().execute("select pg_advisory_xact_lock(7)")
        imported = threads.submit(call)
        wait_for(lambda: database.execute(WAITING) == [(1,)])
        database.execute(KILL)

        response = imported.result()

        assert response.status == 503
        assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        other.rollback()
    assert state(database) == (0, [0])
    assert call().json["counts"]["added"] == 2500


@pytest.mark.only_on("postgresql")
def test_account_deletion_waits_for_a_running_import(service, token, database):
    with (
        trigger(database, "perform pg_advisory_xact_lock(7)"),
        closing(psycopg2.connect(database.url)) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        other.cursor().execute("select pg_advisory_xact_lock(7)")
        imported = threads.submit(service.request, "POST", "/movies/import", FILE.encode(), token)
        wait_for(lambda: database.execute(WAITING) == [(1,)])
        deleted = threads.submit(service.request, "DELETE", "/me", {"password": PASSWORD}, token)
        wait_for(lambda: database.execute(WAITING) == [(2,)])

        other.rollback()

        assert imported.result().status == 200
        assert deleted.result().status == 204
    assert state(database) == (0, [])


def test_account_deleted_during_import_gets_no_movies(alice, make_client, act_before, database):
    other = make_client().log_in("alice@example.com")
    act_before(
        "insert", "begin_long_transaction", lambda: other.delete("/me", json={"password": PASSWORD})
    )

    response = import_file(alice, FILE)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert state(database) == (0, [])


def test_account_deleted_during_import_gets_no_image(alice, make_client, act_before, files):
    other = make_client().log_in("alice@example.com")
    act_before(
        "row_images", "store_image", lambda: other.delete("/me", json={"password": PASSWORD})
    )

    response = import_file(
        alice, json.dumps([{"title": "Alien", "imageUrl": data_url(make_image())}])
    )

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert files() == []


def test_concurrent_imports_and_deletions_return_valid_responses(service, database):
    for number in range(3):
        user = ANN | {"email": f"ann{number}@example.com"}
        token = service.request("POST", "/auth/signup", user).json["accessToken"]
        file = partial(service.request, "POST", "/movies/import", FILE.encode(), token)
        delete = partial(service.request, "DELETE", "/me", {"password": PASSWORD}, token)

        imported, deleted, again = run_parallel([file, delete, file])

        assert deleted.status == 204
        assert {imported.status, again.status} <= {200, 401}
    assert state(database) == (0, [])
    assert "Traceback" not in service.log


def test_reading_a_file_uses_no_database_connection(make_app, alice, monkeypatch):
    rows = import_module("movies_api.import_export.importer")
    real, is_reading, may_go_on = rows.read_file, Event(), Event()

    def read_slowly(*values):
        is_reading.set()
        assert may_go_on.wait(20)
        return real(*values)

    monkeypatch.setattr(rows, "read_file", read_slowly)
    app = make_app(DB_POOL_SIZE="1")

    def new_client():
        client = app.test_client()
        client.token = alice.token
        return client

    with ThreadPoolExecutor(2) as threads:
        files = [threads.submit(import_file, new_client(), f"title\n{title}\n") for title in ("Alien", "Brazil")]  # fmt: skip
        assert is_reading.wait(20)
        try:
            assert new_client().get("/movies").status_code == 200
        finally:
            may_go_on.set()
        assert [each.result().status_code for each in files] == [200, 200]
    assert sorted(titles(alice)) == ["Alien", "Brazil"]


# --- images


def test_images_in_a_file_are_stored(alice, files):
    rows = [{"title": "Alien", "imageUrl": data_url(make_image())}, {"title": "Brazil", "imageUrl": data_url(make_image())}]  # fmt: skip

    response = import_file(alice, json.dumps(rows))

    assert response.json["counts"]["added"] == 2
    one, other = (each["imageUrl"] for each in alice.get("/movies/export").json)
    assert one == other
    assert alice.get(path_of(one)).status_code == 200
    assert len(files()) == 1


def test_image_in_a_csv_file_is_stored(alice, files):
    response = import_file(alice, f'title,imageUrl\nAlien,"{data_url(make_image())}"\n')

    assert response.json["counts"]["added"] == 1
    assert len(files()) == 1


def test_images_of_the_service_are_reused(alice, bob):
    mine = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())}).json
    for file_format in ("json", "csv", "ndjson"):
        response = import_file(bob, alice.get(f"/movies/export?format={file_format}").data, "?onDuplicate=allow")  # fmt: skip
        assert response.json["counts"]["added"] == 1

    assert {each["imageUrl"] for each in bob.get("/movies/export").json} == {mine["imageUrl"]}


def test_row_with_unknown_image_is_added_without_it(alice):
    base = "http://localhost/images/"
    external = f"https://elsewhere.example.com/images/{'0' * 64}"
    bad = [f"{base}{'0' * 64}", f"{base}x", f"{base}{'0' * 32}"]
    rows = [{"title": url, "imageUrl": url} for url in [*bad, external]]

    response = import_file(alice, json.dumps(rows))

    assert [each["reason"] for each in response.json["rows"]] == [*[NOT_FOUND] * 3, None]
    assert response.json["counts"]["added"] == 4
    images = [each["imageUrl"] for each in alice.get("/movies/export").json]
    assert images == [None, None, None, external]


def test_row_with_uploaded_image_is_imported(alice):
    data = make_image(size=(50, 50))
    upload = request_upload(alice, data)
    assert alice.put(path_of(upload["uploadUrl"]), data=data, content_type="image/png").status_code == 201  # fmt: skip
    file = json.dumps([{"title": "Alien", "imageUrl": upload["imageUrl"]}])

    assert import_file(alice, file, "?dryRun=true").json["counts"]["added"] == 1
    assert import_file(alice, file).json["counts"]["added"] == 1

    assert alice.get(path_of(alice.get("/movies/export").json[0]["imageUrl"])).status_code == 200


def test_row_with_image_deleted_during_import_is_added_without_it(alice, act_before, database):
    alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())})
    file = alice.get("/movies/export").data.replace(b"\n]", b',\n{"title":"Brazil"}]')
    database.execute("delete from movies")

    def remove():
        for table in ("uploads", "images"):
            database.execute(f"delete from {table}")

    act_before("insert", "begin_long_transaction", remove)

    response = import_file(alice, file)

    assert response.status_code == 200
    assert [each["reason"] for each in response.json["rows"]] == [NOT_FOUND, None]
    assert titles(alice) == ["Alien", "Brazil"]


def test_dry_run_validates_images_without_storing_them(alice, files, database):
    rows = [{"title": "Alien", "imageUrl": url} for url in (data_url(make_image()), data_url(b"x"))]
    rows += [{"title": "x", "imageUrl": f"http://localhost/images/{'0' * length}"} for length in (32, 64)]  # fmt: skip

    response = import_file(alice, json.dumps(rows), "?dryRun=true&onDuplicate=allow")

    actions = [each["action"] for each in response.json["rows"]]
    assert actions == ["added", "rejected", "added", "added"]
    assert files() == []
    assert database.execute("select count(*) from images") == [(0,)]
    real = import_file(alice, json.dumps(rows), "?onDuplicate=allow").json
    assert real == {**response.json, "dryRun": False}


def test_dry_run_does_not_update_images(alice, database):
    alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())})
    before = database.execute("select * from images")

    assert import_file(alice, alice.get("/movies/export").data, "?dryRun=true").status_code == 200

    assert database.execute("select * from images") == before


def test_new_images_per_import_are_limited(alice, monkeypatch):
    monkeypatch.setattr(import_module("movies_api.import_export.row_images"), "MAX_NEW_IMAGES", 2)
    rows = [{"title": f"{number}", "imageUrl": data_url(make_image())} for number in range(4)]

    first = import_file(alice, json.dumps(rows)).json

    assert first["counts"] == {"added": 2, "skipped": 0, "rejected": 2}
    assert "Send this row in another file" in first["rows"][3]["reason"]
    assert import_file(alice, json.dumps(first["rejected"])).json["counts"]["added"] == 2


def test_row_with_oversized_image_is_rejected(make_app, alice):
    client = make_app(IMAGE_MAX_BYTES="1024").test_client()
    client.token = alice.token
    rows = [{"title": "Alien", "imageUrl": data_url(make_image().ljust(1025))}, {"title": "Brazil"}]

    response = client.post("/movies/import", **form_file("x", json.dumps(rows).encode()))

    assert [each["action"] for each in response.json["rows"]] == ["rejected", "added"]
    assert "The limit is 1024 bytes" in response.json["rows"][0]["reason"]


def test_import_of_many_stored_images_needs_few_statements(alice, bob):
    for number in range(30):
        image = data_url(make_image(colour=(number, 0, 0)))
        alice.post("/movies", json={"title": f"Movie {number}", "imageUrl": image})
    file = alice.get("/movies/export").data

    assert import_file(bob, file).json["counts"]["added"] == 30

    assert len(bob.statements) == 6
