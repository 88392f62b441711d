"""flask doctor: each fault, planted alone, is found; a good setup is silent."""

import http.server
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from flask.cli import FlaskGroup
from sqlalchemy import text

from movies_api import doctor

from ..conftest import app_for, config_for
from ..servers import SECRET_KEY, mail_server, redis, s3

KEY = "Zk3-q9VbT_x7LmN4pRc8WfHs2JyUdGe6"
FACTS = doctor.FACTS
OWASP = {"ARGON2_MEMORY_KIB": "19456", "ARGON2_TIME_COST": "2", "RATELIMIT_ENABLED": "true"}
LOCAL = {**OWASP, "SECRET_KEY": KEY}
PUBLIC = {**LOCAL, "CORS_ORIGIN": "https://app.example.com", "SMTP_URL": "smtp://127.0.0.1:9"}
PUBLIC |= {"FRONTEND_URL": "https://app.example.com", "MAIL_FROM": "Movies <movies@example.org>"}


@pytest.fixture
def find(make_app, monkeypatch, tmp_path):
    """A function that returns (level, variable, message) for settings and other variables."""
    monkeypatch.chdir(tmp_path)

    def find(settings, others=(), url=None):
        with make_app(**settings).app_context():
            found = doctor.examine({"WEB_CONCURRENCY": "1", **settings, **dict(others)}, url)
        # The server of the tests is fast and forgetful
        return [each for each in found if "fsync" not in each.message or doctor.FACTS is not FACTS]

    return find


