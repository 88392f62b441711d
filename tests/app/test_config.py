"""Settings: read in one place, all errors reported together."""

import re
import subprocess
import sys

import pytest

from movies_api.config import SECRETS, Config, ConfigError

from ..servers import CHECKOUT, SECRET_KEY

SERVER = "postgresql://ann:s3cr3t-pw@db.example.com/movies"


@pytest.fixture
def read(tmp_path):
    """A function that reads the settings from the given variables."""
    return lambda **variables: Config.from_environ({"INSTANCE_DIR": str(tmp_path), **variables})


@pytest.fixture
def errors(read):
    """A function that returns the lines of the error that the given variables raise."""

    def errors(**variables):
        with pytest.raises(ConfigError) as raised:
            read(**variables)
        return str(raised.value).splitlines()

    return errors


def test_default_is_embedded_mode(read, tmp_path):
    config = read()

    assert config.is_embedded
    assert config.database_url == f"sqlite:///{tmp_path}/movies.db"
    assert config.cors_origins == ("http://localhost:3000",)
    assert config.proxy_hops == 0
    assert config.cookie_samesite == "Strict"


def test_default_argon2_settings_follow_owasp(read):
    config = read()

    assert (config.argon2_memory_kib, config.argon2_time_cost, config.argon2_parallelism) == (
        19456,
        2,
        1,
    )


def test_secret_key_is_generated_once_with_mode_0600(read, tmp_path):
    [secret] = read().secret_keys

    [stored] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.read_text().strip() == secret
    assert len(secret) >= 32
    assert read().secret_keys == (secret,)


def test_configured_secret_key_is_not_written(read, tmp_path):
    assert read(SECRET_KEY=SECRET_KEY).secret_keys == (SECRET_KEY,)
    assert list(tmp_path.iterdir()) == []


def test_postgresql_requires_secret_key(errors):
    lines = errors(DATABASE_URL=SERVER)

    assert [line for line in lines if "SECRET_KEY" in line]
    assert "s3cr3t-pw" not in "\n".join(lines)


@pytest.mark.parametrize(
    "key",
    ["short", "x" * 64, "changeme" * 8, "abc" * 20, f"{SECRET_KEY},short", f"{SECRET_KEY},", ","],
)
def test_weak_secret_key_is_rejected_and_not_shown(errors, key):
    lines = errors(DATABASE_URL=SERVER, SECRET_KEY=key)

    assert [line for line in lines if "SECRET_KEY" in line]
    assert SECRET_KEY not in "\n".join(lines)
    assert key not in "\n".join(lines) or len(key) < 3


def test_secret_key_accepts_a_list(read):
    older = "older-0f3c9b1d7e5a4286b8d2c6f4a1e09753"

    assert read(DATABASE_URL=SERVER, SECRET_KEY=f"{SECRET_KEY}, {older}").secret_keys == (
        SECRET_KEY,
        older,
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_database_url_scheme_is_normalized(read, scheme):
    url = SERVER.replace("postgresql", scheme)

    assert read(DATABASE_URL=url, SECRET_KEY=SECRET_KEY).database_url == SERVER.replace(
        "postgresql", "postgresql+psycopg2"
    )


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://ann:s3cr3t-pw@db/movies", "://", "postgresql//ann:s3cr3t-pw@db/movies", "postgresql://ann:s3cr3t-pw@db:99999/movies", "postgresql://ann:s3cr3t-pw@db:x/movies", "sqlite://", "sqlite:///file::memory:?uri=true", "sqlite:////nowhere/to/be/found.db"],
)  # fmt: skip
def test_unsupported_database_url_is_rejected_and_not_shown(errors, url):
    lines = errors(DATABASE_URL=url, SECRET_KEY=SECRET_KEY)

    assert [line for line in lines if "DATABASE_URL" in line]
    assert "s3cr3t-pw" not in "\n".join(lines)


