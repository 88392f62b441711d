"""flask --app wsgi seed, sessions, user and movies."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from flask.cli import FlaskGroup

from movies_api.auth import users

from ..account.test_reset_password import token_in
from ..client import PASSWORD
from ..helpers import FORMATS, NEW_PASSWORD
from ..servers import CHECKOUT, SECRET_KEY

LOGIN = {"email": "alice@example.com", "password": PASSWORD}

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
    client.use_session(client.post("/auth/login", json=DEMO))
    movies = client.get("/movies").json
    assert movies["meta"]["total"] == len(movies["items"]) == 3
    assert all(
        movie["title"] and movie["year"] and movie["imageUrl"].startswith("https://")
        for movie in movies["items"]
    )


def test_seed_is_idempotent(run, database):
    run("seed")
    before = database.execute("SELECT id, title FROM movies ORDER BY id")

    run("seed")

    assert database.execute("SELECT id, title FROM movies ORDER BY id") == before
    assert database.execute("SELECT count(*) FROM users") == [(1,)]


def test_seed_does_not_change_a_database_with_data(run, alice, client):
    output = run("seed")

    assert "nothing" in output.lower()
    assert client.post("/auth/login", json=DEMO).status_code == 401
    assert alice.get("/movies").json["items"] == []


def test_purge_deletes_only_expired_sessions(run, alice, clock, database, make_client):
    clock.advance(days=5)
    late = make_client().log_in("alice@example.com")
    clock.advance(days=3)

    output = run("sessions", "purge")

    assert "1" in output
    assert database.execute("SELECT count(*) FROM sessions") == [(1,)]
    assert late.post("/auth/refresh").status_code == 200
    assert run("sessions", "purge") != output


def test_demo_password_is_rejected_at_signup(client):
    response = client.post("/auth/signup", json={**DEMO, "name": "Ann"})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["password"]
    assert (
        client.post("/auth/signup", json={**DEMO, "name": "Ann", "password": PASSWORD}).status_code
        == 201
    )


@pytest.mark.parametrize("email", ["alice@example.com", " ALICE@Example.com "])
def test_promote_makes_an_admin(run, alice, bob, email):
    run("user", "promote", email)

    assert alice.profile() == {**alice.user, "role": "admin"}
    assert bob.get("/me").json["role"] == "user"


def test_reset_password_command_prints_a_valid_link(run, alice, client):
    link = run("user", "reset-password", "ALICE@example.com").strip()

    address, _, token = link.partition("?token=")
    assert address == "http://localhost:3000/reset-password"
    body = {"token": token, "newPassword": "an even better battery"}
    assert client.post("/auth/password-reset/confirm", json=body).status_code == 204
    assert alice.get("/me").status_code == 401


def test_demote_removes_admin_rights(run, alice):
    run("user", "promote", "alice@example.com")
    run("user", "demote", "alice@example.com")

    assert alice.profile() == alice.user
    assert alice.get("/admin/stats").status_code == 403


def test_list_and_show_tell_of_users(run, alice, bob):
    alice.post("/movies", json={"title": "Alien"})
    alice.post("/auth/tokens", json={"name": "Backup"})
    day = alice.user["createdAt"][:10]
    run("user", "disable", "bob@example.com")

    assert run("user", "list").splitlines() == [
        f"alice@example.com\tuser\tenabled\t1\t{day}",
        f"bob@example.com\tuser\tdisabled\t0\t{day}",
    ]
    told = dict(line.split(": ") for line in run("user", "show", "Alice@example.com").splitlines())
    assert (told["id"], told["name"]) == (alice.user["id"], "Alice")
    assert (told["disabled"], told["movies"], told["API tokens"]) == ("no", "1", "1")


def test_list_prints_all_users(run, alice, bob, monkeypatch):
    monkeypatch.setattr("movies_api.auth.users.ACCOUNTS", users.ACCOUNTS.limit(1))

    assert len(run("user", "list").splitlines()) == 2


def test_end_sessions_ends_logins_and_api_tokens(run, alice, bob, make_client):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert run("user", "end-sessions", "alice@example.com") == "Ended 2 sessions and API tokens.\n"

    assert alice.get("/me").status_code == script.get("/me").status_code == 401
    assert bob.get("/me").status_code == 200


def test_delete_removes_the_account_after_a_question(run, app, alice, bob, database):
    alice.post("/movies", json={"title": "Alien"})
    runner, words = app.test_cli_runner(), ["user", "delete", "alice@example.com"]
    assert runner.invoke(args=words, input="n\n").exit_code == 1
    assert alice.get("/me").status_code == 200

    assert run(*words, "--yes") == "Deleted alice@example.com.\n"

    assert alice.get("/me").status_code == 401
    assert database.execute("SELECT name FROM users") == [("Bob",)]
    assert database.execute("SELECT count(*) FROM movies") == [(0,)]


def test_a_disabled_user_is_locked_out_everywhere(run, alice, client, make_client):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    link = run("user", "reset-password", "alice@example.com").strip()

    run("user", "disable", "alice@example.com")

    for response in (alice.get("/me"), alice.post("/auth/refresh"), script.get("/movies")):
        assert (response.status_code, response.json["error"]["code"]) == (401, "INVALID_TOKEN")
    response = client.post("/auth/login", json=LOGIN)
    assert (response.status_code, response.json["error"]["code"]) == (401, "INVALID_CREDENTIALS")
    body = {"token": link.partition("?token=")[2], "newPassword": NEW_PASSWORD}
    response = client.post("/auth/password-reset/confirm", json=body)
    assert list(response.json["error"]["details"]) == ["token"]
    again = {**LOGIN, "name": "Alice"}
    assert client.post("/auth/signup", json=again).json["error"]["code"] == "USER_EXISTS"

    run("user", "enable", "alice@example.com")
    assert client.post("/auth/login", json=LOGIN).status_code == 200


def test_a_disabled_user_gets_no_mail_and_reverts_nothing(mailing_app, mailbox):
    alice, client = mailing_app.test_client().sign_up("Alice"), mailing_app.test_client()
    runner = mailing_app.test_cli_runner()
    alice.patch("/me", json={"email": "thief@example.com", "currentPassword": PASSWORD})
    token = token_in(mailbox.next()[1])
    runner.invoke(args=["user", "disable", "thief@example.com"])

    assert (
        client.post("/auth/password-reset", json={"email": "thief@example.com"}).status_code == 202
    )
    response = client.post("/auth/email-revert", json={"token": token})

    assert response.status_code == 400
    mailing_app.extensions["outbox"].join()
    assert mailbox.received.empty()
    assert runner.invoke(args=["user", "reset-password", "thief@example.com"]).exit_code == 1
    runner.invoke(args=["user", "enable", "thief@example.com"])
    assert client.post("/auth/email-revert", json={"token": token}).status_code == 204


def test_a_login_under_way_does_not_survive_being_disabled(run, alice, client, monkeypatch):
    views = import_module("movies_api.auth.views")
    real = views.verify_password

    def disable_first(*values):
        with ThreadPoolExecutor(1) as threads:
            threads.submit(run, "user", "disable", "alice@example.com").result()
        return real(*values)

    monkeypatch.setattr(views, "verify_password", disable_first)

    assert client.post("/auth/login", json=LOGIN).json["error"]["code"] == "INVALID_CREDENTIALS"


@pytest.mark.slow
def test_stdout_is_only_the_answer_of_a_command(alice, database, tmp_path):
    command = ["user", "delete", "alice@example.com", "--yes"]
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *command],
        cwd=CHECKOUT,
        env={
            "DATABASE_URL": database.url,
            "FLASK_SKIP_DOTENV": "1",
            "INSTANCE_DIR": str(tmp_path),
            "SECRET_KEY": SECRET_KEY,
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "Deleted alice@example.com.\n"
    assert '"event":"account_deleted"' in done.stderr


def test_commands_are_audited(run, alice, lines):
    for command in ("disable", "enable", "promote", "demote", "end-sessions", "reset-password"):
        run("user", command, "alice@example.com")

    logged = [line for line in lines() if line["message"] == "audit"]
    events = ["account_disabled", "account_enabled", "account_promoted", "account_demoted"]
    events += ["sessions_ended", "reset_link_created"]
    assert [line["event"] for line in logged[-6:]] == events
    assert {line["userId"] for line in logged} == {alice.user["id"]}


COMMANDS = ["show", "disable", "enable", "promote", "demote", "end-sessions", "reset-password"]


@pytest.mark.parametrize("command", [*COMMANDS, "delete --yes"])
@pytest.mark.parametrize("email", ["nobody@example.com", "nobody", ""])
def test_user_command_with_unknown_email_fails(app, alice, command, email):
    result = app.test_cli_runner().invoke(args=["user", *command.split(), email])

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


def test_movies_import_reports_errors(invoke, alice, tmp_path):
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


@pytest.mark.parametrize(
    "words",
    ["user list", "user show ann@example.com", "sessions purge", "images cleanup"],
)
def test_command_without_database_exits_with_the_cause(words):
    address = {"DATABASE_URL": "postgresql://127.0.0.1:1/nothing", "SECRET_KEY": SECRET_KEY}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *words.split()]
    environment = {**os.environ, **address}
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert "Error: DATABASE_URL: connection refused" in result.stderr
    assert "Traceback" not in result.stderr
