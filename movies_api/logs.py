"""Logs: a line per request, as JSON or text, on stdout (commands: stderr); request ids."""

import logging
import re
import secrets
import sys
from datetime import UTC, datetime
from ipaddress import ip_address
from threading import Lock
from time import perf_counter
from typing import Any, TextIO
from uuid import UUID

import click
import orjson
from flask import Flask, current_app, g, has_request_context, request
from flask.wrappers import Response

from .config import Config, current_config

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What some proxies write: 192.0.2.1:5678, [2001:db8::1]:99 or [2001:db8::1]
ADDRESS_WITH_PORT = re.compile(r"([0-9.]+):[0-9]+|\[(.*)\](?::[0-9]+)?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
PROBES = {"/health", "/ready", "/metrics"}
OUTAGE_INTERVAL = 60  # seconds, per outage and process
log = logging.getLogger("movies_api")
_outages_lock = Lock()


class JsonFormatter(logging.Formatter):
    """Formats records as one JSON object per line; `extra={"fields": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if has_request_context():
            line["requestId"] = g.get("request_id")
            if "trace_id" in g:
                line["traceId"] = g.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


class TextFormatter(logging.Formatter):
    """Formats records as readable lines, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the extra fields at the end."""
        added = " ".join(f"{key}={value}" for key, value in getattr(record, "fields", {}).items())
        # A path may contain line breaks and terminal escape sequences
        return f"{super().format(record)} {CONTROL.sub('?', added)}".rstrip()


def formatter(log_format: str, stream: TextIO) -> logging.Formatter:
    """Return the formatter for json, text or auto (text on a terminal, JSON otherwise)."""
    if log_format == "text" or (log_format == "auto" and stream.isatty()):
        return TextFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    return JsonFormatter()


def init_logs(app: Flask, config: Config) -> None:
    """Set up logging, and a request id and a log line for each request."""
    if not log.handlers:
        # The stdout of a command contains only its result
        context = click.get_current_context(silent=True)
        is_command = context is not None and context.info_name != "run"
        handler = logging.StreamHandler(sys.stderr if is_command else sys.stdout)
        handler.setFormatter(formatter(config.log_format, handler.stream))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(config.log_level)
    for server_handler in logging.getLogger("gunicorn.error").handlers:  # use our format
        if isinstance(server_handler, logging.StreamHandler):
            server_handler.setStream(sys.stdout)
            server_handler.setFormatter(formatter(config.log_format, sys.stdout))
    waitress = logging.getLogger("waitress")
    waitress.handlers = log.handlers
    waitress.setLevel(logging.ERROR)  # it warns of each idle thread at shutdown
    # Our lines do not show the caller, thread or process; finding them takes a third of the time
    logging._srcfile = None  # noqa: SLF001  as the standard library documents
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    app.before_request(start_request)
    app.after_request(log_request)


def audit(event: str, user: UUID | None, **fields: Any) -> None:
    """Log an event of an account; user id and client IP are the only personal data."""
    address = {"clientIp": client_ip()} if has_request_context() else {}
    log.info("audit", extra={"fields": {"event": event, "userId": user, **fields, **address}})


def log_outage(name: str, text: str, *values: object, exc_info: Any = False, **fields: Any) -> None:
    """Log an error, at most once per OUTAGE_INTERVAL for each name."""
    logged: dict[str, float] = current_app.extensions.setdefault("outages", {})
    with _outages_lock:
        if perf_counter() - logged.get(name, -OUTAGE_INTERVAL) < OUTAGE_INTERVAL:
            return
        logged[name] = perf_counter()
    log.error(text, *values, exc_info=exc_info, extra={"fields": fields})


def client_ip() -> str:
    """Return the client IP, or `unknown` if it is not an address."""
    text = request.remote_addr or ""
    if match := ADDRESS_WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    # A dual-stack socket reports IPv4 addresses as IPv4-mapped IPv6 ones
    return str(getattr(address, "ipv4_mapped", None) or address)


def start_request() -> None:
    """Use the client's request id if it is valid; otherwise generate one."""
    # From environ: a lookup of a missing header raises and catches an exception in werkzeug
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    if trace := TRACE.fullmatch(request.environ.get("HTTP_TRACEPARENT", "")):
        g.trace_id = trace[1]
    g.started = perf_counter()


def log_request(response: Response) -> Response:
    """Log the request and return its id in X-Request-ID."""
    request_id, caller = g.request_id, g.get("caller")
    response.headers.add("X-Request-ID", request_id)
    status = response.status_code
    level = logging.ERROR if status >= 500 else logging.INFO
    if status == 503:  # its cause has a line of its own, once a minute
        level = logging.WARNING
    is_probe = status < 400 and request.path in PROBES
    if not log.isEnabledFor(level) or (is_probe and not current_config().log_probes):
        return response
    fields = {
        "requestId": request_id,
        "method": request.method,
        "path": request.path,
        "status": status,
        "ms": round((perf_counter() - g.started) * 1000, 2),
        "userId": caller.id if caller else None,
        "clientIp": client_ip(),
    }
    log.log(level, "request", extra={"fields": fields})
    return response