@pytest.mark.parametrize(
    "password",
    ["p@ss-w0rd", "p@ss/w0rd", "p/ss-w0rd", "p#ss-w0rd", "p?ss-w0rd", "p?s=s@w0rd", "p[ss-w0rd", "12/w0rd", "p%ss-w0rd", "w0rd%", "p:@ss-w0rd", "@w0rd"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", ":5432", "/movies", ":5432/movies?sslmode=require"])
def test_unescaped_database_password_is_rejected_and_not_shown(errors, password, end):
    [_, line] = errors(DATABASE_URL=f"postgres://ann:{password}@db{end}", SECRET_KEY=SECRET_KEY)

    assert line.startswith("DATABASE_URL=(not shown): percent-encode")
    assert "w0rd" not in line
    assert "ss-" not in line


def test_unescaped_database_user_is_rejected(errors):
    [_, line] = errors(DATABASE_URL="postgres://a/nn:secret@db/movies", SECRET_KEY=SECRET_KEY)

    assert "percent-encode" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example.com/movies",
        "postgresql://ann@db.example.com/movies",
        "postgresql://ann:p%40ss%2Fw%23rd%3F%25%5B@db.example.com:5432/movies?sslmode=require",
        "postgresql://ann:pass:word@db.example.com/movies",
        "postgresql://ann:p!$&'()*+,;=~._-@db.example.com/movies",
        "postgresql://ann:@db.example.com/movies",
        "postgresql://ann:secret@[::1]:5432/movies",
        "postgresql:///movies",
        "postgresql:///movies?host=/var/run/postgresql",
        "postgresql://ann:secret@/movies?host=/cloudsql/project:region:movies",
        "postgresql:///movies?host=/var/run/postgresql&user=ann@example.com",
        "postgresql://db.example.com/movies?user=ann@example.com",
        "postgresql://%2Fvar%2Frun/movies",
        "postgresql://ann:secret@db/movies?options=-csearch_path%3Dmovies&application_name=movies@web",
    ],
)
def test_valid_database_url_is_accepted(read, url):
    config = read(DATABASE_URL=url, SECRET_KEY=SECRET_KEY)

    assert config.database_url == url.replace("postgresql", "postgresql+psycopg2", 1)


@pytest.mark.parametrize("name", ["a@b#c%d.db", "[movies].db"])
def test_special_characters_in_sqlite_path_are_accepted(read, tmp_path, name):
    assert read(DATABASE_URL=f"sqlite:///{tmp_path}/{name}").is_embedded


BAD_ORIGINS = [
    *("https://*", "https://*.com", "*://*.example.com", "https://pr-*.example.com"),
    *("https://*.*.example.com", "https://app.*.example.com", "https://**.example.com"),
    *("https://*.example.com:443", "https://*.example.com/x", "capacitor://*.example.com"),
    *("https://*.co.uk", "https://*.example.io", "https://*.xn--p1ai", "https://*.0.0.1"),
    *(
        "htps://app.example.com",
        "file:///x",
        "chrome-extension://",
        "javascript://x",
        "https://a..b",
    ),
    *[
        f"https://*.{suffix}"
        for suffix in (
            *(
                "herokuapp.com",
                "vercel.app",
                "netlify.app",
                "onrender.com",
                "fly.dev",
                "railway.app",
            ),
            *("up.railway.app", "ann.vercel.app", "github.io", "pages.dev", "web.app"),
            *("azurewebsites.net", "centralus.azurestaticapps.net", "s3.amazonaws.com"),
        )
    ],
]


