"""How gunicorn serves the app; PORT, WEB_CONCURRENCY and THREADS fit it to a machine."""

import ctypes
import gc
import math
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

PATIENCE = 10  # seconds a client may be silent in the middle of something
FAREWELL = 2  # seconds the same client has once we are stopping
SETTLE = 0.3  # seconds for the other processes to hear of the stop too
STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
# Elsewhere than on Linux, where one develops, the stock worker will do
HAS_EPOLL = hasattr(select, "epoll")
# One thread hears of it, and of no more until it asks
ONCE = select.EPOLLIN | select.EPOLLONESHOT if HAS_EPOLL else 0


def whole_number(variable: str, given: str | int, most: int) -> int:
    """Return the number that a variable gives, or end the start."""
    text = str(given).strip()
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        sys.exit(f"{variable}={text!r}: give a whole number from 1 to {most}")
    return int(text)


bind = f"0.0.0.0:{whole_number('PORT', os.environ.get('PORT') or 3001, 65535)}"
workers = whole_number("WEB_CONCURRENCY", os.environ.get("WEB_CONCURRENCY") or 2, 1000)
threads = whole_number("THREADS", os.environ.get("THREADS") or 4, 1000)
# A fault of the settings ends the start, and workers share the memory of what is imported
preload_app = True

# Routers give up on an answer, and platforms kill after SIGTERM, at 30 seconds
timeout = 25
graceful_timeout = 20
# Longer than routers keep an idle connection (Heroku 90, AWS 60 seconds): the side that sends the
# next request must be the side that closes. An idle connection takes no thread
keepalive = 95
# Below the usual limit of 1024 open files
worker_connections = 500

limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# glibc: blocks of 1 MiB and more go back when freed. Argon2 takes 19 MiB for each hash, and every
# thread's arena would keep them: 245 MB for two workers instead of 92
with suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD

# The heartbeat must not wait for a disk
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  kept in memory
control_socket_disable = True
# Only whom the platform names may say that a request came by https; the app believes PROXY_HOPS
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
forwarder_headers = ""


def when_ready(server: Arbiter) -> None:
    """Log whether the database can serve; share with the workers what has been imported."""
    from movies_api.health import check_at_boot  # noqa: PLC0415  only now is the path set up

    check_at_boot(server.app.wsgi())
    gc.collect()
    gc.freeze()


