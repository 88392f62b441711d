"""A load generator: each connection sends its next request after the response."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT = 60  # seconds to wait for a response
CONNECTION_ERRORS = (OSError, asyncio.IncompleteReadError)  # a TimeoutError is an OSError


@dataclass
class Result:
    """The time of each response in seconds and the responses by status; 0 is a lost connection."""

    seconds: float = 0
    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    examples: dict[int, str] = field(default_factory=dict)

    async def record(self, client: "Client", data: bytes) -> None:
        """Send a request and count its response."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await client.request(data)
        except CONNECTION_ERRORS as error:
            client.close()
            status, body = 0, repr(error).encode()
        self.times.append(time.perf_counter() - started)
        self.statuses[status] += 1
        self.examples.setdefault(status, body[:300].decode(errors="replace"))

    def ms(self, share: float) -> float:
        """Return a percentile of the times in milliseconds; `share` is between 0 and 1."""
        times = sorted(self.times) or [float("nan")]
        return times[min(int(len(times) * share), len(times) - 1)] * 1000


class Client:
    """A keep-alive HTTP/1.1 connection, opened again when the server has closed it."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        """Store the address; the first request connects."""
        self.host, self.port, self.tls = urlsplit(url).hostname, urlsplit(url).port, tls
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.head = b""  # of the last response, in lower case

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and body of its response."""
        if self.streams is not None:
            try:
                return await self.exchange(data)
            except CONNECTION_ERRORS as error:
                self.close()
                if getattr(error, "partial", b""):
                    raise
                # The server may close an idle connection at any time: send the request again
        return await self.exchange(data)

    async def exchange(self, data: bytes) -> tuple[int, bytes]:
        """Send a request once, on a new connection if none is open."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        reader, writer = self.streams
        writer.write(data)
        await writer.drain()
        self.head = head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            pieces = []
            while size := int(await reader.readline(), 16):
                pieces.append((await reader.readexactly(size + 2))[:-2])
            await reader.readline()
            body = b"".join(pieces)
        else:
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Close the connection."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def fetch(url: str, data: bytes, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Send a request on a new connection; return the status and body of its response."""

    async def send() -> tuple[int, bytes]:
        client = Client(url, tls)
        try:
            return await client.request(data)
        finally:
            client.close()

    return asyncio.run(send())


async def run_scripts(url: str, scripts: Sequence[Iterator[bytes]], seconds: float) -> Result:
    """Send the requests of each script on its own connection for some seconds."""
    result, started = Result(), time.perf_counter()

    async def run(script: Iterator[bytes]) -> None:
        client = Client(url)
        while time.perf_counter() - started < seconds:
            await result.record(client, next(script))
        client.close()

    await asyncio.gather(*map(run, scripts))
    result.seconds = time.perf_counter() - started
    return result
