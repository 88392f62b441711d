"""Doctor: checks of a deployment; each finding names a variable and a fix."""

import http.client
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from itertools import chain
from logging import getLevelName
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import sqlalchemy as sa
from flask import Flask
from werkzeug.exceptions import HTTPException

from .config import HOSTING_DOMAINS, MAKE_KEY, SECRETS, Config, current_config, environment
from .config_docs import SERVER
from .db import db
from .health import PROBE, check_database
from .images.storage import Bucket, current_storage
from .logs import log
from .mail import mail_server
from .signers import probe_signer

EXAMPLE = re.compile(
    r"change.?me|example|secret|password|your.?key|insecure|tests.only|default|0123|abcd|(.)\1{3}",
    re.IGNORECASE,
)
LOCAL = re.compile(r"localhost|127\..*|::1|.*\.local(host)?")
HEROKU = "DYNO"  # its disk does not persist
OTHERS = {"POSTGRES_PASSWORD", "FLASK_APP", "FLASK_DEBUG"}  # read by other programs
MIN_FREE_BYTES, MIN_FREE_SHARE = 500 << 20, 0.05
MAX_CLOCK_SECONDS = 5
FACTS = sa.text("""
    SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS clock,
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int AS slots,
        current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
        EXISTS (SELECT FROM pg_indexes WHERE indexname = 'ix_movies_search') AS has_index,
        ARRAY(
            SELECT privilege || ' ON ' || name FROM unnest(:tables) AS name,
                unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
            WHERE NOT has_table_privilege(name, privilege) ORDER BY name, privilege
        ) AS lacking
""")
PROBE_IP = "192.0.2.1"  # a documentation address, which no proxy adds


class Finding(NamedTuple):
    """A problem: an error breaks something, a warning may be intended."""

    level: str
    variable: str
    message: str


error, warning = partial(Finding, "error"), partial(Finding, "warning")


class Environment(NamedTuple):
    """What the checks inspect; `url` is the public address, if known."""

    config: Config
    variables: dict[str, str]
    url: str | None
    at_boot: bool

    @property
    def is_public(self) -> bool:
        """Return whether the service is used by others than its developers."""
        is_local = all(map(_is_local, self.config.cors_origins))
        return not (is_local and self.config.is_embedded) or HEROKU in self.variables

    @property
    def processes(self) -> int:
        """Return the number of processes of gunicorn."""
        text = self.variables.get("WEB_CONCURRENCY", "")
        return int(text) if text.isdecimal() else 2


def examine(
    variables: dict[str, str], url: str | None = None, *, at_boot: bool = False
) -> list[Finding]:
    """Return all findings, errors first; at boot only those that take a few milliseconds."""
    config = current_config()
    url = (url or config.public_url or "").rstrip("/") or None
    env = Environment(config, variables, url, at_boot)
    found = chain.from_iterable(check(env) for check in (QUICK if at_boot else QUICK + SLOW))
    return sorted(found, key=lambda each: each.level)


def check_at_boot(app: Flask) -> None:
    """Log the findings, and why the database cannot serve; the service starts anyway."""
    with app.app_context():
        check_database()
        db.engine.dispose()  # forked workers must not share a connection
        for each in examine(environment(), at_boot=True):
            log.log(getLevelName(each.level.upper()), "%s: %s", each.variable, each.message)


def check_variables(env: Environment) -> Iterator[Finding]:
    """Find misspelt variables."""
    known = {each.metadata["variable"] for each in fields(Config)} | {each[0] for each in SERVER}
    known |= {f"{each}_FILE" for each in SECRETS} | OTHERS
    for name in sorted(env.variables.keys() - known):
        if close := get_close_matches(name, known, 1, 0.86):
            yield warning(name, f"is not a setting: did you mean {close[0]}?")


def check_keys(env: Environment) -> Iterator[Finding]:
    """Find secrets that others may know."""
    if any(map(EXAMPLE.search, env.config.secret_keys)):
        yield error("SECRET_KEY", f"looks like an example, which others know: {MAKE_KEY}")
    paths = {f"{each}_FILE": env.variables.get(f"{each}_FILE") for each in sorted(SECRETS)}
    for variable, path in {"SECRET_KEY": env.config.instance_dir / "secret_key", **paths}.items():
        if path and Path(path).exists() and Path(path).stat().st_mode & 0o002:
            yield error(variable, f"all users can write {path}: chmod 600 {path}")


def check_origins(env: Environment) -> Iterator[Finding]:
    """Find URLs that browsers block, and local ones that users cannot open."""
    config = env.config
    for origin in config.cors_origins:
        if origin.startswith("http:") and not _is_local(origin):
            yield error("CORS_ORIGIN", f"{origin} is not encrypted: serve the frontend over https.")
    if env.is_public and all(map(_is_local, config.cors_origins)):
        yield warning("CORS_ORIGIN", "allows only local origins: add the origin of your frontend.")
    is_https = any(each.startswith("https:") for each in config.cors_origins)
    for variable in ("IMAGE_BASE_URL", "S3_ENDPOINT_URL", "PUBLIC_URL"):
        if is_https and (getattr(config, variable.lower()) or "").startswith("http:"):
            yield error(variable, "is http, which browsers block on https pages: use https.")
    if config.smtp_url and env.is_public and _is_local(config.frontend_url):
        yield error("FRONTEND_URL", "emails link to a local address: set it to the frontend's.")
    if config.smtp_url and config.mail_from.endswith(("@localhost", "@localhost>")):
        yield error("MAIL_FROM", "is not your address, so mail may be rejected: set it to one.")


