"""Prometheus metrics of all processes; imported only if METRICS_TOKEN is set."""

import hmac
import re
from functools import lru_cache
from time import perf_counter
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .api.blueprint import public, runs_in
from .api.errors import abort_with, limit_exceeded
from .config import current_config, environment
from .db import db
from .db.prepared import statement_prepared
from .mail import mail_finished

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
REQUESTS = Counter("http_requests", "Responses.", ("method", "route", "status"))
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time to process a request, without the time in the queue.",
    ("method", "route"),
    buckets=SECONDS,
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests in progress.", multiprocess_mode="livesum")
WAIT = Histogram(
    "queue_wait_seconds", "Time in the queue of a thread pool.", ("pool",), buckets=SECONDS
)
CONNECTIONS = Gauge(
    "database_connections_in_use", "Connections in use.", multiprocess_mode="livesum"
)
EMAILS = Counter("emails", "Emails by result: sent or failed.", ("result",))
REJECTED = Counter("rejected_by_limits", "Rejected by a rate limit or quota.", ("limit",))
PREPARED = Counter("statements_prepared", "Statements prepared on a connection.")


def init_metrics(app: Flask) -> None:
    """Count requests, connections and emails, and serve /metrics."""
    app.before_request(start_counting)
    app.after_request(count_response)
    app.add_url_rule("/metrics", view_func=get_metrics)
    app.teardown_appcontext_funcs.insert(0, end_counting)  # runs last


@public
@runs_in("readiness")
def get_metrics() -> Response:
    """Return the metrics of all processes."""
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {current_config().metrics_token}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        abort_with(401, "INVALID_TOKEN", "Send METRICS_TOKEN as a bearer token.")
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in environment():  # set by gunicorn.conf.py
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def start_counting() -> None:
    """Count the request as in progress, and record its time in the queue."""
    g.is_counted = True
    IN_FLIGHT.inc()
    if waited := request.environ.get("movies_api.waited"):
        _wait_in(waited[0]).observe(waited[1])


def count_response(response: Response) -> Response:
    """Count the response by route, not by path."""
    rule = request.url_rule.rule if request.url_rule else "none"
    count, duration = _metrics_of(request.method, rule, response.status_code)
    count.inc()
    duration.observe(perf_counter() - g.started)
    return response


def end_counting(_error: BaseException | None) -> None:
    """Count the request as finished, and the connections that other requests use."""
    if g.pop("is_counted", False):
        IN_FLIGHT.dec()
    pool: Any = db.engine.pool
    CONNECTIONS.set(pool.checkedout())  # prepared statements bypass pool events


@mail_finished.connect
def count_email(result: str) -> None:
    """Count an email."""
    EMAILS.labels(result).inc()


@limit_exceeded.connect
def count_rejection(limit: str) -> None:
    """Count a request that a limit rejects."""
    REJECTED.labels(limit).inc()


@statement_prepared.connect
def count_prepared(_sender: object) -> None:
    """Count a statement that is prepared."""
    PREPARED.inc()


@lru_cache(maxsize=1024)
def _metrics_of(method: str, rule: str, status: int) -> tuple[Any, Any]:
    method = method if rule != "none" else "any"  # clients send any method to unknown paths
    route = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule)  # as in the OpenAPI document
    return REQUESTS.labels(method, route, status), DURATION.labels(method, route)


_wait_in = lru_cache(maxsize=64)(WAIT.labels)
