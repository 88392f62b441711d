"""The neighbours: heavy, slow or idle clients that run while another user's requests are timed."""

import asyncio
import base64
import io
import json
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count, repeat
from urllib.parse import urlsplit

from PIL import Image

from . import load, service
from .scenarios import SCENARIOS, Accounts, Script, User, http, movies_file

WARM_UP = 2.0  # seconds that the neighbours run before requests are timed
PAUSE = 0.1  # seconds between the starts of two timed requests
BUFFER = 4096  # receive buffer of a slow reader in bytes
HEADER = b"GET /movies HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "  # never completed
Neighbours = Callable[[str, Accounts, float], Counter[str]]


@cache
def image_file() -> bytes:
    """Return a JPEG of 24 megapixels and a few megabytes."""
    file = io.BytesIO()
    noise = Image.effect_noise((1500, 1000), 60).resize((6000, 4000))
    noise.convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def add_image(user: User, number: int) -> bytes:
    """Return the request that adds a movie with an image; its number makes the file unique."""
    content = base64.b64encode(image_file() + str((number, user.email)).encode()).decode()
    body = {"title": f"Image {number}", "imageUrl": f"data:image/jpeg;base64,{content}"}
    return http("POST", "/movies", user, body)


def busy(clients: int, script: Script) -> Neighbours:
    """Return clients that send whole requests without a pause."""

    def run(url: str, accounts: Accounts, seconds: float) -> Counter[str]:
        scripts = [script(accounts, index) for index in range(clients)]
        result = asyncio.run(load.run_scripts(url, scripts, seconds))
        return Counter({str(status or "lost"): n for status, n in result.statuses.items()})

    return run


@dataclass(frozen=True)
class Slow:
    """Clients that send a request, then send and read some bytes per second, or none."""

    request: Callable[[str, Accounts], bytes]
    sends: int = 0
    reads: int = 0
    count: int = 60

    def __call__(self, url: str, accounts: Accounts, seconds: float) -> Counter[str]:
        """Keep the connections open for some seconds; count how often they opened and closed."""
        return asyncio.run(self._run_clients(url, self.request(url, accounts), seconds))

    async def _run_clients(self, url: str, data: bytes, seconds: float) -> Counter[str]:
        counts: Counter[str] = Counter()
        clients = [self._reconnect(url, data, counts) for _ in range(self.count)]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*clients), seconds)
        return counts

    async def _reconnect(self, url: str, data: bytes, counts: Counter[str]) -> None:
        while True:
            with suppress(OSError):
                await self._connect(url, data, counts)
            counts["closed"] += 1
            await asyncio.sleep(1)

    async def _connect(self, url: str, data: bytes, counts: Counter[str]) -> None:
        address = urlsplit(url)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.setblocking(False)  # noqa: FBT003
            await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER)
            counts["connected"] += 1
            try:
                writer.write(data)
                while not (reader.at_eof() or writer.transport.is_closing()):
                    await asyncio.sleep(1)
                    writer.write(b"a" * self.sends)
                    await reader.read(self.reads)
            finally:
                writer.transport.abort()


def body(path: str, accounts: Accounts) -> bytes:
    """Return the start of a request whose body is still to come."""
    return http("POST", path, accounts.neighbours[0], length=50_000)


def upload(url: str, accounts: Accounts) -> bytes:
    """Return the start of an upload."""
    file = {"contentType": "image/jpeg", "size": 1_000_000}
    _, response = load.fetch(url, http("POST", "/images", accounts.neighbours[0], file))
    address = urlsplit(json.loads(response)["uploadUrl"])
    return http("PUT", f"{address.path}?{address.query}", length=1_000_000)


def image(url: str, accounts: Accounts) -> bytes:
    """Return the request for a large image."""
    _, response = load.fetch(url, add_image(accounts.neighbours[0], 0))
    return http("GET", urlsplit(json.loads(response)["imageUrl"]).path)


def import_file(user: User) -> bytes:
    """Return the request that imports a large file."""
    return http("POST", "/movies/import", user, movies_file(service.ROWS))


def export(_url: str, accounts: Accounts) -> bytes:
    """Return the request that exports the large collection."""
    return http("GET", "/movies/export?format=ndjson", accounts.heavy)


NEIGHBOURS: dict[str, Neighbours] = {
    "none": Slow(lambda url, accounts: b"", count=0),
    "logins": busy(32, SCENARIOS["login"][1]),
    "exports": busy(8, lambda accounts, index: repeat(export("", accounts))),
    "images": busy(8, lambda each, index: map(add_image, repeat(each.neighbours[index]), count())),
    "slow-headers": Slow(lambda url, accounts: HEADER, sends=1),
    "slow-bodies": Slow(lambda url, accounts: body("/movies", accounts), sends=1),
    "slow-uploads": Slow(upload, sends=1),
    "slow-imports": Slow(lambda url, accounts: body("/movies/import", accounts), sends=1),
    "slow-image-readers": Slow(image, reads=1000),
    "slow-export-readers": Slow(export, reads=1000),
    "stuck-image-readers": Slow(image),
    "stuck-export-readers": Slow(export),
    "idle": Slow(lambda url, accounts: b"", count=1000),
    # Last, because it enlarges the database
    "imports": busy(8, lambda accounts, index: repeat(import_file(accounts.neighbours[index]))),
}


def run_neighbours(name: str, url: str, accounts: Accounts, seconds: float) -> Counter[str]:
    """Run the neighbours, in a separate process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return NEIGHBOURS[name](url, accounts, seconds)


async def time_requests(url: str, requests: list[bytes], seconds: float) -> list[load.Result]:
    """Time each request ten times a second, each time on a new connection."""
    results = [load.Result() for _ in requests]
    async with asyncio.TaskGroup() as group:
        for _ in range(round(seconds / PAUSE)):
            for request, result in zip(requests, results, strict=True):
                data = request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                group.create_task(result.record(load.Client(url), data))
            await asyncio.sleep(PAUSE)
    return results


def measure(
    name: str, url: str, accounts: Accounts, seconds: float, pool: Executor
) -> tuple[list[load.Result], Counter[str]]:
    """Time a user's GET /movies and GET /health while the neighbours run."""
    neighbours = pool.submit(run_neighbours, name, url, accounts, seconds + WARM_UP)
    requests = [http("GET", "/movies", accounts.users[0]), http("GET", "/health")]
    time.sleep(WARM_UP)
    results = asyncio.run(time_requests(url, requests, seconds))
    return results, neighbours.result()