def check_cookie(env: Environment) -> Iterator[Finding]:
    """Find a refresh cookie that browsers do not send."""
    samesite = env.config.cookie_samesite
    urls = [each for each in (*env.config.cors_origins, env.url or "") if each.startswith("http")]
    if samesite == "None":
        if any(each.startswith("http:") and not _is_local(each) for each in urls):
            yield error("COOKIE_SAMESITE", "None requires https: use https, or Strict.")
        return
    sites = {_site_of(each, env.at_boot) for each in urls if not _is_local(each)}
    if len(sites) > 1:
        between = " and ".join(sorted(sites))
        fix = "use one domain, forward calls through the frontend, or set it to None"
        yield error("COOKIE_SAMESITE", f"{samesite} cookies are not sent between {between}: {fix}.")


def check_platform(env: Environment) -> Iterator[Finding]:
    """Find too few proxies, and data on a disk that does not persist."""
    for marker, hops in ((HEROKU, 1), ("FLY_APP_NAME", 2)):
        if marker in env.variables and env.config.proxy_hops < hops:
            yield error("PROXY_HOPS", f"all clients share one rate limit: set it to {hops}.")
    if HEROKU in env.variables and not env.config.s3_bucket:
        yield error("S3_BUCKET", "the disk of a dyno does not persist: set it, or images are lost.")
    elif not (env.config.is_embedded or env.config.s3_bucket or env.variables.get("IMAGE_DIR")):
        yield warning("IMAGE_DIR", "images may be lost: set it to a disk that persists.")
    if HEROKU in env.variables and env.config.is_embedded:
        fix = "add PostgreSQL, or all data is lost"
        yield error("DATABASE_URL", f"the disk of a dyno does not persist: {fix}.")


def check_request(env: Environment) -> Iterator[Finding]:
    """Send a request to the public address, and find what the proxies change about it."""
    if env.url is None:
        return
    probe = probe_signer(env.config.secret_keys).sign(PROBE_IP).decode()
    request = Request(f"{env.url}/health", headers={PROBE: probe, "X-Forwarded-For": PROBE_IP})  # noqa: S310
    try:
        with urlopen(request, timeout=5) as response:  # noqa: S310
            proxies, headers = response.headers.get(PROBE), response.headers
    except (OSError, ValueError, http.client.HTTPException) as reason:
        yield error("PUBLIC_URL", f"{env.url}/health: {reason}: check the address and the proxy.")
        return
    hops = env.config.proxy_hops
    if proxies is None:
        fix = "check the address, and run doctor with the service's SECRET_KEY"
        yield warning("PUBLIC_URL", f"another service responds at {env.url}: {fix}.")
    elif int(proxies) != hops:
        risk = "clients can forge their IP" if int(proxies) < hops else "clients share an IP"
        yield error("PROXY_HOPS", f"{risk}: set it to {proxies}, the number of proxies.")
    elif env.url.startswith("https:") and "Strict-Transport-Security" not in headers:
        yield error("PROXY_HOPS", "https appears as http: set X-Forwarded-Proto in the proxy.")


def check_protection(env: Environment) -> Iterator[Finding]:
    """Find disabled and weak protections of a public service."""
    config = env.config
    if not env.is_public:
        return
    if config.redis_url is None and env.processes > 1 and not config.is_embedded:
        yield warning("REDIS_URL", f"{env.processes} processes do not share rate limits: set it.")
    if not config.ratelimit_enabled:
        yield error("RATELIMIT_ENABLED", "passwords can be guessed without limit: set it to true.")
    if config.argon2_memory_kib * config.argon2_time_cost < 2 * 19456:
        yield warning("ARGON2_MEMORY_KIB", "hashes are below OWASP's minimum: use the defaults.")
    if config.log_level in {"WARNING", "ERROR"}:
        yield warning("LOG_LEVEL", "audit events and requests are not logged: set it to INFO.")
    if config.smtp_url is None:
        yield warning("SMTP_URL", "users cannot reset their password: set it to a mail server.")


def check_servers(env: Environment) -> Iterator[Finding]:
    """Ping Redis, and log in to the mail server."""
    if env.config.redis_url:
        from redis import RedisError, from_url  # noqa: PLC0415  optional dependency

        try:
            from_url(env.config.redis_url, socket_timeout=3, socket_connect_timeout=3).ping()
        except RedisError as reason:
            name = type(reason).__name__
            yield error("REDIS_URL", f"Redis does not respond ({name}): check host and password.")
    if env.config.smtp_url:
        try:
            with mail_server():
                pass
        except OSError as reason:
            fix = "check scheme, host, port, user and password"
            yield error("SMTP_URL", f"mail login failed ({type(reason).__name__}): {fix}.")


