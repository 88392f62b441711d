"""flask doctor: each error, planted alone, is found; a good setup is silent."""

import json
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from flask.cli import FlaskGroup
from sqlalchemy import text
from werkzeug.serving import make_server

from movies_api import doctor
from movies_api.health import PROBE
from movies_api.signers import probe_signer

from ..conftest import app_for, config_for
from ..servers import SECRET_KEY, gunicorn, mail_server, redis, s3

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
def public_server(app, proxies, *, keeps_forged=True):
    """Serve an app behind proxies that append to X-Forwarded-For; the first may replace it."""

    def application(environ, start_response):
        sent = environ.get("HTTP_X_FORWARDED_FOR") if keeps_forged else None
        entries = [sent, *(f"10.0.0.{number}" for number in range(proxies))]
        environ["HTTP_X_FORWARDED_FOR"] = ", ".join(filter(None, entries))
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """Settings of an S3 server, and its client; the credentials are in a file, as in Docker."""
    (tmp_path / "keys").write_text("[default]\naws_access_key_id=x\naws_secret_access_key=x\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    with s3() as endpoint:
        settings = {"S3_BUCKET": "doctor", "S3_ENDPOINT_URL": endpoint, "S3_REGION": "us-east-1"}
        yield settings, boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def allow_uploads(client, origin):
    """Add a CORS rule."""
    rule = {"AllowedMethods": ["POST"], "AllowedOrigins": [origin]}
    client.put_bucket_cors(Bucket="doctor", CORSConfiguration={"CORSRules": [rule]})


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_a_good_embedded_setup_is_silent(find, make_app):
    with public_server(make_app(**LOCAL), 0) as url:
        assert find(LOCAL, url=url) == []


@pytest.mark.slow
@pytest.mark.only_on("postgresql")
def test_a_good_setup_of_compose_or_a_platform_is_silent(find, make_app, bucket):
    with mail_server() as mailbox, redis() as redis_url:
        good = {**PUBLIC, "SMTP_URL": mailbox.url, "REDIS_URL": redis_url, "DB_POOL_SIZE": "5"}
        good |= {"PROXY_HOPS": "1", "WEB_CONCURRENCY": "2"}
        compose = {"POSTGRES_PASSWORD": "x", "DOMAIN": "api.example.com", "HOSTNAME": "api"}
        compose["IMAGE_DIR"] = "/data/images"
        heroku = {"DYNO": "web.1", "PORT": "5000", "STACK": "heroku-24", "PYTHONPATH": "/app"}
        settings, client = bucket
        client.create_bucket(Bucket="doctor")
        allow_uploads(client, "https://app.example.com")

        # The bucket of the test has no https
        platform = {**good, **settings, "COOKIE_SAMESITE": "Lax"}
        with public_server(make_app(**good), 1) as url:
            assert find(good, compose, url) == []
            found = find(platform, heroku, url)
        assert [each.variable for each in found] == ["S3_ENDPOINT_URL"]


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
        ({}, {"DYNO": "web.1"}, "DATABASE_URL", "does not persist"),
        ({"RATELIMIT_ENABLED": "false"}, {}, "RATELIMIT_ENABLED", "without limit"),
        ({"ARGON2_MEMORY_KIB": "1024"}, {}, "ARGON2_MEMORY_KIB", "OWASP"),
        ({"LOG_LEVEL": "ERROR"}, {}, "LOG_LEVEL", "audit events"),
        ({"SMTP_URL": ""}, {}, "SMTP_URL", "cannot reset"),
        ({"SMTP_URL": "smtp://127.0.0.1:9"}, {}, "SMTP_URL", "ConnectionRefusedError"),
        ({"REDIS_URL": "redis://127.0.0.1:9/0"}, {}, "REDIS_URL", "does not respond"),
    ],
)  # fmt: skip
@pytest.mark.only_on("sqlite")
def test_an_error_in_the_settings_is_found(find, settings, others, variable, message):
    found = find({**PUBLIC, **settings}, others)

    [each] = [each for each in found if each.variable == variable and message in each.message]
    assert re.search(": .|did you mean", each.message)  # then what to do


def test_mail_servers_that_reject_the_password_are_found(find):
    with mail_server() as mailbox:
        found = find({**PUBLIC, "SMTP_URL": mailbox.url.replace("//", "//ann:wrong@")})

    assert "SMTP_URL" in [each.variable for each in found if each.level == "error"]