@contextmanager
def public_server(headers):
    """Serve /health, with the headers that a function of the request's headers returns."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for name, value in headers(self.headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_a_good_setup_is_silent(find, database):
    with mail_server() as mailbox, redis() as redis_url:
        good = {**PUBLIC, "SMTP_URL": mailbox.url, "REDIS_URL": redis_url, "DB_POOL_SIZE": "5"}
        compose = {"POSTGRES_PASSWORD": "x", "PATH": "/bin", "HOME": "/", "HOSTNAME": "api"}
        heroku = {"PORT": "5000", "STACK": "heroku-24", "LANG": "C", "PYTHONPATH": "/app"}

        assert find(LOCAL if not database.is_postgresql else good) == []
        assert find(good, {**compose, "WEB_CONCURRENCY": "2"}) == []
        assert find(good, heroku, url="") == []
        with public_server(lambda _: {}) as url:
            assert find({**LOCAL, **({} if not database.is_postgresql else good)}, url=url) == []


@pytest.mark.parametrize(
    ("settings", "others", "variable", "message"),
    [
        ({}, {"COOKIE_SAMSITE": "Lax"}, "COOKIE_SAMSITE", "did you mean COOKIE_SAMESITE?"),
        ({}, {"DATABASE_URI": "x"}, "DATABASE_URI", "did you mean DATABASE_URL?"),
        ({}, {"SECRETKEY_FILE": "x"}, "SECRETKEY_FILE", "did you mean SECRET_KEY_FILE?"),
        ({"SECRET_KEY": "change-me-0f3c9b1d7e5a4286b8d2c6f4"}, {}, "SECRET_KEY", "example"),
        ({"SECRET_KEY": SECRET_KEY}, {}, "SECRET_KEY", "example"),
        ({"CORS_ORIGIN": "http://app.example.com"}, {}, "CORS_ORIGIN", "not encrypted"),
        ({"CORS_ORIGIN": "http://localhost:3000"}, {"DYNO": "web.1"}, "CORS_ORIGIN", "local"),
        ({"IMAGE_BASE_URL": "http://cdn.example.com"}, {}, "IMAGE_BASE_URL", "https"),
        ({"PUBLIC_URL": "http://127.0.0.1:9"}, {}, "PUBLIC_URL", "https"),
        ({"PUBLIC_URL": "https://127.0.0.1:9"}, {}, "PUBLIC_URL", "check the address"),
        ({"FRONTEND_URL": "http://localhost:3000"}, {}, "FRONTEND_URL", "local address"),
        ({"MAIL_FROM": "Movies <no-reply@localhost>"}, {}, "MAIL_FROM", "is not your address"),
        (
            {"CORS_ORIGIN": "https://a.vercel.app,https://b.vercel.app"},
            {},
            "COOKIE_SAMESITE",
            "https://a.vercel.app and https://b.vercel.app",
        ),
        (
            {"CORS_ORIGIN": "https://a.vercel.app", "PUBLIC_URL": "https://api.example.com"},
            {},
            "COOKIE_SAMESITE",
            "Strict cookies are not sent",
        ),
        (
            {"COOKIE_SAMESITE": "None", "CORS_ORIGIN": "http://app.example.com"},
            {},
            "COOKIE_SAMESITE",
            "None requires https",
        ),
        ({}, {"DYNO": "web.1"}, "PROXY_HOPS", "set it to 1"),
        ({}, {"FLY_APP_NAME": "movies"}, "PROXY_HOPS", "set it to 2"),
        ({}, {"DYNO": "web.1"}, "S3_BUCKET", "does not persist"),
        ({"RATELIMIT_ENABLED": "false"}, {}, "RATELIMIT_ENABLED", "without limit"),
        ({"ARGON2_MEMORY_KIB": "1024"}, {}, "ARGON2_MEMORY_KIB", "OWASP"),
        ({"LOG_LEVEL": "ERROR"}, {}, "LOG_LEVEL", "audit events"),
        ({"SMTP_URL": ""}, {}, "SMTP_URL", "cannot reset"),
        ({"SMTP_URL": "smtp://127.0.0.1:9"}, {}, "SMTP_URL", "ConnectionRefusedError"),
        ({"REDIS_URL": "redis://127.0.0.1:9/0"}, {}, "REDIS_URL", "does not respond"),
    ],
)  # fmt: skip
@pytest.mark.only_on("sqlite")
def test_a_fault_in_the_settings_is_found(find, settings, others, variable, message):
    found = find({**PUBLIC, **settings}, others)

    assert [each for each in found if each.variable == variable and message in each.message], found


def test_mail_servers_that_reject_the_password_are_found(find):
    with mail_server() as mailbox:
        found = find({**PUBLIC, "SMTP_URL": mailbox.url.replace("//", "//ann:wrong@")})

    assert "SMTP_URL" in [each.variable for each in found if each.level == "fault"]


@pytest.mark.parametrize("is_forged", [True, False])
def test_forgeable_headers_are_found(find, is_forged):
    def headers(sent):
        is_secure = is_forged and sent.get("X-Forwarded-Proto") == "https"
        return {"Strict-Transport-Security": "max-age=1"} if is_secure else {}

    with public_server(headers) as url:
        found = [each for each in find(LOCAL, url=url) if each.variable == "PROXY_HOPS"]

    assert bool(found) is is_forged


def test_a_dotenv_file_that_is_not_read_is_found(find, tmp_path):
    (tmp_path / ".env").write_text("# x\nPROXY_HOPS=1\nexport SMTP_URL=smtp://x\nOTHER=1\nPORT=\n")

    found = find(LOCAL)

    assert [each.variable for each in found if ".env" in each.message] == ["PROXY_HOPS", "SMTP_URL"]


def test_a_secret_file_that_all_can_write_is_found(find, tmp_path):
    path = tmp_path / "smtp"
    path.write_text("smtp://127.0.0.1:9")
    path.chmod(0o666)

    found = find({**LOCAL, "FRONTEND_URL": "https://x.example"}, {"SMTP_URL_FILE": str(path)})

    assert "SMTP_URL_FILE" in [each.variable for each in found]


@pytest.mark.only_on("sqlite")
def test_a_database_without_tables_is_found(empty_database, tmp_path):
    app = app_for(config_for(empty_database.url, tmp_path, **LOCAL))
    with app.app_context():
        [found] = [each for each in doctor.examine({}) if each.variable == "DATABASE_URL"]

    assert (found.level, "db upgrade" in found.message) == ("fault", True)


def test_an_unavailable_database_is_found(tmp_path):
    url = "postgresql://ann@127.0.0.1:9/movies"
    with app_for(config_for(url, tmp_path, **LOCAL)).app_context():
        found = doctor.examine({})

    assert "connection_refused" in [each.message.split(":")[0] for each in found]


@pytest.mark.only_on("postgresql")
def test_a_server_without_rights_index_or_connections_is_found(find, database):
    database.execute("CREATE ROLE doctor LOGIN")
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO doctor")
    database.execute("ALTER INDEX IF EXISTS ix_movies_search RENAME TO ix_hidden")
    try:
        url = database.url.replace("postgres@", "doctor@")
        found = find(
            {**PUBLIC, "DATABASE_URL": url, "DB_POOL_SIZE": "200"}, {"WEB_CONCURRENCY": "9"}
        )
    finally:
        database.execute("ALTER INDEX IF EXISTS ix_hidden RENAME TO ix_movies_search")
        database.execute("DROP OWNED BY doctor")
        database.execute("DROP ROLE doctor")

    text = "\n".join(f"{each.variable}: {each.message}" for each in found)
    for part in (
        "GRANT DELETE ON users",
        "searches are slow",
        "1800 connections",
        "REDIS_URL: 9 proc",
    ):
        assert part.lower() in text.lower()


@pytest.mark.only_on("postgresql")
def test_a_server_that_loses_data_or_time_is_found(find, monkeypatch):
    facts = (
        "SELECT 120000 AS version, clock_timestamp() - interval '1 hour' AS clock, 100 AS slots,"
    )
    facts += " 'LATIN1' AS encoding, 'off' AS fsync, true AS has_index"
    monkeypatch.setattr(doctor, "FACTS", text(facts))

    found = "\n".join(each.message for each in find(PUBLIC))

    for part in ("PostgreSQL 13", "LATIN1", "fsync", "-3600 s off"):
        assert part in found


def test_an_unwritable_folder_and_a_full_disk_are_found(find, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    assert "IMAGE_DIR" in [
        each.variable for each in find({**LOCAL, "IMAGE_DIR": str(tmp_path / "file")})
    ]

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: (10**12, 10**12, 10**6))
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", Path("/nowhere/file").open)
    (tmp_path / "images").mkdir(exist_ok=True)
    found = "\n".join(each.message for each in find(LOCAL))

    assert "0 MiB are free" in found
    assert "tmpfs" in found


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_buckets_are_tried(find, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with s3() as endpoint, mail_server() as mailbox:
        bucket = {"S3_BUCKET": "doctor", "S3_ENDPOINT_URL": endpoint, "S3_REGION": "us-east-1"}
        settings = {**LOCAL, **bucket}
        missing = find(settings)
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="doctor")
        no_rule = find(settings)
        rule = {"AllowedMethods": ["POST"], "AllowedOrigins": ["http://localhost:3000"]}
        client.put_bucket_cors(Bucket="doctor", CORSConfiguration={"CORSRules": [rule]})

        assert ["rejects a test file" in each.message for each in missing] == [True]
        assert ["CORS rule" in each.message for each in no_rule] == [True]
        assert find(settings) == []
        assert client.list_objects_v2(Bucket="doctor")["KeyCount"] == 0
        assert mailbox


@pytest.mark.parametrize(
    ("settings", "code"),
    [(LOCAL, 0), ({**LOCAL, "LOG_LEVEL": "ERROR"}, 1), ({**LOCAL, "SECRET_KEY": SECRET_KEY}, 2)],
)
@pytest.mark.only_on("sqlite")
def test_the_command_exits_with_the_worst_level(make_app, monkeypatch, tmp_path, settings, code):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("movies_api.cli.environment", dict)
    monkeypatch.setattr(doctor.Environment, "is_public", code == 1)
    settings = {**settings, "SMTP_URL": ""}
    runner = make_app(**settings).test_cli_runner()

    plain = runner.invoke(FlaskGroup(), ["doctor"])
    result = runner.invoke(FlaskGroup(), ["doctor", "--json"])

    assert (plain.exit_code, result.exit_code) == (code, code)
    found = json.loads(result.stdout.splitlines()[-1])
    assert all(each.keys() == {"level", "variable", "message"} for each in found)
    assert len(plain.stdout.splitlines()) >= len(found) >= (code > 0)
