"""POST /movies/import while something else happens: other requests, faults, the end of the account."""

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
from ..concurrency import run_together, statuses, wait_for
from ..helpers import ANN, titles
from ..image_helpers import data_url, make_image, path_of, request_upload
from ..import_helpers import form_file, import_file

FILE = "title,year\n" + "".join(f"Movie {number},1979\n" for number in range(2500))
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
GONE = "Added without its image, which no longer exists."


@pytest.fixture
def token(service):
    """The access token of somebody who signed up at the real service."""
    return service.request("POST", "/auth/signup", ANN).json["accessToken"]


@pytest.fixture
def act_before(monkeypatch):
    """A function that has something done just before the import calls a function of the room."""

    def insert(module, name, act):
        home = import_module(f"movies_api.import_export.{module}")
        real = getattr(home, name)

        def act_first(*values):
            with ThreadPoolExecutor(1) as threads:  # a thread has no part in the transaction
                threads.submit(act).result()
            return real(*values)

        monkeypatch.setattr(home, name, act_first)

    return insert


def state(database):
    """Return how many movies there are, and how many each account thinks it has."""
    (there,) = database.execute("select count(*) from movies")
    return there[0], [count for (count,) in database.execute("select movie_count from users")]


def test_the_same_file_twice_at_once_is_added_once(service, token, database):
    call = partial(service.request, "POST", "/movies/import", FILE.encode(), token)

    answers = run_together([call] * 4)

    assert statuses(answers) == {200: 4}
    counts = [answer.json["counts"] for answer in answers]
    assert sorted(each["added"] for each in counts) == [0, 0, 0, 2500]
    assert sorted(each["skipped"] for each in counts) == [0, 2500, 2500, 2500]
    assert state(database) == (2500, [2500])


def test_movies_can_be_added_one_by_one_meanwhile(service, token, database):
    file = partial(
        service.request, "POST", "/movies/import?onDuplicate=allow", FILE.encode(), token
    )
    one = partial(service.request, "POST", "/movies", {"title": "One"}, token)
    listing = partial(service.request, "GET", "/movies/export", None, token)

    answers = run_together([file, one, listing, file, one, listing])

    assert statuses(answers) == {200: 4, 201: 2}
    assert state(database) == (5002, [5002])


@contextmanager
def trigger(database, act):
    """Have the database do something when Movie 400 comes, which is among the last thousand."""
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


def test_a_fault_in_the_middle_leaves_nothing(alice, database):
    alice.post("/movies", json={"title": "Old"})
    act = "raise 'broken'" if database.is_postgresql else "select raise(abort, 'broken')"
    with trigger(database, act):
        response = import_file(alice, FILE)

    assert response.status_code == 500
    assert state(database) == (1, [1])
    assert titles(alice) == ["Old"]
    assert import_file(alice, FILE).json["counts"]["added"] == 2500


@pytest.mark.only_on("postgresql")
def test_a_connection_that_dies_in_the_middle_leaves_nothing(service, token, database):
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

        answer = imported.result()

        assert answer.status == 503
        assert answer.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        other.rollback()
    assert state(database) == (0, [0])
    assert call().json["counts"]["added"] == 2500


