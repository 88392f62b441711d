"""Settings from environment variables; all invalid ones are reported together, by name."""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from email.policy import default
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values, find_dotenv, load_dotenv
from flask import current_app
from flask.helpers import get_load_dotenv
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

MINIMUM_KEY_LENGTH = 32
MAKE_KEY = "generate one with `python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
SECRETS = {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "SMTP_URL", "METRICS_TOKEN", "SENTRY_DSN"}
WILDCARD = re.compile(r"https?://\*\.[a-z0-9-]+(\.[a-z0-9-]*[a-z][a-z0-9-]*)+(:[0-9]+)?")
# Domains of hosting providers, whose customers get subdomains
HOSTING_DOMAINS = (
    *("herokuapp.com", "vercel.app", "netlify.app", "onrender.com", "fly.dev", "railway.app"),
    *("pages.dev", "workers.dev", "web.app", "firebaseapp.com", "appspot.com", "run.app"),
    *("amazonaws.com", "amplifyapp.com", "awsapprunner.com", "cloudfront.net", "github.io"),
    *("azurewebsites.net", "azurestaticapps.net", "azurecontainerapps.io", "windows.net"),
    *("gitlab.io", "ondigitalocean.app", "deno.dev", "koyeb.app", "replit.app", "replit.dev"),
    *("ngrok.io", "ngrok.app", "ngrok-free.app", "trycloudflare.com", "lovable.app", "surge.sh"),
    *("github.dev", "gitpod.io", "csb.app", "stackblitz.io", "webcontainer.io", "framer.app"),
)


class ConfigError(Exception):
    """The settings are invalid; the message has one line for each, with the fix."""


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for integers from low to high."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be an integer between {low} and {high}")
        return int(text)

    return read


parse_timeout = integer_between(10, 3_600_000)


