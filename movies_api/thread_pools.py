"""Thread pools of a worker process: slow requests never use the threads of quick ones.

A view names its pool with `runs_in`; every other view is quick. The pool is chosen once a request
has been received completely, before a thread gets it.
"""

import re
from collections.abc import Iterable
from time import monotonic
from typing import Any

from flask import Flask
from waitress.task import ThreadedTaskDispatcher

MAX_WAIT = 20  # seconds in a queue; routers give up on a response after 30
STUCK_AFTER = 0.4  # seconds without a quick thread starting a request
MAX_UNSENT_BYTES = 256 << 20  # of responses; beyond it no export starts
MAX_QUICK_BODY = 1 << 16
# An image in JSON begins with data:, of which any letter may be escaped
DATA_URL = re.compile(rb"data:|\\u00(?:[46]4|[46]1|[57]4|3a)", re.IGNORECASE)


class Pool(ThreadedTaskDispatcher):
    """Threads and their queue; at most max_waiting requests wait for one."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        super().__init__()
        self.max_waiting = max_waiting
        self.set_thread_count(threads)

    def add_task(self, task: Any) -> None:
        """Append to the queue; waitress's own method also logs the depth of the queue."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()


class ThreadPools:
    """The dispatcher of a waitress server that gives each request to the pool of its view."""

    def __init__(self, app: Flask, quick_threads: int, channels: dict[int, Any]) -> None:
        """Start the threads; `channels` are the open connections by file descriptor."""
        config = app.extensions["movies_api"]
        self.pools = {
            "quick": Pool(quick_threads, 1000),
            "health": Pool(1, 1000),
            "readiness": Pool(4, 100),
            "passwords": Pool(config.argon2_concurrency, 100),
            "images": Pool(config.image_concurrency, 50),
            "thumbnails": Pool(1, 200),
            "imports": Pool(1, 10),
            "exports": Pool(1, 50),
        }
        self.patterns, self.channels = route_patterns(app), channels
        self.is_stopping = False
        self.head: Any = None
        self.head_since = 0.0

    def add_task(self, channel: Any) -> None:
        """Queue the channel's next request, or have it rejected because the queue is full."""
        request = channel.requests[0]
        channel.queued_at = monotonic()
        channel.pool = name = self.pool_of(request)
        pool = self.pools[name]
        is_full = len(pool.queue) >= pool.max_waiting
        if is_full or (name == "exports" and self.unsent_bytes() > MAX_UNSENT_BYTES):
            self.reject(channel)
        else:
            pool.add_task(channel)

    def pool_of(self, request: Any) -> str:
        """Return the name of the pool for a request of waitress's parser."""
        pattern = None if request.error else self.patterns.get(request.command)
        match = pattern and pattern.fullmatch(request.path)
        name = (match and match.lastgroup) or "quick"
        if name == "thumbnails" and "w=" not in request.query:
            return "quick"
        if name == "movies":
            return "images" if may_contain_image(request) else "quick"
        return name

    def reject(self, channel: Any) -> None:
        """Respond with 503 in the health pool, whose thread never waits."""
        channel.requests[0].reject_with = 503
        self.pools["health"].add_task(channel)

    def reject_stuck(self) -> None:
        """Reject queued requests if every quick thread is blocked, for example by a database lock.

        Call it several times a second. Under load alone, the head of the queue keeps changing.
        """
        pool, now = self.pools["quick"], monotonic()
        with pool.lock:
            head = pool.queue[0] if pool.queue else None
            if head is not self.head:
                self.head, self.head_since = head, now
            if head is None or now - self.head_since < STUCK_AFTER:
                return
            stuck, self.head = list(pool.queue), None
            pool.queue.clear()
        for channel in stuck:
            self.reject(channel)

    def unsent_bytes(self) -> int:
        """Return how many bytes of responses wait for slow readers."""
        return sum(getattr(each, "total_outbufs_len", 0) for each in [*self.channels.values()])

    def shutdown(self) -> None:
        """Stop the threads; drop queued requests."""
        for pool in self.pools.values():
            pool.shutdown(timeout=0)


def route_patterns(app: Flask) -> dict[str, re.Pattern[str]]:
    """Return, by method, a pattern of the paths that are not quick; the group names the pool."""
    found: dict[str, dict[str, list[str]]] = {}
    for rule in app.url_map.iter_rules():
        about = getattr(app.view_functions[rule.endpoint], "_apidoc", {})
        if pool := about.get("pool"):
            path = "".join(_path_parts(rule.rule))
            for method in rule.methods or ():
                found.setdefault(method, {}).setdefault(pool, []).append(path)
    return {
        method: re.compile("|".join(f"(?P<{pool}>{'|'.join(paths)})" for pool, paths in by.items()))
        for method, by in found.items()
    }


def _path_parts(rule: str) -> Iterable[str]:
    """Yield the parts of a rule as regular expressions: `<name>` is anything up to a slash."""
    for part in re.split(r"(<[^>]+>)", rule):
        yield "[^/]+" if part.startswith("<") else re.escape(part)


def may_contain_image(request: Any) -> bool:
    """Return whether a JSON body may contain an image, which is slow to decode."""
    if request.body_rcv is None:
        return False
    body = request.body_rcv.getbuf()
    return len(body) > MAX_QUICK_BODY or DATA_URL.search(body.get(MAX_QUICK_BODY)) is not None
