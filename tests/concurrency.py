"""Helpers for concurrent requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from .servers import HttpResponse


def run_parallel(calls: list[Callable[[], HttpResponse]]) -> list[HttpResponse]:
    """Run all calls at the same moment, each in its own thread; return their responses."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], HttpResponse]) -> HttpResponse:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as the condition holds; fail after a timeout."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


def statuses(responses: list[HttpResponse]) -> Counter[int]:
    """Count the responses by status; fail if an error has no envelope."""
    for response in responses:
        assert response.status < 400 or response.json["error"]["code"]
    return Counter(response.status for response in responses)


def cookie_of(response: HttpResponse) -> str:
    """Return the refresh cookie that a response sets."""
    cookie, _, attributes = response.headers["Set-Cookie"].partition("; ")
    assert "Max-Age=0" not in attributes
    return cookie
