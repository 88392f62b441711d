"""How gunicorn runs waitress: gunicorn manages processes and settings, waitress serves HTTP."""

import os
import resource
import signal
from time import monotonic
from typing import Any

from flask import Flask
from gunicorn.workers.base import Worker as BaseWorker
from waitress.adjustments import Adjustments

from .config import Config
from .http_server import Channels, Server
from .thread_pools import ThreadPools

SIGNAL_DELAY = 0.3  # seconds for the other processes to receive the signal too
IDLE_GRACE = 2  # seconds an idle client has to send another request during shutdown
MAX_HEADER_BYTES = 1 << 16
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


class Worker(BaseWorker):
    """A process that serves until it is stopped, and then finishes accepted requests."""

    wsgi: Flask
    missed_signals: Any  # a queue, from post_fork in gunicorn.conf.py

    def init_signals(self) -> None:
        """Install the handlers; obey stop signals that the arbiter's inherited ones received."""
        super().init_signals()
        while not self.missed_signals.empty():
            self.alive &= self.missed_signals.get_nowait() not in STOP_SIGNALS

    def run(self) -> None:
        """Serve until stopped; the heartbeat shows the arbiter that the loop is running."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
        self.channels = Channels()
        self.pools = ThreadPools(self.wsgi, self.cfg.threads, self.channels)
        servers = [self.listen(each.sock) for each in self.sockets]
        next_sweep = 0.0
        while self.alive and self.ppid == os.getppid():
            self.run_once(0.25)
            if monotonic() > next_sweep:  # so that idle connections are closed
                self.channels.changed.update(self.channels)
                next_sweep = monotonic() + 1
        self.stop(servers)

    def listen(self, sock: Any) -> Server:
        """Return a server on the socket, with gunicorn's settings."""
        adjustments = Adjustments(
            backlog=self.cfg.backlog,
            channel_timeout=self.cfg.keepalive,
            clear_untrusted_proxy_headers=False,  # PROXY_HOPS decides in the app
            connection_limit=self.cfg.worker_connections,
            ident=None,
            log_socket_errors=False,
            max_request_body_size=max_body_bytes(self.wsgi.extensions["movies_api"]) + 1,
            max_request_header_size=MAX_HEADER_BYTES,
            outbuf_high_watermark=1 << 40,  # a slow reader must not block the thread
            recv_bytes=1 << 16,
            send_bytes=1 << 16,
        )
        adjustments.channels = self.channels
        info = (sock.family, sock.type, sock.proto, sock.getsockname())
        return Server(
            self.wsgi,
            self.channels,
            _sock=sock,
            dispatcher=self.pools,
            adj=adjustments,
            bind_socket=False,
            sockinfo=info,
        )

    def run_once(self, seconds: float) -> None:
        """Send the heartbeat, run the loop once, and reject requests that are stuck."""
        self.notify()
        self.channels.poll(seconds)
        self.pools.reject_stuck()

    def stop(self, servers: list[Server]) -> None:
        """Accept pending connections, close the listeners and finish all accepted requests."""
        end = monotonic() + SIGNAL_DELAY
        while monotonic() < end:
            self.run_once(0.05)
        for server in servers:
            count = -1
            while count < len(self.channels):
                count = len(self.channels)
                server.handle_accept()
            server.del_channel()
            server.socket.close()
        self.pools.is_stopping = True
        grace, end = monotonic() + IDLE_GRACE, monotonic() + self.cfg.graceful_timeout
        while clients := [each for each in self.channels.values() if hasattr(each, "requests")]:
            if monotonic() > end:
                break
            for each in clients:
                if monotonic() > grace and not (each.requests or each.request):
                    each.close_when_flushed = True
                    self.channels.changed.add(each._fileno)  # noqa: SLF001
            self.run_once(0.1)
        self.pools.shutdown()


def max_body_bytes(config: Config) -> int:
    """Return the size of the largest body that any route accepts."""
    with_image = config.max_body_bytes + config.image_max_bytes * 4 // 3 + 4
    return max(with_image, config.import_max_bytes + config.max_body_bytes)