@pytest.mark.parametrize(
    "origin",
    [
        *("capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://."),
        *("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "http://tauri.localhost"),
        *("https://*.preview.example.com", "https://*.example.com", "https://*.example.co.uk"),
        *("http://*.dev.example.com:3000", "http://[::1]:3000", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_may_be_that_of_an_app_or_a_wildcard_label(read, origin):
    assert read(CORS_ORIGIN=origin).cors_origins == (origin,)


def test_a_frontend_may_have_a_path(read):
    url = "https://example.com/App"

    assert read(FRONTEND_URL=f"{url}/").frontend_url == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CORS_ORIGIN", "*"),
        *[("CORS_ORIGIN", origin) for origin in BAD_ORIGINS],
        ("CORS_ORIGIN", "https://ok.example,*"),
        ("CORS_ORIGIN", "example.com"),
        ("CORS_ORIGIN", "https://example.com/app"),
        ("CORS_ORIGIN", "ftp://example.com"),
        ("CORS_ORIGIN", "null"),
        ("CORS_ORIGIN", "https://ann@example.com"),
        ("CORS_ORIGIN", "https://exa mple.com"),
        ("CORS_ORIGIN", "https://example.com?x=1"),
        ("PROXY_HOPS", "-1"),
        ("PROXY_HOPS", "one"),
        ("PROXY_HOPS", "1.5"),
        ("COOKIE_SAMESITE", "Sometimes"),
        ("MAX_BODY_BYTES", "64k"),
        ("ARGON2_MEMORY_KIB", "0"),
        ("ARGON2_TIME_COST", "x"),
        ("DB_POOL_SIZE", "0"),
        ("DB_STATEMENT_TIMEOUT_MS", "0"),
        ("DB_LOCK_TIMEOUT_MS", "2s"),
        ("DB_IMPORT_TIMEOUT_MS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("RATELIMIT_ENABLED", "yes"),
        ("FRONTEND_URL", "https://example.com/app?x=1"),
        ("FRONTEND_URL", "javascript:alert(1)"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_FROM", "Ann, Bob <ann@example.com>"),
        ("MAIL_FROM", "ann@example.com, bob@example.com"),
    ],
)
def test_config_error_names_variable_value_and_fix(errors, variable, value):
    [line] = [line for line in errors(**{variable: value}) if variable in line]

    assert value.rpartition(",")[2] in line
    assert re.search(r"\b(must|list)\b", line, re.IGNORECASE)


@pytest.mark.parametrize("variable", ["REDIS_URL", "SMTP_URL"])
@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://ann:s3cr3t-pw@host", "{}://", "{}://ann:s3cr3t-pw@host:x", "{}://ann:s3cr3t-pw@host:0", "{}://ann:s3cr3t-pw/@host"],
)  # fmt: skip
def test_malformed_server_url_is_rejected_and_not_shown(errors, variable, url):
    lines = errors(**{variable: url.format(variable[:-4].lower()), "FRONTEND_URL": "http://x"})

    [line] = [line for line in lines if variable in line]
    assert "must be a URL" in line
    assert "s3cr3t-pw" not in line


def test_invalid_database_url_requires_secret_key_too(errors):
    lines = errors(DATABASE_URL="mysql://ann@db/movies")

    assert [line for line in lines if line.startswith("DATABASE_URL=")]
    assert [line for line in lines if line.startswith("SECRET_KEY is missing")]


@pytest.mark.parametrize("key", ["", SECRET_KEY])
def test_unwritable_instance_dir_is_rejected(errors, tmp_path, key):
    (tmp_path / "file").write_text("in the way")

    [line] = errors(INSTANCE_DIR=str(tmp_path / "file"), SECRET_KEY=key)[1:]

    assert line.startswith(f"INSTANCE_DIR='{tmp_path}/file': must be a writable directory")


@pytest.mark.parametrize("variable", ["S3_REGION", "S3_ENDPOINT_URL"])
def test_s3_settings_require_bucket(errors, variable):
    assert [line for line in errors(**{variable: "https://x"}) if line.startswith("S3_BUCKET")]


def test_smtp_url_requires_frontend_url(errors, read):
    assert [line for line in errors(SMTP_URL="smtp://host") if "FRONTEND_URL" in line]
    assert read(SMTP_URL="smtp://host", FRONTEND_URL="https://app.example.com").smtp_url


def test_all_config_errors_are_reported_together(errors):
    text = "\n".join(
        errors(
            DATABASE_URL=SERVER, CORS_ORIGIN="*", PROXY_HOPS="x", LOG_LEVEL="y", COOKIE_SAMESITE="z"
        )
    )

    for variable in ("SECRET_KEY", "CORS_ORIGIN", "PROXY_HOPS", "LOG_LEVEL", "COOKIE_SAMESITE"):
        assert variable in text


def test_empty_variable_equals_unset(read):
    assert read(PROXY_HOPS="", CORS_ORIGIN=" ", DATABASE_URL="").is_embedded


def test_cors_origin_is_normalized(read):
    config = read(CORS_ORIGIN="https://App.Example.com/, http://localhost:3000")

    assert config.cors_origins == ("https://app.example.com", "http://localhost:3000")


def test_config_repr_hides_secrets(read):
    config = read(DATABASE_URL=SERVER, SECRET_KEY=SECRET_KEY)

    assert SECRET_KEY not in repr(config)
    assert "s3cr3t-pw" not in repr(config)


def test_config_is_immutable(read):
    with pytest.raises(AttributeError):
        read().proxy_hops = 2


@pytest.mark.parametrize("variable", ["THREADS", "PORT"])
def test_invalid_gunicorn_setting_is_rejected(variable, tmp_path):
    started = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "wsgi:app"],
        cwd=CHECKOUT,
        env={"INSTANCE_DIR": str(tmp_path), "FLASK_SKIP_DOTENV": "1", variable: "abc"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode != 0
    assert f"{variable}='abc': must be an integer" in started.stderr
    assert "Traceback" not in started.stderr


def test_only_config_reads_the_environment():
    sources = [path for path in (CHECKOUT / "movies_api").rglob("*.py") if path.name != "config.py"]

    assert sources
    assert [path for path in sources if re.search(r"os\.environ|getenv", path.read_text())] == []


@pytest.mark.slow
def test_concurrent_processes_share_the_generated_secret(tmp_path):
    code = "from movies_api.config import Config; print(*Config.from_environ({'INSTANCE_DIR': %r}).secret_keys)"
    command = [sys.executable, "-c", code % str(tmp_path)]

    started = [
        subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]

    assert len({process.communicate()[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("SECRET_KEY", SECRET_KEY, "secret_keys"),
        ("DATABASE_URL", SERVER, "database_url"),
        ("REDIS_URL", "redis://:s3cr3t-pw@host/0", "redis_url"),
        ("SMTP_URL", "smtp://ann:s3cr3t-pw@host", "smtp_url"),
        ("METRICS_TOKEN", "s3cr3t-pw-of-metrics", "metrics_token"),
        ("SENTRY_DSN", "https://s3cr3t-pw@sentry.example.com/1", "sentry_dsn"),
    ],
)
def test_a_secret_can_be_in_a_file(read, tmp_path, variable, value, field):
    (tmp_path / "secret").write_text(f"{value}\n")
    others = {"FRONTEND_URL": "https://x.example", "SECRET_KEY": SECRET_KEY}
    others.pop(variable, None)

    config = read(**others, **{f"{variable}_FILE": str(tmp_path / "secret")})

    assert getattr(config, field) == getattr(read(**others, **{variable: value}), field)
    assert "s3cr3t-pw" not in repr(config)


@pytest.mark.parametrize("variable", sorted(SECRETS))
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("folder", "cannot be read (Is a directory)"),
        (b" \n", "the file is empty"),
        (b"\xff", "cannot be read (must contain text in UTF-8)"),
        (b"s3cr3t-pw", "are both set: remove one"),
    ],
)
def test_a_secret_of_an_unusable_file_is_rejected(errors, tmp_path, variable, content, message):
    path = tmp_path / "secret"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    also = {variable: "s3cr3t-pw"} if content == b"s3cr3t-pw" else {}

    lines = errors(**{f"{variable}_FILE": str(path)}, **also)

    assert [line for line in lines if f"{variable}_FILE" in line and message in line]
    assert "s3cr3t-pw" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("variable", "module", "invalid", "valid"),
    [
        ("METRICS_TOKEN", "prometheus_client", "short", "a token of the tests"),
        ("SENTRY_DSN", "sentry_sdk", "https://sentry.example.com/1", "https://k@s.example.com/1"),
        ("S3_BUCKET", "boto3", None, "images"),
    ],
)
def test_optional_packages_are_required(
    errors, read, monkeypatch, variable, module, invalid, valid
):
    monkeypatch.setattr("movies_api.config.find_spec", lambda _: True)
    assert getattr(read(**{variable: valid}), variable.lower()) == valid
    if invalid:
        assert any(
            f"{variable}=(not shown): must" in line for line in errors(**{variable: invalid})
        )

    monkeypatch.setattr("movies_api.config.find_spec", lambda _: None)

    [line] = errors(**{variable: valid})[1:]
    assert f"requires {module}: pip install" in line


def test_a_file_without_a_name_is_not_set(read):
    assert read(SECRET_KEY_FILE=" ").is_embedded


@pytest.mark.slow
@pytest.mark.parametrize("is_skipped", [False, True])
@pytest.mark.parametrize(
    "command",
    [f"gunicorn -c {CHECKOUT}/gunicorn.conf.py --print-config wsgi:app", "flask --app wsgi routes"],
)
def test_a_dotenv_file_is_read_by_every_start(tmp_path, command, is_skipped):
    text = "# Comment\nPORT=4321\nLOG_FORMAT='json'\nINSTANCE_DIR=data\nPROXY_HOPS=x\nTHREADS=\n"
    (tmp_path / ".env").write_text(text)
    environment = {"PROXY_HOPS": "1", "PYTHONPATH": ":".join([str(CHECKOUT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        env={**environment, "FLASK_SKIP_DOTENV": str(int(is_skipped))},
        capture_output=True,
        text=True,
        check=True,
    )

    line = f"settings: 4 variables from {tmp_path}/.env"
    assert (f'"message":"{line}"' in done.stdout + done.stderr) is not is_skipped
    assert (tmp_path / "data").is_dir() is not is_skipped
    if command.startswith("gunicorn"):
        assert ("0.0.0.0:4321" in done.stdout) is not is_skipped
