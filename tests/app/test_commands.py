"""flask --app wsgi seed, sessions purge, user promote, user reset-password, movies."""

import pytest
from flask.cli import FlaskGroup

from ..client import PASSWORD
from ..helpers import FORMATS
from ..servers import CHECKOUT

DEMO = {"email": "test@example.com", "password": "password123"}


@pytest.fixture
def run(app):
    """A function that runs a command and returns what it prints."""

    def run(*words):
        result = app.test_cli_runner().invoke(FlaskGroup(create_app=lambda: app), args=words)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_seed_adds_the_demo_account_and_its_movies(run, client):
    output = run("seed")

    assert DEMO["email"] in output
    client.take(client.post("/auth/login", json=DEMO))
    movies = client.get("/movies").json
    assert movies["meta"]["total"] == len(movies["items"]) == 3
    assert all(
        movie["title"] and movie["year"] and movie["imageUrl"].startswith("https://")
        for movie in movies["items"]
    )


def test_seed_can_be_run_again(run, database):
    run("seed")
    before = database.execute("SELECT id, title FROM movies ORDER BY id")

    run("seed")

    assert database.execute("SELECT id, title FROM movies ORDER BY id") == before
    assert database.execute("SELECT count(*) FROM users") == [(1,)]


def test_seed_never_touches_a_database_that_holds_other_data(run, alice, client):
    output = run("seed")

    assert "nothing" in output.lower()
    assert client.post("/auth/login", json=DEMO).status_code == 401
    assert alice.get("/movies").json["items"] == []


def test_purge_removes_the_sessions_that_have_run_out_and_no_other(
    run, alice, clock, database, make_client
):
    clock.advance(days=5)
    late = make_client().log_in("alice@example.com")
    clock.advance(days=3)

    output = run("sessions", "purge")

    assert "1" in output
    assert database.execute("SELECT count(*) FROM sessions") == [(1,)]
    assert late.post("/auth/refresh").status_code == 200
    assert run("sessions", "purge") != output


def test_the_password_of_the_demo_is_no_password_for_others(client):
    response = client.post("/auth/signup", json={**DEMO, "name": "Somebody"})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["password"]
    assert (
        client.post(
            "/auth/signup", json={**DEMO, "name": "Somebody", "password": PASSWORD}
        ).status_code
        == 201
    )


@pytest.mark.parametrize("email", ["alice@example.com", " ALICE@Example.com "])
def test_promote_makes_an_admin(run, alice, bob, email):
    run("user", "promote", email)

    assert alice.profile() == {**alice.user, "role": "admin"}
    assert bob.get("/me").json["role"] == "user"


def test_reset_password_prints_a_link_that_works_without_any_mail_server(run, alice, client):
    link = run("user", "reset-password", "ALICE@example.com").strip()

    address, _, token = link.partition("?token=")
    assert address == "http://localhost:3000/reset-password"
    body = {"token": token, "newPassword": "an even better battery"}
    assert client.post("/auth/password-reset/confirm", json=body).status_code == 204
    assert alice.get("/me").status_code == 401


@pytest.mark.parametrize("command", ["promote", "reset-password"])
@pytest.mark.parametrize("email", ["nobody@example.com", "nobody", ""])
def test_somebody_who_is_not_there_is_told(app, alice, command, email):
    result = app.test_cli_runner().invoke(args=["user", command, email])

    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert result.output.startswith(("Error", "Usage"))


@pytest.fixture
def invoke(app):
    """A function that runs a command and returns its result."""
    cli = FlaskGroup(create_app=lambda: app)
    return lambda *words: app.test_cli_runner().invoke(cli, args=words)


def test_movies_are_imported_and_exported(invoke, alice, tmp_path):
    file = tmp_path / "watched.csv"
    file.write_text(
        "Date,Name,Year,Letterboxd URI,Mood\n2024-01-01,Alien,1979,u,x\n,Heat,soon,v,y\n"
    )
    words = ("movies", "import", str(file), "--user", "alice@example.com")
    report = (
        "letterboxd (utf-8), imported: 1 added, 0 skipped, 1 rejected.\n"
        "Ignored columns: Mood.\n"
        "      3  rejected  year: Must be a four-digit year, e.g. 1999.\n"
    )

    dry = invoke(*words, "--dry-run")
    assert dry.stdout == report.replace("imported", "would be imported")
    assert alice.get("/movies").json["meta"]["total"] == 0
    result = invoke(*words)

    assert (result.exit_code, result.stdout) == (0, report)
    (movie,) = alice.get("/movies").json["items"]
    assert (movie["title"], movie["watchedOn"]) == ("Alien", "2024-01-01")
    for file_format in FORMATS:
        exported = invoke(
            "movies", "export", "--user", "alice@example.com", "--format", file_format
        )
        assert exported.stdout_bytes == alice.get(f"/movies/export?format={file_format}").data


def test_movies_import_says_what_is_wrong(invoke, alice, tmp_path):
    file = tmp_path / "x.zip"
    file.write_bytes((CHECKOUT / "tests/import_export/cases/letterboxd-export.zip").read_bytes())
    assert (
        "Ignored file: profile.csv"
        in invoke("movies", "import", str(file), "--user", "alice@example.com").stdout
    )
    file.write_bytes(b"[")

    result = invoke("movies", "import", str(file), "--user", "alice@example.com")

    assert result.exit_code == 1
    assert "Error: file: The array is not closed" in result.stderr
    unknown = invoke("movies", "export", "--user", "bob@example.com")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