@pytest.mark.parametrize("keeps_forged", [True, False])
@pytest.mark.parametrize("proxies", [0, 1, 2, 3])
@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.only_on("sqlite")
def test_another_number_of_proxies_is_found(find, make_app, hops, proxies, keeps_forged):
    settings = {**LOCAL, "PROXY_HOPS": str(hops)}
    with public_server(make_app(**settings), proxies, keeps_forged=keeps_forged) as url:
        found = [each.message for each in find(settings, url=url)]

    risk = "clients can forge their IP" if proxies < hops else "clients share an IP"
    fix = f"set it to {proxies}"
    assert [(risk in each, fix in each) for each in found] == [(True, True)] * (proxies != hops)


@pytest.mark.only_on("sqlite")
def test_a_proxy_that_hides_https_is_found(find, make_app, monkeypatch):
    settings, real = {**LOCAL, "PROXY_HOPS": "1"}, doctor.Request
    plain = lambda url, **values: real(url.replace("https", "http"), **values)  # noqa: E731
    monkeypatch.setattr(doctor, "Request", plain)
    with public_server(make_app(**settings), 1) as url:
        [found] = find(settings, url=url.replace("http", "https"))

    assert (found.variable, "X-Forwarded-Proto" in found.message) == ("PROXY_HOPS", True)


@pytest.mark.only_on("sqlite")
def test_a_service_with_another_key_is_found(find, make_app):
    with public_server(make_app(SECRET_KEY=SECRET_KEY), 0) as url:
        [found] = find(LOCAL, url=url)

    assert (found.level, found.variable) == ("warning", "PUBLIC_URL")


@pytest.mark.only_on("sqlite")
def test_probes_of_others_get_no_number(make_app, clock):
    app = make_app()
    probe = probe_signer((SECRET_KEY,)).sign("192.0.2.1").decode()
    get = lambda probe: app.test_client().get("/health", headers={PROBE: probe}).headers  # noqa: E731
    assert get(probe)[PROBE] == "0"
    assert PROBE not in get(f"{probe}x")

    clock.advance(seconds=61)
    assert PROBE not in get(probe)


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_findings_are_logged_once_at_boot(database, migrated_app):
    settings = {**PUBLIC, "COOKIE_SAMSITE": "Lax", "REDIS_URL": ""}
    with gunicorn(database.url, workers=2, **settings) as service:
        service.stop()
        lines = [json.loads(line) for line in service.log.splitlines()]

    found = [line for line in lines if line["message"].startswith("COOKIE_SAMSITE: ")]
    assert [line["level"] for line in found] == ["WARNING"]


@pytest.mark.only_on("sqlite")
def test_boot_needs_neither_network_nor_the_suffix_list(make_app, monkeypatch):
    settings = {**PUBLIC, "PUBLIC_URL": "https://127.0.0.1:9", "REDIS_URL": "redis://127.0.0.1:9"}
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    monkeypatch.setattr("socket.create_connection", None)

    with make_app(**settings).app_context():
        assert doctor.examine(settings, at_boot=True) == []


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

    assert (found.level, "db upgrade" in found.message) == ("error", True)


def test_an_unavailable_database_is_found(tmp_path):
    url = "postgresql://ann@127.0.0.1:9/movies"
    with app_for(config_for(url, tmp_path, **LOCAL)).app_context():
        found = doctor.examine({})

    assert "connection refused" in [each.message.split(":")[0] for each in found]


def test_images_in_the_default_directory_are_found(tmp_path):
    url = "postgresql://ann@127.0.0.1:9/movies"
    with app_for(config_for(url, tmp_path, **LOCAL)).app_context():
        default = doctor.examine({}, at_boot=True)
        chosen = doctor.examine({"IMAGE_DIR": "/srv/images"}, at_boot=True)
    with app_for(config_for(url, tmp_path, **LOCAL, S3_BUCKET="films")).app_context():
        chosen += doctor.examine({}, at_boot=True)

    assert "IMAGE_DIR" in [each.variable for each in default]
    assert "IMAGE_DIR" not in [each.variable for each in chosen]


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
    facts += " 'LATIN1' AS encoding, 'off' AS fsync, true AS has_index, '{}'::text[] AS lacking"
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
def test_buckets_are_tried(find, bucket):
    settings, client = {**LOCAL, **bucket[0]}, bucket[1]
    missing = find(settings)
    client.create_bucket(Bucket="doctor")
    no_rule = find(settings)
    allow_uploads(client, "http://localhost:3000")

    assert ["rejects a test file" in each.message for each in missing] == [True]
    assert ["CORS rule" in each.message for each in no_rule] == [True]
    assert find(settings) == []
    assert client.list_objects_v2(Bucket="doctor")["KeyCount"] == 0


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