def check_storage(env: Environment) -> Iterator[Finding]:
    """Write, read, list and delete a file; look at the CORS rules of a bucket."""
    storage, name = current_storage(), f"images/.draft-{uuid4().hex}"
    try:
        storage.put(name, b"", "text/plain")
        if file := storage.open(name):
            file.close()
        next(iter(storage.names("images/")), None)
        storage.remove([name])
    except (HTTPException, OSError):
        if env.config.s3_bucket:
            fix = "check name, region, endpoint, keys and permissions: put, get, list and delete"
            yield error("S3_BUCKET", f"rejects a test file (see the error in the log): {fix}.")
        else:
            yield error("IMAGE_DIR", "images cannot be stored: make it writable for the service.")
        return
    if isinstance(storage, Bucket) and (missing := _origins_without_cors(env, storage)):
        yield warning("S3_BUCKET", f"does not allow uploads from {missing}: add a CORS rule.")


def _origins_without_cors(env: Environment, bucket: Bucket) -> str:
    error_type = bucket.client.exceptions.ClientError
    try:
        rules = bucket.client.get_bucket_cors(Bucket=bucket.bucket)["CORSRules"]
    except error_type as reason:
        if reason.response["Error"]["Code"] != "NoSuchCORSConfiguration":
            return ""  # the credentials may not read the rules
        rules = []
    allowed = {origin for rule in rules for origin in rule["AllowedOrigins"]}
    return "" if "*" in allowed else ", ".join(sorted(set(env.config.cors_origins) - allowed))


def check_disk(env: Environment) -> Iterator[Finding]:
    """Find a full disk, or a temporary directory that is not writable."""
    try:
        with tempfile.TemporaryFile():
            pass
    except OSError:
        yield error("TMPDIR", "no temporary file can be written: mount a tmpfs on /tmp, or set it.")
    config = env.config
    folders = {"INSTANCE_DIR": config.is_embedded and config.instance_dir}
    folders["IMAGE_DIR"] = not config.s3_bucket and config.image_dir
    for variable, folder in folders.items():
        if folder and folder.is_dir():
            total, _, free = shutil.disk_usage(folder)
            if free < min(MIN_FREE_BYTES, total * MIN_FREE_SHARE):
                yield warning(variable, f"{free >> 20} MiB are free in {folder}: free up space.")


def check_database_server(env: Environment) -> Iterator[Finding]:
    """Check the connection, the privileges and the server of the database."""
    if cause := check_database():
        yield error("DATABASE_URL", cause.text.removeprefix("DATABASE_URL: "))
        return
    if env.config.is_embedded:
        return
    with db.engine.connect() as connection:
        facts = connection.execute(FACTS, {"tables": [*db.metadata.tables]}).one()
    if facts.lacking:
        fix = f"GRANT {'; GRANT '.join(facts.lacking)}"
        yield error("DATABASE_URL", f"the user lacks privileges: {fix}.")
    if facts.version < 130000:
        yield warning("DATABASE_URL", "the server is older than PostgreSQL 13: upgrade it.")
    if facts.encoding != "UTF8":
        yield error("DATABASE_URL", f"encoding {facts.encoding}: recreate it with ENCODING 'UTF8'.")
    if facts.fsync == "off":
        yield error("DATABASE_URL", "a crash of the server can destroy all data: set fsync = on.")
    if not facts.has_index:
        yield warning("DATABASE_URL", "searches are slow: create pg_trgm and ix_movies_search.")
    if (needed := env.config.db_pool_size * env.processes) > facts.slots:
        fix = "lower it or WEB_CONCURRENCY, or use PgBouncer"
        yield warning("DB_POOL_SIZE", f"{needed} connections of {facts.slots} may be used: {fix}.")
    if abs(seconds := (facts.clock - datetime.now(UTC)).total_seconds()) > MAX_CLOCK_SECONDS:
        yield error("DATABASE_URL", f"its clock is {seconds:.0f} s off: synchronize both by NTP.")


def _is_local(url: str) -> bool:
    return LOCAL.fullmatch(urlsplit(url).hostname or "") is not None


def _site_of(url: str, at_boot: bool) -> str:
    """Return scheme and registrable domain, without publicsuffixlist only a guess."""
    parts = urlsplit(url.replace("*.", ""))
    host = parts.hostname or ""
    is_hosting = any(host.endswith(f".{each}") for each in HOSTING_DOMAINS)
    site: str | None = ".".join(host.split(".")[-3 if is_hosting else -2 :])
    if not at_boot and find_spec("publicsuffixlist"):
        from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  optional dependency

        site = PublicSuffixList().privatesuffix(host)
    return f"{parts.scheme}://{site or host}"


QUICK: tuple[Callable[[Environment], Iterable[Finding]], ...] = (
    *(check_variables, check_keys, check_origins, check_cookie, check_platform, check_protection),
    check_disk,
)
SLOW = (check_request, check_servers, check_storage, check_database_server)