class Worker(ThreadWorker):
    """Threads that wait, all at one epoll, for whichever client sends something next.

    The stock gthread hands each request from thread to thread twice, which costs as much CPU as a
    small request; it gives a thread to a connection that has sent nothing, holds up all others
    while a client takes its time to close, and resets who is still in the accept queue at SIGTERM.
    """

    def init_process(self) -> None:
        """Leave out what the stock one sets up for its own loop."""
        super(ThreadWorker, self).init_process()

    def init_signals(self) -> None:
        """Heed a stop that came before we could: it went to our copy of the arbiter's queue."""
        super().init_signals()
        while not self.missed.empty():
            self.alive &= self.missed.get_nowait() not in STOPS

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop; run sees it at once, for each signal wakes it."""
        self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once; the stock one waits for a lock that the code it interrupts may hold."""
        super(ThreadWorker, self).handle_quit(sig, frame)

    def run(self) -> None:
        """Watch over the threads until the end; then take in whoever has been let in, and stop."""
        self.epoll, self.lock = select.epoll(), Lock()
        self.clients: dict[int, TConn] = {}
        self.listeners = {listener.fileno(): listener for listener in self.sockets}
        for descriptor, listener in self.listeners.items():
            listener.settimeout(0)
            self.epoll.register(descriptor, ONCE)
        for _ in range(self.cfg.threads):
            Thread(target=self.serve, daemon=True).start()
        while self.alive and self.is_parent_alive():
            self.watch(1.0)
        end = monotonic() + SETTLE
        while monotonic() < end:
            self.watch(SETTLE / 10)
        self.refuse_new_clients()
        end = monotonic() + self.cfg.graceful_timeout
        while self.clients and monotonic() < end:
            self.watch(0.1)

    def watch(self, seconds: float) -> None:
        """Tell the arbiter that we live, wait for a signal, and close who has been silent."""
        self.notify()
        if select.select([self.PIPE[0]], [], [], seconds)[0]:
            os.read(self.PIPE[0], 4096)
        for conn in list(self.clients.values()):
            if self.claim(conn, before=monotonic()):
                self.drop(conn)

    def serve(self) -> None:
        """Answer, accept or say goodbye, whatever is next."""
        while True:
            for descriptor, _ in self.epoll.poll(None, 1):
                conn = self.clients.get(descriptor)
                if conn is None:
                    self.accept_client(descriptor)
                elif self.claim(conn):
                    try:
                        conn.then(conn)
                    except Exception:  # it must not end the thread
                        self.log.exception("Fault of a connection")
                        with suppress(KeyError):
                            self.drop(conn)

    def claim(self, conn: TConn, before: float = math.inf) -> bool:
        """Take a client who waits since long enough; False if another thread has it."""
        with self.lock:
            is_ours: bool = conn.timeout is not None and conn.timeout < before
            if is_ours:
                conn.timeout = None
        return is_ours

    def accept_client(self, descriptor: int) -> None:
        """Let in who is next in the accept queue, unless it is full here."""
        if (listener := self.listeners.get(descriptor)) is None:
            return
        with suppress(OSError):
            sock, address = listener.accept()
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
            conn = TConn(self.cfg, sock, address, listener.getsockname())
            conn.data_ready = True  # epoll tells when
            conn.descriptor = sock.fileno()  # a closed socket has none
            self.clients[conn.descriptor] = conn
            self.epoll.register(sock, 0)
            self.await_client(conn, PATIENCE, self.answer)
        if len(self.clients) < self.worker_connections:
            self.listen(descriptor)

    def listen(self, descriptor: int) -> None:
        """Hear of the next one in the accept queue."""
        with suppress(OSError, ValueError):  # closed by now: it is the end
            self.epoll.modify(descriptor, ONCE)

    def answer(self, conn: TConn) -> None:
        """Read a request, have it answered, and keep the connection or let the client close it."""
        if self.handle(conn):
            self.await_client(conn, self.cfg.keepalive, self.answer)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)
        else:
            self.await_client(conn, PATIENCE, self.say_goodbye)

    def say_goodbye(self, conn: TConn) -> None:
        """Discard what the client still sends: unread bytes would reset it before it has read."""
        try:
            is_closed = not conn.sock.recv(65536)
        except OSError:
            is_closed = True
        if is_closed:
            self.drop(conn)
        else:
            self.await_client(conn, PATIENCE, self.say_goodbye)

    def await_client(self, conn: TConn, seconds: float, then: Any) -> None:
        """Call `then` when the client sends something or closes; after a while close ourselves."""
        conn.then = then
        conn.timeout = monotonic() + (seconds if self.alive else min(seconds, FAREWELL))
        self.epoll.modify(conn.sock, ONCE)

    def drop(self, conn: TConn) -> None:
        """Close and forget a connection; if it was full here, it is not any more."""
        del self.clients[conn.descriptor]
        conn.close()
        if len(self.clients) == self.worker_connections - 1:
            for descriptor in self.listeners:
                self.listen(descriptor)

    def refuse_new_clients(self) -> None:
        """Take in whoever is in the accept queue, and give all who idle the time to hear of it."""
        for descriptor, listener in list(self.listeners.items()):
            known = -1
            while known < len(self.clients) < self.worker_connections:
                known = len(self.clients)
                self.accept_client(descriptor)
            del self.listeners[descriptor]
            listener.close()
        with self.lock:
            for conn in list(self.clients.values()):
                if conn.timeout is not None:
                    conn.timeout = min(conn.timeout, monotonic() + FAREWELL)


worker_class = Worker if HAS_EPOLL else ThreadWorker


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Hand the worker what it missed while it was being made."""
    worker.missed = server.SIG_QUEUE


class logger_class(Logger):  # noqa: N801  the name is gunicorn's
    """The server's own events as lines like the app's, which writes the line of each request."""

    def setup(self, cfg: Config) -> None:
        """Write to stdout, in the app's form."""
        super().setup(cfg)
        from movies_api.logs import formatter  # noqa: PLC0415  only now is the path set up

        for handler in self.error_log.handlers:
            handler.setStream(sys.stdout)
            handler.setFormatter(formatter(os.environ.get("LOG_FORMAT", "auto").strip().lower()))

    def access(self, *_: Any) -> None:
        """Write nothing, also where a platform asks for an access log."""

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Write the traceback, unless it only tells of a client that fell silent."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("A client fell silent in the middle of a request.")
        else:
            super().exception(msg, *args, **kwargs)
