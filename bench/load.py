"""A load generator: connections that send their next request when they have their answer."""

import multiprocessing
import selectors
import socket
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Script = Generator[bytes, bytes, None]  # yields requests, is sent the answers
PATIENCE = 30.0


class LoadError(Exception):
    """The load could not be run; what was measured does not count."""


@dataclass(frozen=True)
class Load:
    """What a load met: times in seconds, faults by status, the generator's own CPU."""

    requests: int
    seconds: float
    p50: float
    p99: float
    faults: dict[str, int]
    fault: str
    own_cpu: float


class Connection:
    """One keep-alive connection and the script it plays."""

    def __init__(self, address: tuple[str, int], script: Script) -> None:
        """Connect, and send the first request."""
        self.address, self.script = address, script
        self.request, self.received, self.started = next(script), b"", 0.0
        self.connect()

    def connect(self) -> None:
        """Open a connection and send the request at hand."""
        self.socket = socket.create_connection(self.address, PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send()

    def send(self) -> None:
        """Send the request at hand; requests are small, so that this does not block."""
        self.received, self.started = b"", time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bytes | None:
        """Return the answer once it is whole; None before. Empty: the server closed in between."""
        piece = self.socket.recv(1 << 18)
        if not piece and self.received:
            raise LoadError(f"cut off within an answer: {self.received[:200]!r}")
        self.received += piece
        return self.received if not piece or is_whole(self.received) else None


def is_whole(answer: bytes) -> bool:
    """Tell whether the bytes are a whole answer."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    if b"transfer-encoding: chunked" in head:
        return answer.endswith(b"0\r\n\r\n")
    _, _, length = head.partition(b"content-length: ")
    return len(answer) - end - 4 >= int(length.partition(b"\r\n")[0] or 0)


class Crowd:
    """The connections together, until the time or the number of requests is up."""

    def __init__(self, url: str, scripts: Sequence[Script], seconds: float, most: int) -> None:
        """Connect them all."""
        self.began, self.cpu = time.perf_counter(), time.process_time()
        self.seconds, self.most, self.sent = seconds, most, len(scripts)
        self.times: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.examples: dict[str, bytes] = {}  # an answer of each status
        self.selector = selectors.DefaultSelector()
        address = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        for script in scripts:
            self.watch(Connection(address, script))

    def watch(self, connection: Connection) -> None:
        """Wait for what the connection brings."""
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)

    def play(self) -> None:
        """Ask and listen until every answer is here."""
        while self.selector.get_map():
            if not (ready := self.selector.select(PATIENCE)):
                raise LoadError(f"no answer for {PATIENCE:.0f} s")
            for key, _ in ready:
                connection: Connection = key.data
                if (answer := connection.receive()) is not None:
                    self.go_on(connection, answer)

    def go_on(self, connection: Connection, answer: bytes) -> None:
        """Note the answer, and send the next request if there is to be one."""
        now = time.perf_counter()
        if not answer:  # closed while idle, as HTTP allows: the same again on a new connection
            self.selector.unregister(connection.socket)
            connection.connect()
            self.watch(connection)
            return
        status = answer[9:12].decode()
        self.times.append(now - connection.started)
        self.statuses[status] += 1
        self.examples.setdefault(status, answer)
        if now - self.began < self.seconds and self.sent < self.most:
            self.sent += 1
            connection.request = connection.script.send(answer)
            connection.send()
        else:
            self.selector.unregister(connection.socket)
            connection.socket.close()


def run(url: str, scripts: Sequence[Script], status: int, seconds: float, most: int) -> Load:
    """Play each script on a connection of its own, and return what it met."""
    crowd = Crowd(url, scripts, seconds, most)
    crowd.play()
    times = sorted(crowd.times)
    faults = {key: count for key, count in crowd.statuses.items() if key != str(status)}
    return Load(
        requests=len(times),
        seconds=time.perf_counter() - crowd.began,
        p50=times[len(times) // 2],
        p99=times[len(times) * 99 // 100],
        faults=faults,
        fault=crowd.examples[next(iter(faults))].decode(errors="replace")[-300:] if faults else "",
        own_cpu=time.process_time() - crowd.cpu,
    )


def run_apart(*arguments: Any) -> Load:
    """Do the same in a process of its own, so that its interpreter is nobody else's."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: sender.send(run(*arguments)), daemon=True)
    process.start()
    sender.close()
    try:
        load: Load = receiver.recv()
    except EOFError:
        raise LoadError("the load generator failed; see above") from None
    finally:
        process.join()
    return load
