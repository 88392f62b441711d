"""Requests that are made at the same moment, and what is asked of their answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from .servers import HttpResponse


def run_together(calls: list[Callable[[], HttpResponse]]) -> list[HttpResponse]:
    """Make all the calls at the same moment, each in a thread of its own; return their answers."""
    barrier = Barrier(len(calls))

    def wait_and(call: Callable[[], HttpResponse]) -> HttpResponse:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(wait_and, calls))


def wait_for(is_so: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as it is so; fail when it never is."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def statuses(answers: list[HttpResponse]) -> Counter[int]:
    """Count the answers by status, once each error is known to be in the envelope."""
    for answer in answers:
        assert answer.status < 400 or answer.json["error"]["code"]
    return Counter(answer.status for answer in answers)


def cookie_of(answer: HttpResponse) -> str:
    """Return the refresh cookie that an answer hands over."""
    cookie, _, attributes = answer.headers["Set-Cookie"].partition("; ")
    assert "Max-Age=0" not in attributes
    return cookie