@pytest.mark.only_on("postgresql")
def test_a_person_who_leaves_waits_for_the_import_under_way(service, token, database):
    with (
        trigger(database, "perform pg_advisory_xact_lock(7)"),
        closing(psycopg2.connect(database.url)) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        other.cursor().execute("select pg_advisory_xact_lock(7)")
        imported = threads.submit(service.request, "POST", "/movies/import", FILE.encode(), token)
        wait_for(lambda: database.execute(WAITING) == [(1,)])
        left = threads.submit(service.request, "DELETE", "/me", {"password": PASSWORD}, token)
        wait_for(lambda: database.execute(WAITING) == [(2,)])

        other.rollback()

        assert imported.result().status == 200
        assert left.result().status == 204
    assert state(database) == (0, [])


def test_an_account_that_ends_meanwhile_gets_no_movies(alice, make_client, act_before, database):
    other = make_client().log_in("alice@example.com")
    act_before(
        "insert", "begin_long_transaction", lambda: other.delete("/me", json={"password": PASSWORD})
    )

    response = import_file(alice, FILE)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert state(database) == (0, [])


def test_an_account_that_ends_meanwhile_gets_no_image(alice, make_client, act_before, files):
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


def test_many_who_come_and_go_at_once_get_clean_answers(service, database):
    for number in range(3):
        person = ANN | {"email": f"ann{number}@example.com"}
        token = service.request("POST", "/auth/signup", person).json["accessToken"]
        file = partial(service.request, "POST", "/movies/import", FILE.encode(), token)
        leave = partial(service.request, "DELETE", "/me", {"password": PASSWORD}, token)

        imported, left, again = run_together([file, leave, file])

        assert left.status == 204
        assert {imported.status, again.status} <= {200, 401}
    assert state(database) == (0, [])
    assert "Traceback" not in service.log


def test_reading_a_file_holds_no_connection(make_app, alice, monkeypatch):
    rows = import_module("movies_api.import_export.importer")
    real, is_reading, may_go_on = rows.read_file, Event(), Event()

    def read_slowly(*values):
        is_reading.set()
        assert may_go_on.wait(20)
        return real(*values)

    monkeypatch.setattr(rows, "read_file", read_slowly)
    app = make_app(DB_POOL_SIZE="1")

    def person():
        client = app.test_client()
        client.token = alice.token
        return client

    with ThreadPoolExecutor(2) as threads:
        files = [threads.submit(import_file, person(), f"title\n{title}\n") for title in ("Alien", "Brazil")]  # fmt: skip
        assert is_reading.wait(20)
        try:
            assert person().get("/movies").status_code == 200
        finally:
            may_go_on.set()
        assert [each.result().status_code for each in files] == [200, 200]
    assert sorted(titles(alice)) == ["Alien", "Brazil"]


# --- pictures


def test_keeps_the_images_in_a_file(alice, files):
    rows = [{"title": "Alien", "imageUrl": data_url(make_image())}, {"title": "Brazil", "imageUrl": data_url(make_image())}]  # fmt: skip

    response = import_file(alice, json.dumps(rows))

    assert response.json["counts"]["added"] == 2
    one, other = (each["imageUrl"] for each in alice.get("/movies/export").json)
    assert one == other
    assert alice.get(path_of(one)).status_code == 200
    assert len(files()) == 1


def test_keeps_an_image_in_a_table(alice, files):
    response = import_file(alice, f'title,imageUrl\nAlien,"{data_url(make_image())}"\n')

    assert response.json["counts"]["added"] == 1
    assert len(files()) == 1


def test_knows_images_of_the_service_again(alice, bob):
    mine = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())}).json
    for file_format in ("json", "csv", "ndjson"):
        response = import_file(bob, alice.get(f"/movies/export?format={file_format}").data, "?onDuplicate=allow")  # fmt: skip
        assert response.json["counts"]["added"] == 1

    assert {each["imageUrl"] for each in bob.get("/movies/export").json} == {mine["imageUrl"]}


def test_a_row_whose_image_is_not_there_is_added_without_it(alice):
    base = "http://localhost/images/"
    foreign = f"https://elsewhere.example.com/images/{'0' * 64}"
    bad = [f"{base}{'0' * 64}", f"{base}x", f"{base}{'0' * 32}"]
    rows = [{"title": url, "imageUrl": url} for url in [*bad, foreign]]

    response = import_file(alice, json.dumps(rows))

    assert [each["reason"] for each in response.json["rows"]] == [GONE, GONE, GONE, None]
    assert response.json["counts"]["added"] == 4
    images = [each["imageUrl"] for each in alice.get("/movies/export").json]
    assert images == [None, None, None, foreign]