def choice(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts one of the choices in any case."""

    def read(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"must be one of: {', '.join(choices)}")

    return read


def parse_folder(text: str) -> Path:
    """Return an absolute path."""
    if "\0" in text:
        raise ValueError("must be the path of a directory")
    return Path(text).absolute()


def parse_database_url(text: str) -> str:
    """Return the URL with its driver; platforms set postgres://, which SQLAlchemy rejects."""
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", text)
    if not text.startswith("sqlite"):
        _check_userinfo(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ValueError("must be a URL such as postgresql://user:password@host/name") from error
    if url.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg2"}:
        raise ValueError("must be a postgresql:// or sqlite:/// URL without another driver")
    if (url.database or ":memory:").startswith((":memory:", "file:")):
        raise ValueError("must name a database: postgresql://.../name or sqlite:///path")
    if not 0 < (url.port or 5432) < 65536:
        raise ValueError("the port must be between 1 and 65535")
    return text


def _check_userinfo(text: str) -> None:
    """Raise a ValueError if the user or the password contains unescaped special characters.

    A `:` in the password and an `@` in the query, as in `?user=ann@example.com`, are allowed.
    """
    rest = text.partition("://")[2]
    userinfo = re.match(r"[^:/?]*(:[^@]*)?@", rest)  # as make_url matches it
    if "@" in rest[userinfo.end() if userinfo else 0 :].partition("?")[0] or (
        userinfo and re.search(r"[/?#\[\]\s]|%(?![0-9A-Fa-f]{2})", userinfo[0])
    ):
        raise ValueError(
            "percent-encode special characters of the user and the password: "
            "@ is %40, / is %2F, # is %23, ? is %3F, % is %25"
        )


def parse_secret_keys(text: str) -> tuple[str, ...]:
    """Return the keys, newest first; raise a ValueError for short keys and placeholders."""
    keys = tuple(key.strip() for key in text.split(","))
    for number, key in enumerate(keys, 1):
        if len(key) < MINIMUM_KEY_LENGTH or len(set(key)) < 10:
            raise ValueError(
                f"key {number} of {len(keys)} is weak: it must have at least "
                f"{MINIMUM_KEY_LENGTH} characters, 10 of them different; {MAKE_KEY}"
            )
    return keys


def parse_origins(text: str) -> tuple[str, ...]:
    """Return origins; with credentials, a `*` alone would let any site act as the user."""
    origins = tuple(_parse_origin(part.strip()) for part in text.split(",") if part.strip())
    if not origins:
        raise ValueError("must list at least one origin, such as https://app.example.com")
    return origins


def _parse_origin(text: str) -> str:
    origin = text.rstrip("/").lower()
    # Besides http(s), only the schemes of apps and extensions, so that a typo is an error
    schemes = r"(https?|app|capacitor|ionic|tauri|chrome-extension|moz-extension)"
    host = r"((\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]|\.)"
    if "*" in origin and not WILDCARD.fullmatch(origin):
        raise ValueError(
            "`*` must be the whole first label of a host, as in https://*.preview.example.com"
        )
    url = urlsplit(origin)
    if not re.fullmatch(rf"{schemes}://{host}(:[0-9]{{1,5}})?", origin) or url.port == 0:
        raise ValueError(f"{text!r} must be an origin: scheme://host[:port] without a path")
    if url.port and url.port == {"http": 80, "https": 443}.get(url.scheme):
        raise ValueError(
            f"must not name the default port, which browsers omit: remove it from {text!r}"
        )
    if "*" in origin and _is_shared_domain((url.hostname or "").removeprefix("*.")):
        raise ValueError(
            f"others can register names that match {text!r}: `*` must be below your own domain; "
            "below a country-code domain, name three labels, as in https://*.example.co.uk"
        )
    return origin


def _is_shared_domain(domain: str) -> bool:
    """Return whether subdomains of the domain may belong to others.

    The public suffix list changes every week, and a copy that is too old would fail open. So a
    domain of two labels is accepted only below a generic top-level domain: co.uk is not.
    """
    *_, name, top = domain.split(".")
    is_country = len(top) == 2 or top.startswith("xn--")
    has_two_labels = f"{name}.{top}" == domain
    is_hosting = any(f".{domain}".endswith(f".{host}") for host in HOSTING_DOMAINS)
    return (is_country and has_two_labels) or is_hosting


@lru_cache(maxsize=8)
def origin_pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that matches exactly these origins; `*` stands for one label."""
    escaped = [re.escape(origin).replace(r"\*", "[a-z0-9-]+") for origin in origins]
    return re.compile(rf"(?:{'|'.join(escaped)})\Z")


def url_with(start: str, example: str) -> Callable[[str], str]:
    """Return a parser for URLs whose start matches the pattern."""

    def read(text: str) -> str:
        try:
            url = urlsplit(text)
            is_valid = re.match(start, text, re.IGNORECASE) and url.hostname and url.port != 0
        except ValueError:  # its message may contain part of the password
            is_valid = False
        if not is_valid:
            raise ValueError(f"must be a URL such as {example}; percent-encode special characters")
        return text

    return read


def parse_switch(text: str) -> bool:
    """Return True for `true` and False for `false`."""
    return choice("true", "false")(text) == "true"


def parse_mailbox(text: str) -> str:
    """Return a sender such as `Movies <movies@example.com>`."""
    header: Any = default.header_factory("From", text)
    if header.defects or len(header.addresses) != 1 or not header.addresses[0].domain:
        raise ValueError("must be one address, such as Movies <movies@example.com>")
    return text


def parse_base_url(text: str) -> str:
    """Return an http or https URL without a trailing slash."""
    url = urlsplit(text.rstrip("/"))
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("must be an http(s) URL without a query, such as https://cdn.example.com")
    return url._replace(netloc=url.netloc.lower()).geturl()


def parse_base_urls(text: str) -> tuple[str, ...]:
    """Return http or https URLs without trailing slashes."""
    return tuple(parse_base_url(part.strip()) for part in text.split(",") if part.strip())


def parse_token(text: str) -> str:
    """Return a token that cannot be guessed."""
    if len(text) < 16:
        raise ValueError("must have at least 16 characters")
    return text


def with_extra(extra: str, module: str, read: Callable[[str], str]) -> Callable[[str], str]:
    """Return a parser that raises a ValueError if the optional dependency is not installed."""

    def read_if_installed(text: str) -> str:
        if find_spec(module) is None:
            raise ValueError(f"requires {module}: pip install 'movies_api[{extra}]'")
        return read(text)

    return read_if_installed


def setting(variable: str, read: Callable[[str], Any], default: str | None) -> Any:
    """Declare a field of Config: its variable, its parser and its default as text."""
    metadata = {"variable": variable, "read": read, "default": default}
    return field(metadata=metadata, repr=variable not in SECRETS)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings; `config-docs` writes the texts to docs/configuration.md and .env.example."""

    instance_dir: Path = setting("INSTANCE_DIR", parse_folder, "instance")
    """Directory of the SQLite database, the generated secret key and images."""
    database_url: str = setting("DATABASE_URL", parse_database_url, None)
    """PostgreSQL: `postgresql://user:password@host:5432/name` (`postgres://` works too);
    percent-encode special characters of the password. SQLite: `sqlite:///path`. Unset: the
    SQLite file movies.db in `INSTANCE_DIR`."""
    secret_keys: tuple[str, ...] = setting("SECRET_KEY", parse_secret_keys, None)
    """Signs access tokens, refresh cookies, cursors, upload URLs and the links in emails. At least
    32 characters, the same for every process; required with PostgreSQL. Several keys are
    separated by commas, the newest first. Unset: a key is generated and kept in `INSTANCE_DIR`."""
    cors_origins: tuple[str, ...] = setting("CORS_ORIGIN", parse_origins, "http://localhost:3000")
    """Origins of the frontends (`scheme://host[:port]`, separated by commas). Their pages may
    call the API with the refresh cookie and read its responses. Apps and extensions have origins
    too: `capacitor://localhost`, `tauri://localhost`, `chrome-extension://<id>`. A `*` stands for
    one whole label below a domain of your own: `https://*.preview.example.com`."""
    proxy_hops: int = setting("PROXY_HOPS", integer_between(0, 10), "0")
    """Number of trusted proxies in front of the service; `flask doctor` measures it. Client IP,
    scheme, host and path prefix are taken from their X-Forwarded-For, -Proto, -Host and -Prefix,
    which clients can forge if the number is too high. Heroku: 1; rewrites of Next.js: one more."""
    public_url: str | None = setting("PUBLIC_URL", parse_base_url, None)
    """Public address of the service, with its path prefix: `https://api.example.com`. URLs in
    responses start with it. Unset: the request's address; with `PROXY_HOPS`, that of the proxy."""
    former_urls: tuple[str, ...] = setting("FORMER_URLS", parse_base_urls, "")
    """Earlier values of `PUBLIC_URL` and `IMAGE_BASE_URL`, separated by commas: image URLs in
    requests and imports that start with one are recognized as images of this service."""
    cookie_samesite: str = setting("COOKIE_SAMESITE", choice("Strict", "Lax", "None"), "Strict")
    """`Strict` or `Lax` when frontend and API are on the same site. `None` (implies Secure
    and Partitioned; does not work in Safari) when they are on different sites."""
    max_body_bytes: int = setting("MAX_BODY_BYTES", integer_between(1024, 1 << 30), "65536")
    """Largest request body in bytes. Requests that create or update a movie may contain an
    image in addition. Larger bodies are rejected with 413."""
    argon2_memory_kib: int = setting("ARGON2_MEMORY_KIB", integer_between(8, 1 << 22), "19456")
    """Memory of one password hash (Argon2id) in KiB. After a change of any `ARGON2_*` cost,
    each password is rehashed at the next login."""
    argon2_time_cost: int = setting("ARGON2_TIME_COST", integer_between(1, 100), "2")
    """Passes of one password hash."""
    argon2_parallelism: int = setting("ARGON2_PARALLELISM", integer_between(1, 16), "1")
    """Lanes of one password hash."""
    argon2_concurrency: int = setting("ARGON2_CONCURRENCY", integer_between(1, 64), "2")
    """Password hashes at the same time in a process, each with `ARGON2_MEMORY_KIB`; others wait."""
    redis_url: str | None = setting(
        "REDIS_URL", url_with("rediss?://", "redis://:password@host:6379/0"), None
    )
    """Redis server that all processes share for rate limits: `redis://:password@host:6379/0`, or
    `rediss://` for TLS. Unset: each process counts separately."""
    ratelimit_enabled: bool = setting("RATELIMIT_ENABLED", parse_switch, "true")
    """`false` disables all rate limits, for tests and load tests."""
    frontend_url: str = setting("FRONTEND_URL", parse_base_url, "http://localhost:3000")
    """Address of the frontend, with its path, which emails link to. Required with `SMTP_URL`."""
    smtp_url: str | None = setting(
        "SMTP_URL", url_with("smtps?://", "smtps://user:password@host:465"), None
    )
    """Mail server: `smtps://user:password@host:465`, or `smtp://user:password@host:587` for
    STARTTLS. Unset: with SQLite, emails are written to the log; with PostgreSQL, password reset
    by email responds 501."""
    mail_from: str = setting("MAIL_FROM", parse_mailbox, "Movies <no-reply@localhost>")
    """Sender of emails."""
    db_pool_size: int = setting("DB_POOL_SIZE", integer_between(1, 200), "10")
    """Maximum number of PostgreSQL connections per process. All processes together must stay below
    the server's max_connections. A process never uses more connections than threads."""
    db_statement_timeout_ms: int = setting("DB_STATEMENT_TIMEOUT_MS", parse_timeout, "10000")
    """Timeout of one SQL statement in milliseconds; the response is then a 503. Behind PgBouncer,
    set this and the next for the role in PostgreSQL (docs/operations.md)."""
    db_lock_timeout_ms: int = setting("DB_LOCK_TIMEOUT_MS", parse_timeout, "2000")
    """Timeout in milliseconds for waiting for a lock, or on SQLite for another writer."""
    db_import_timeout_ms: int = setting("DB_IMPORT_TIMEOUT_MS", parse_timeout, "30000")
    """Timeout of one statement of an import in milliseconds, including waiting for locks."""
    image_dir: Path = setting("IMAGE_DIR", lambda text: Path(text).absolute(), None)
    """Directory of images without a bucket; must persist. Unset: `images` in `INSTANCE_DIR`."""
    image_base_url: str | None = setting("IMAGE_BASE_URL", parse_base_url, None)
    """Base URL of /images/, such as that of a CDN. Unset: `PUBLIC_URL`, or that of the request."""
    image_max_bytes: int = setting("IMAGE_MAX_BYTES", integer_between(1024, 1 << 28), "10485760")
    """Largest image in bytes."""
    image_max_pixels: int = setting("IMAGE_MAX_PIXELS", integer_between(1, 80_000_000), "30000000")
    """Largest image in pixels, including all frames; docs/images.md has the limits of each
    format. Decoding uses up to 12 bytes of memory per pixel."""
    image_concurrency: int = setting("IMAGE_CONCURRENCY", integer_between(1, 64), "1")
    """Images decoded at the same time in one process; others wait."""
    s3_bucket: str | None = setting("S3_BUCKET", with_extra("s3", "boto3", str), None)
    """Bucket for images, on S3 or a compatible store, if the disk does not persist, as on Heroku.
    boto3 finds the credentials: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, the file
    `AWS_SHARED_CREDENTIALS_FILE`, or the machine's role. Unset: images are files in `IMAGE_DIR`."""
    s3_endpoint_url: str | None = setting("S3_ENDPOINT_URL", parse_base_url, None)
    """Endpoint of an S3-compatible store; browsers must be able to reach it. Unset: AWS."""
    s3_region: str | None = setting("S3_REGION", str, None)
    """Region of the bucket. Unset: the one that boto3 finds."""
    s3_upload: str = setting("S3_UPLOAD", choice("post", "put"), "post")
    """How browsers upload to the bucket: `post` (a form), or `put` for stores without forms."""
    import_max_bytes: int = setting("IMPORT_MAX_BYTES", integer_between(1024, 1 << 30), "33554432")
    """Largest import file in bytes."""
    import_max_rows: int = setting("IMPORT_MAX_ROWS", integer_between(1, 10_000_000), "150000")
    """Largest number of rows of an import file; each needs up to 700 bytes of memory and 0.1 ms."""
    max_movies_per_user: int = setting("MAX_MOVIES_PER_USER", integer_between(1, 10**9), "100000")
    """Quota of movies per account; requests that exceed a quota (docs/api.md) respond 403."""
    max_image_bytes_per_user: int = setting(
        "MAX_IMAGE_BYTES_PER_USER", integer_between(1024, 10**12 - 1), "1000000000"
    )
    """Quota of image bytes per account: the stored size of all its uploaded images."""
    max_tokens_per_user: int = setting("MAX_TOKENS_PER_USER", integer_between(1, 10_000), "100")
    """Quota of unexpired API tokens per account."""
    max_sessions_per_user: int = setting("MAX_SESSIONS_PER_USER", integer_between(1, 10_000), "100")
    """Quota of logins per account; a new login ends the least recently used one."""
    metrics_token: str | None = setting(
        "METRICS_TOKEN", with_extra("metrics", "prometheus_client", parse_token), None
    )
    """Bearer token of Prometheus for /metrics, at least 16 characters. Unset: no metrics."""
    sentry_dsn: str | None = setting(
        "SENTRY_DSN",
        with_extra(
            "sentry", "sentry_sdk", url_with("https?://[^/]*@", "https://key@sentry.example.com/1")
        ),
        None,
    )
    """DSN of Sentry: exceptions are sent to it without personal data. Unset: only to the log."""
    log_format: str = setting("LOG_FORMAT", choice("auto", "json", "text"), "auto")
    """Format of the log: `json`, `text`, or `auto` (text on a terminal, JSON otherwise)."""
    log_level: str = setting("LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
    """Lowest level that is logged: `DEBUG`, `INFO` (requests), `WARNING` or `ERROR`."""
    log_probes: bool = setting("LOG_PROBES", parse_switch, "true")
    """`false` omits successful requests for /health, /ready and /metrics from the log."""

    @property
    def is_embedded(self) -> bool:
        """Return whether the database is a SQLite file; then every setting has a default."""
        return self.database_url.startswith("sqlite")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Read all settings; raise one ConfigError that names every invalid one."""
        values: dict[str, Any] = {}
        environ, errors = _read_secret_files(environ)
        for each in fields(cls):
            variable, default = each.metadata["variable"], each.metadata["default"]
            text = environ.get(variable, "") or default
            try:
                values[each.name] = None if text is None else each.metadata["read"](text)
            except ValueError as error:
                shown = "(not shown)" if variable in SECRETS else repr(text)
                errors.append(f"{variable}={shown}: {error}")
        errors += _apply_defaults(values, environ)
        if errors:
            raise ConfigError("\n".join(["The settings are invalid:", *errors]))
        return cls(**values)


def _read_secret_files(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables, with secrets from the files in *_FILE variables, and errors."""
    found, errors = {name: text.strip() for name, text in environ.items()}, []
    for variable in sorted(SECRETS):
        if not (path := found.get(f"{variable}_FILE")):
            continue
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "must contain text in UTF-8"
            errors.append(f"{variable}_FILE={path!r}: cannot be read ({reason})")
            continue
        if not text:
            errors.append(f"{variable}_FILE={path!r}: the file is empty")
        elif found.get(variable):
            errors.append(f"{variable} and {variable}_FILE are both set: remove one")
        found[variable] = found.get(variable) or text
    return found, errors


def _apply_defaults(values: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Fill in the defaults of embedded mode; return errors that concern several settings."""
    errors = []
    url = environ.get("DATABASE_URL")
    has_server = url and not url.startswith("sqlite")
    if has_server and not environ.get("SECRET_KEY"):
        reason = "with a database server, all processes must share one"
        errors.append(f"SECRET_KEY is missing: {reason}: {MAKE_KEY}")
    if values.get("argon2_memory_kib", 8) < 8 * values.get("argon2_parallelism", 1):
        errors.append("ARGON2_MEMORY_KIB must be at least 8 times ARGON2_PARALLELISM")
    if values.get("smtp_url") and not environ.get("FRONTEND_URL"):
        errors.append("FRONTEND_URL is missing: with SMTP_URL, emails link to it")
    if not environ.get("S3_BUCKET"):
        given = filter(environ.get, ("S3_ENDPOINT_URL", "S3_REGION"))
        errors += [
            f"S3_BUCKET is missing: {variable} has no effect without it" for variable in given
        ]
    if "instance_dir" not in values:
        return errors
    folder = values["instance_dir"]
    if "image_dir" in values:
        values["image_dir"] = values["image_dir"] or folder / "images"
    if has_server or "database_url" not in values:
        return errors
    values["database_url"] = values["database_url"] or f"sqlite:///{folder / 'movies.db'}"
    return errors + _prepare_instance_dir(values, folder)


def _prepare_instance_dir(values: dict[str, Any], folder: Path) -> list[str]:
    """Create the directory, and the secret key if none is set; return errors."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
        if values.get("secret_keys", ()) is None:
            values["secret_keys"] = parse_secret_keys(_load_or_create_secret(folder))
    except OSError as error:
        return [f"INSTANCE_DIR={str(folder)!r}: must be a writable directory ({error.strerror})"]
    except ValueError:
        return [f"SECRET_KEY: the key in {folder / 'secret_key'} is damaged: delete the file"]
    database = Path(make_url(values["database_url"]).database or "")
    if not database.parent.is_dir():
        return [f"DATABASE_URL: the directory {str(database.parent)!r} does not exist: create it"]
    return []


def _load_or_create_secret(folder: Path) -> str:
    """Return the secret key in the directory; the first of several processes creates it."""
    path = folder / "secret_key"
    if not path.exists():
        with NamedTemporaryFile("w", dir=folder, prefix=".secret_key.") as draft:  # mode 0600
            draft.write(secrets.token_urlsafe(48))
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):  # another process was first
                os.link(draft.name, path)  # atomic
    return path.read_text().strip()


def load_env_file() -> str | None:
    """Add the variables of .env that are not set, as Flask does; return what was read, if any."""
    if not get_load_dotenv() or not (path := find_dotenv(usecwd=True)):
        return None
    load_dotenv(path)
    read = [name for name, text in dotenv_values(path).items() if text == os.environ.get(name)]
    return f"{len(read)} variables from {path}"


def environment() -> dict[str, str]:
    """Return the environment variables that are not blank."""
    return {name: text for name, text in os.environ.items() if text.strip()}


def current_config() -> Config:
    """Return the settings of the current app."""
    config: Config = current_app.extensions["movies_api"]
    return config
