"""Rate limits: per client network, and per account."""

import hmac
import re
import time
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any

from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from ..api.errors import abort_rate_limited
from ..config import Config, current_config
from ..logs import log

# Per network, generous: offices and phone networks share one. Per account, strict
PER_NETWORK = {
    "login": parse("60/minute"),
    "signup": parse("200/hour"),
    "refresh": parse("300/minute"),
    "reset": parse("30/hour"),
    "confirm": parse("60/hour"),
    "image": parse("600/hour"),
}
PER_ACCOUNT = {
    "login": parse("10/15 minutes"),
    "password": parse("10/15 minutes"),
    "refresh": parse("60/minute"),
    "reset": parse("5/hour"),
    "image": parse("120/hour"),
    "email": parse("5/hour"),  # each change sends an email
}
# What some proxies write: 192.0.2.1:5678, [2001:db8::1]:99 or [2001:db8::1]
ADDRESS_WITH_PORT = re.compile(r"([0-9.]+):[0-9]+|\[(.*)\](?::[0-9]+)?")
REDIS_TIMEOUTS: dict[str, Any] = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}


def init_rate_limits(app: Flask, config: Config) -> None:
    """Count in this process, or in Redis for all of them."""
    if config.redis_url:
        storage = storage_from_string(config.redis_url, wrap_exceptions=True, **REDIS_TIMEOUTS)
    else:
        storage = storage_from_string("memory://")
    app.extensions["counters"] = FixedWindowRateLimiter(storage)


def hit(action: str, account: str | None = None) -> None:
    """Count an attempt against the client network and the account, or abort with 429."""
    for item, key in _limits_for(action, account):
        try:
            if _counters().hit(item, action, key):
                continue
            until = _counters().get_window_stats(item, action, key).reset_time
        except StorageError as error:
            # The limit fails open: an unavailable counter must not lock users out
            log.error("rate limits are off: %s", error)
            return
        abort_rate_limited(ceil(until - time.time()))


def refund(action: str, account: str | None = None) -> None:
    """Refund an attempt that turned out to be correct."""
    for item, key in _limits_for(action, account):
        try:
            _counters().hit(item, action, key, cost=-1)
        except StorageError as error:
            log.error("rate limits are off: %s", error)
            return


def _counters() -> FixedWindowRateLimiter:
    counters: FixedWindowRateLimiter = current_app.extensions["counters"]
    return counters


def _limits_for(action: str, account: str | None) -> list[tuple[RateLimitItem, str]]:
    if not current_config().ratelimit_enabled:
        return []
    limits = [(PER_NETWORK[action], _client_network())] if action in PER_NETWORK else []
    if account is not None and action in PER_ACCOUNT:
        # the name of a counter must not reveal the account, even to a guess of every email
        key = current_config().secret_keys[0].encode()
        limits.append((PER_ACCOUNT[action], hmac.digest(key, account.encode(), "sha256").hex()))
    return limits


def _client_network() -> str:
    """Return the client IP; for IPv6 its /64 network, which a customer has to themselves."""
    text = request.remote_addr or ""
    if match := ADDRESS_WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    # A dual-stack socket shows IPv4 addresses inside IPv6: their network would be one for all
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
