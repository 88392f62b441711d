"""Rate limits: per client network, per account, and per account and client network."""

import hmac
import time
from ipaddress import ip_network
from math import ceil
from typing import Any, NoReturn

from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from ..api.errors import abort_rate_limited
from ..config import Config, current_config
from ..logs import client_ip, log, log_outage

# For logins and passwords, only failed attempts are counted
PER_NETWORK = {
    "login": parse("60/minute"),
    "signup": parse("200/hour"),
    "refresh": parse("300/minute"),
    "reset": parse("30/30 minutes"),
    "confirm": parse("60/hour"),
    "image": parse("600/hour"),
}
# Far below those per account, so that one network cannot lock the owner out
PER_ACCOUNT_AND_NETWORK = {
    "login": parse("10/15 minutes"),
    "password": parse("10/15 minutes"),
}
PER_ACCOUNT = {
    "login": parse("100/15 minutes"),
    "password": parse("100/15 minutes"),
    "refresh": parse("60/minute"),
    "reset mail": parse("5/30 minutes"),  # the window is the lifetime of the link
    "image": parse("120/hour"),
    "email": parse("5/hour"),  # each change sends an email
}
REDIS_TIMEOUTS: dict[str, Any] = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}
REDIS_PAUSE = 5  # seconds before an unreachable Redis is tried again
Limit = tuple[RateLimitItem, str, str]


class Counters:
    """Counters in Redis, if it is configured and reachable, else in this process."""

    def __init__(self, config: Config) -> None:
        """Create the counters; the first use connects to Redis."""
        self.redis, self.retry_at = None, 0.0
        self.own = FixedWindowRateLimiter(storage_from_string("memory://"))
        if config.redis_url:
            storage = storage_from_string(config.redis_url, wrap_exceptions=True, **REDIS_TIMEOUTS)
            self.redis = FixedWindowRateLimiter(storage)

    def call(self, method: str, limit: Limit) -> Any:
        """Call a limiter's method; use this process's counters while Redis is unavailable."""
        if self.redis and time.monotonic() >= self.retry_at:
            try:
                return getattr(self.redis, method)(*limit)
            except StorageError as error:
                self.retry_at = time.monotonic() + REDIS_PAUSE
                log_outage(
                    "redis", "Redis is unavailable, rate limits are counted per process: %s", error
                )
        return getattr(self.own, method)(*limit)


def init_rate_limits(app: Flask, config: Config) -> None:
    """Add the counters to the app."""
    app.extensions["counters"] = Counters(config)


def hit(action: str, account: str | None = None) -> None:
    """Count an attempt, or abort with 429; a rejected attempt is not counted."""
    check_limit(action, account)
    for limit in _limits_for(action, account):
        if not _call("hit", limit):  # concurrent attempts have reached the limit
            _abort(action, limit)


def check_limit(action: str, account: str | None = None) -> None:
    """Abort with 429 if a limit is reached; count nothing."""
    if reached := _find_reached(action, account):
        _abort(action, reached)


def is_limit_reached(action: str, account: str | None = None) -> bool:
    """Return whether a limit is reached; count nothing."""
    return _find_reached(action, account) is not None


def count_attempt(action: str, account: str | None = None) -> None:
    """Count an attempt whose result is known."""
    for limit in _limits_for(action, account):
        _call("hit", limit)


def _call(method: str, limit: Limit) -> Any:
    counters: Counters = current_app.extensions["counters"]
    return counters.call(method, limit)


def _find_reached(action: str, account: str | None) -> Limit | None:
    limits = _limits_for(action, account)
    return next((limit for limit in limits if not _call("test", limit)), None)


def _abort(action: str, limit: Limit) -> NoReturn:
    """Abort with 429; warn if the address may be that of a proxy for many clients."""
    forwarded = request.headers.getlist("X-Forwarded-For")
    if forwarded and ",".join(forwarded).count(",") >= current_config().proxy_hops:
        log.warning(
            "rate limit hit by an address that sends X-Forwarded-For: if it is your proxy, its "
            "clients share one limit: increase PROXY_HOPS",
            extra={"fields": {"limit": action, "clientIp": client_ip()}},
        )
    abort_rate_limited(action, ceil(_call("get_window_stats", limit).reset_time - time.time()))


def _limits_for(action: str, account: str | None) -> list[Limit]:
    if not current_config().ratelimit_enabled:
        return []
    limits = []
    if account is not None and action in PER_ACCOUNT:
        # A keyed hash: counter names must not reveal accounts, even if every email is tried
        key = current_config().secret_keys[0].encode()
        name = hmac.digest(key, account.encode(), "sha256").hex()
        limits.append((PER_ACCOUNT[action], action, name))
        if action in PER_ACCOUNT_AND_NETWORK:
            item = PER_ACCOUNT_AND_NETWORK[action]
            limits.append((item, action, f"{name} {_client_network()}"))
    if action in PER_NETWORK:
        limits.append((PER_NETWORK[action], action, _client_network()))
    return limits


def _client_network() -> str:
    """Return the client IP; for IPv6 its /64 network, which one customer has."""
    address = client_ip()
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