def test_takes_up_an_upload_that_waits(alice):
    data = make_image(size=(50, 50))
    permission = request_upload(alice, data)
    assert alice.put(path_of(permission["uploadUrl"]), data=data, content_type="image/png").status_code == 201  # fmt: skip
    file = json.dumps([{"title": "Alien", "imageUrl": permission["imageUrl"]}])

    assert import_file(alice, file, "?dryRun=true").json["counts"]["added"] == 1
    assert import_file(alice, file).json["counts"]["added"] == 1

    assert alice.get(path_of(alice.get("/movies/export").json[0]["imageUrl"])).status_code == 200


def test_a_row_whose_image_goes_meanwhile_is_added_without_it(alice, act_before, database):
    alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())})
    file = alice.get("/movies/export").data.replace(b"\n]", b',\n{"title":"Brazil"}]')
    database.execute("delete from movies")

    def remove():
        for table in ("uploads", "images"):
            database.execute(f"delete from {table}")

    act_before("insert", "begin_long_transaction", remove)

    response = import_file(alice, file)

    assert response.status_code == 200
    assert [each["reason"] for each in response.json["rows"]] == [GONE, None]
    assert titles(alice) == ["Alien", "Brazil"]


def test_a_dry_run_keeps_no_image_but_looks_at_it(alice, files, database):
    rows = [{"title": "Alien", "imageUrl": url} for url in (data_url(make_image()), data_url(b"x"))]
    rows += [{"title": "x", "imageUrl": f"http://localhost/images/{'0' * length}"} for length in (32, 64)]  # fmt: skip

    response = import_file(alice, json.dumps(rows), "?dryRun=true&onDuplicate=allow")

    actions = [each["action"] for each in response.json["rows"]]
    assert actions == ["added", "rejected", "added", "added"]
    assert files() == []
    assert database.execute("select count(*) from images") == [(0,)]
    real = import_file(alice, json.dumps(rows), "?onDuplicate=allow").json
    assert real == {**response.json, "dryRun": False}


def test_touches_no_image_in_a_dry_run(alice, database):
    alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(make_image())})
    before = database.execute("select * from images")

    assert import_file(alice, alice.get("/movies/export").data, "?dryRun=true").status_code == 200

    assert database.execute("select * from images") == before


def test_a_file_brings_so_many_new_images_and_no_more(alice, monkeypatch):
    monkeypatch.setattr(import_module("movies_api.import_export.row_images"), "MAX_NEW_IMAGES", 2)
    rows = [{"title": f"{number}", "imageUrl": data_url(make_image())} for number in range(4)]

    first = import_file(alice, json.dumps(rows)).json

    assert first["counts"] == {"added": 2, "skipped": 0, "rejected": 2}
    assert "Send this row in another file" in first["rows"][3]["reason"]
    assert import_file(alice, json.dumps(first["rejected"])).json["counts"]["added"] == 2


def test_an_image_that_is_too_large_costs_its_row(make_app, alice):
    person = make_app(IMAGE_MAX_BYTES="1024").test_client()
    person.token = alice.token
    rows = [{"title": "Alien", "imageUrl": data_url(make_image().ljust(1025))}, {"title": "Brazil"}]

    response = person.post("/movies/import", **form_file("x", json.dumps(rows).encode()))

    assert [each["action"] for each in response.json["rows"]] == ["rejected", "added"]
    assert "The limit is 1024 bytes" in response.json["rows"][0]["reason"]


def test_many_images_of_the_service_cost_few_statements(alice, bob):
    for number in range(30):
        image = data_url(make_image(colour=(number, 0, 0)))
        alice.post("/movies", json={"title": f"Movie {number}", "imageUrl": image})
    file = alice.get("/movies/export").data

    assert import_file(bob, file).json["counts"]["added"] == 30

    assert len(bob.statements) == 6
