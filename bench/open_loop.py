"""Load at a constant rate that records every write, to find lost and duplicated ones."""

import asyncio
import json
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from .load import CONNECTION_ERRORS, Client
from .scenarios import User, http

RATE = 200  # requests per second
MAX_REQUESTS = 20_000
TIMEOUT = 10  # seconds until a request has failed
BEFORE, AFTER = 2, 3  # seconds of load before and after the event
MAX_IDLE = 5  # seconds; shorter than proxies keep a connection, so that none is closed in use
RETRIES = 30  # of a create that failed, one a second, with the same Idempotency-Key
# In this order, ten requests: creates and updates are 40%
MIX = ("create", "list", "update", "get", "list", "create", "health", "update", "list", "get")


@dataclass
class Movie:
    """A movie whose creation was acknowledged, and its ETag."""

    user: User
    id: int
    title: str
    etag: str


class OpenLoop:
    """Users who send requests at a constant rate, whether or not responses arrive."""

    def __init__(self, name: str, url: str, tls: ssl.SSLContext | None, users: list[User]) -> None:
        """Store the target; `name` begins the titles of the created movies."""
        self.name, self.url, self.tls, self.users = name, url, tls, users
        self.idle: list[tuple[Client, float]] = []
        self.movies: deque[Movie] = deque()
        # The notes that each acknowledged movie may have: two while an update is not acknowledged
        self.expected: dict[str, set[str]] = {}
        self.sent = 0
        self.failures: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.failed_at: list[float] = []
        self.slowest = 0.0

    async def run(self, event: Callable[[], None]) -> None:
        """Send requests while `event` runs in a thread, and some seconds before and after."""
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._run_event(event))
            while not running.done() and self.sent < MAX_REQUESTS:
                due = started + self.sent / RATE
                await asyncio.sleep(max(0, due - time.perf_counter()))
                action = getattr(self, f"_{MIX[self.sent % len(MIX)]}")
                group.create_task(action(self.sent, self.users[self.sent % len(self.users)]))
                self.sent += 1
            await running
        for client, _ in self.idle:
            client.close()

    async def _run_event(self, event: Callable[[], None]) -> None:
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(event)
        await asyncio.sleep(AFTER)

    async def _health(self, _number: int, _user: User) -> None:
        await self._send("GET /health", 200, http("GET", "/health"))

    async def _list(self, _number: int, user: User) -> None:
        await self._send("GET /movies", 200, http("GET", "/movies", user))

    async def _get(self, number: int, user: User) -> None:
        if not self.movies:
            return await self._list(number, user)
        movie = random.choice(self.movies)
        await self._send("GET /movies/{id}", 200, http("GET", f"/movies/{movie.id}", movie.user))
        return None

    async def _create(self, number: int, user: User) -> None:
        title = f"{self.name} {number}"
        data = http("POST", "/movies", user, {"title": title, "notes": "new"})
        data = with_header(data, f"Idempotency-Key: {title}")
        for attempt in range(RETRIES):
            status, body, etag = await self._send("POST /movies", 201, data, is_retry=attempt > 0)
            if status == 201:
                self.expected[title] = {"new"}
                self.movies.append(Movie(user, json.loads(body)["id"], title, etag))
                return
            await asyncio.sleep(1)

    async def _update(self, number: int, user: User) -> None:
        if not self.movies:
            return await self._list(number, user)
        movie, notes = self.movies.popleft(), str(number)  # no two updates of one at a time
        data = http("PATCH", f"/movies/{movie.id}", movie.user, {"notes": notes})
        self.expected[movie.title].add(notes)
        data = with_header(data, f"If-Match: {movie.etag}")
        status, _, movie.etag = await self._send("PATCH /movies/{id}", 200, data)
        if status == 200:
            self.expected[movie.title] = {notes}
            self.movies.append(movie)
        return None

    async def _send(
        self, what: str, expected: int, data: bytes, *, is_retry: bool = False
    ) -> tuple[int, bytes, str]:
        """Send a request once; return status, body and ETag, and record failures of no retries."""
        started = time.perf_counter()
        self.idle = [each for each in self.idle if started - each[1] < MAX_IDLE]
        client = self.idle.pop()[0] if self.idle else Client(self.url, self.tls)
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await client.exchange(data)
            self.idle.append((client, time.perf_counter()))
        except CONNECTION_ERRORS as error:
            client.close()
            status, body = 0, repr(error).encode()
        self.slowest = max(self.slowest, time.perf_counter() - started)
        if status != expected and not is_retry:
            failure = f"{what} {status or 'lost'}"
            self.failures[failure] += 1
            self.examples.setdefault(failure, body[:200].decode(errors="replace"))
            self.failed_at += [started, time.perf_counter()]
        return status, body, client.head.partition(b"\r\netag: ")[2].partition(b"\r\n")[0].decode()

    @property
    def disturbance(self) -> float:
        """Return the seconds from the first to the last failed request."""
        return max(self.failed_at) - min(self.failed_at) if self.failed_at else 0


def with_header(data: bytes, header: str) -> bytes:
    """Add a header to a request."""
    return data.replace(b"\r\n", f"\r\n{header}\r\n".encode(), 1)
