"""How gunicorn serves the app; PORT, WEB_CONCURRENCY and THREADS fit it to a machine."""

import ctypes
import gc
import os
import signal
import socket
import struct
import sys
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
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


def when_ready(_server: Any) -> None:
    """Keep what is imported out of the garbage collector, so that workers go on sharing it."""
    gc.collect()
    gc.freeze()


class Worker(ThreadWorker):
    """gthread that waits for no client, and drops no request when it stops.

    The stock one gives a thread to a connection that has sent nothing, holds up all others while
    a client takes its time to close, resets who is still in the accept queue at SIGTERM, and then
    sits out graceful_timeout for one idle connection.
    """

    def init_signals(self) -> None:
        """Heed a stop that came before we could: it went to our copy of the arbiter's queue."""
        super().init_signals()
        while not self.missed.empty():
            self.alive &= self.missed.get_nowait() not in STOPS

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once; the stock one waits for a lock that the code it interrupts may hold."""
        super(ThreadWorker, self).handle_quit(sig, frame)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a thread to a connection that has sent something; await the others without one."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
        self.await_client(conn, self.on_pending_socket_readable)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep the connection, or say goodbye and let the client close it."""
        is_kept = not fs.cancelled() and not fs.exception() and fs.result()
        if is_kept and self.alive:
            super().finish_request(conn, fs)
        elif is_kept:  # told so just before the stop: the next request may be on its way
            self.await_client(conn, self.on_pending_socket_readable)
        else:
            try:
                conn.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.drop(conn)
            else:
                self.await_client(conn, self.on_goodbye_readable)

    def await_client(self, conn: TConn, then: Any) -> None:
        """Call `then` when the client sends something or closes; after a while close ourselves."""
        conn.sock.settimeout(0)
        conn.timeout = monotonic() + (PATIENCE if self.alive else FAREWELL)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(then, conn))

    def on_goodbye_readable(self, conn: TConn, client: socket.socket) -> None:
        """Discard what the client still sends: unread bytes would reset it before it has read."""
        try:
            is_closed = not client.recv(65536)
        except BlockingIOError:
            is_closed = False
        except OSError:
            is_closed = True
        if is_closed:
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            self.drop(conn)

    def drop(self, conn: TConn) -> None:
        """Close and forget a connection."""
        self.nr_conns -= 1
        conn.close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Look at the clocks of idle connections every second, also while stopping."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def set_accept_enabled(self, enabled: bool) -> None:
        """When it is the end: take in whoever has been let in, and refuse the rest at once."""
        if self.alive or not self._accepting:
            super().set_accept_enabled(enabled)
            return
        end = monotonic() + SETTLE
        while monotonic() < end:
            self.wait_for_and_dispatch_events(SETTLE / 10)
        super().set_accept_enabled(False)
        for listener in self.sockets:
            known = -1
            while known < self.nr_conns < self.worker_connections:
                known = self.nr_conns
                self.accept(listener)
            listener.close()
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = min(conn.timeout, monotonic() + FAREWELL)


worker_class = Worker


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
