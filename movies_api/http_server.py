"""HTTP server: waitress with epoll, HTTP/1.1 keep-alive and this service's error responses.

waitress receives a request completely before a thread gets it, and sends the response from its
loop: a slow client blocks no thread. These subclasses add what it lacks.
"""

import secrets
import selectors
import socket
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
from waitress import channel, parser, server, task, utilities, wasyncore

from .logs import log
from .thread_pools import MAX_WAIT

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
MAX_BODY_BYTES_IN_FLIGHT = 256 << 20  # of all connections, received but not processed
MAX_DISCARDED_BYTES = 64 << 20  # of a body that was rejected
LINGER_SECONDS = 5  # for a rejected client to stop sending
MESSAGES = {
    431: ("HEADERS_TOO_LARGE", "The request headers are too large."),
    501: ("NOT_IMPLEMENTED", "Only the transfer encoding chunked is supported."),
    500: ("INTERNAL_ERROR", "Something went wrong on our side."),
}


class Overloaded(utilities.Error):
    """The bodies in flight use too much memory, or the temporary directory is full."""

    code, reason = 503, "Service Unavailable"


class Channels(dict[int, Any]):
    """wasyncore's map of file descriptors to channels, with a selector.

    wasyncore polls every channel in each iteration of its loop. This class polls only those that
    had an event or that a thread changed, so that idle connections cost nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.events: dict[int, int] = {}
        self.changed: set[int] = set()

    def __setitem__(self, descriptor: int, channel: Any) -> None:
        """Add a channel."""
        super().__setitem__(descriptor, channel)
        self.changed.add(descriptor)

    def __delitem__(self, descriptor: int) -> None:
        """Remove a channel; its socket is about to be closed."""
        super().__delitem__(descriptor)
        if self.events.pop(descriptor, 0):
            self.selector.unregister(descriptor)

    def poll(self, seconds: float) -> None:
        """Wait for events for up to that many seconds, and handle them."""
        while self.changed:
            self._update(self.changed.pop())
        for key, fired in self.selector.select(seconds):
            if (each := self.get(key.fd)) is not None:
                if fired & READ and each.readable():
                    wasyncore.read(each)
                if fired & WRITE and each.writable():
                    wasyncore.write(each)
                self._update(key.fd, fired)

    def _update(self, descriptor: int, fired: int = 0) -> None:
        """Register the events that the channel wants; unregister any that fired unwanted."""
        if (each := self.get(descriptor)) is None:
            return
        wanted = (READ if each.readable() else 0) | (WRITE if each.writable() else 0)
        known = self.events.get(descriptor, 0)
        events = wanted if fired & ~wanted else known | wanted
        if events == known:
            return
        self.events[descriptor] = events
        if not known:
            self.selector.register(descriptor, events)
        elif events:
            self.selector.modify(descriptor, events)
        else:
            self.selector.unregister(descriptor)
        if events < known:  # a thread may have finished the request meanwhile
            self.changed.add(descriptor)


class Parser(parser.HTTPRequestParser):
    """A request while it is being received."""

    command = ""
    error: utilities.Error | None

    reject_with: int | None = None  # the status with which the app rejects it

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the header; reject an HTTP/1.1 request without Host."""
        super().parse_header(header_plus)
        if self.version == "1.1" and "HOST" not in self.headers:
            raise parser.ParsingError("Host is missing")

    def received(self, data: bytes) -> int:
        """Parse bytes; after each MiB, check the total size of all bodies in flight."""
        before = self.body_bytes_received
        try:
            consumed: int = super().received(data)
        except OSError as error:  # of the temporary file of a large body
            log.error("temporary directory: %s", error)
            self.error, self.completed, consumed = Overloaded(""), True, len(data)
        if self.body_bytes_received >> 20 > before >> 20 and not self.error:
            channels = [*self.adj.channels.values()]
            if sum(each.unprocessed_bytes() for each in channels if hasattr(each, "requests")) > (
                MAX_BODY_BYTES_IN_FLIGHT
            ):
                self.error, self.completed = Overloaded(""), True
        return consumed


class Task(task.WSGITask):
    """A request that the app handles."""

    def get_environment(self) -> Any:
        """Return the WSGI environment, with the wait in the queue and the status to reject with."""
        environ = super().get_environment()
        if pool := self.channel.pool:
            environ["movies_api.waited"] = pool, monotonic() - self.channel.queued_at
        if self.request.reject_with:
            environ["movies_api.reject_with"] = self.request.reject_with
            environ["movies_api.max_body_bytes"] = self.request.adj.max_request_body_size - 1
        return environ

    def build_response_header(self) -> bytes:
        """Return status line and headers; waitress closes connections after 204 and 304."""
        names = {name.lower() for name, _ in self.response_headers}
        lines = [f"{name}: {value}" for name, value in self.response_headers]
        asked, is_old = self.request.headers.get("CONNECTION", "").lower(), self.version == "1.0"
        if self.has_body and "content-length" not in names:
            if self.content_length is not None:
                lines.append(f"Content-Length: {self.content_length}")
            elif is_old:
                self.close_on_finish = True
            else:
                self.chunked_response = True
                lines.append("Transfer-Encoding: chunked")
        if self.close_on_finish or asked == "close" or (is_old and asked != "keep-alive"):
            self.close_on_finish = True
            lines.append("Connection: close")
        elif is_old:
            lines.append("Connection: keep-alive")
        lines.append(f"Date: {utilities.build_http_date(self.start_time)}")
        return "\r\n".join([f"HTTP/{self.version} {self.status}", *lines, "", ""]).encode("latin-1")

    def finish(self) -> None:
        """Send the response from this thread, in one packet if it fits."""
        if self.request.command == "HEAD":
            self.chunked_response = False
        super().finish()
        with self.channel.outbuf_lock:
            self.channel._flush_exception(self.channel._flush_some, do_close=False)  # noqa: SLF001


class ErrorTask(Task, task.ErrorTask):
    """The response to a request that the app cannot handle."""

    def execute(self) -> None:
        """Write the error envelope; the parser's own text is not shown."""
        error, request_id = self.request.error, secrets.token_hex(16)
        code, message = MESSAGES.get(
            error.code, ("BAD_REQUEST", "The request is incomplete or not valid HTTP.")
        )
        self.status = f"{error.code} {error.reason}"
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
        self.response_headers.extend(headers.items())
        self.close_on_finish = True
        body = orjson.dumps({"error": {"code": code, "message": message, "details": {}}})
        self.content_length = len(body)
        self.write(body)
        fields = {"requestId": request_id, "status": error.code, "reason": error.body}
        log.warning("request rejected by the server", extra={"fields": fields})


def error_task(channel: Any, request: Any) -> Any:
    """Return the task that responds to an error: the app's, if the header was parsed."""
    if request.error.code not in {413, 503}:
        return ErrorTask(channel, request)
    request.reject_with, request.headers["CONNECTION"] = request.error.code, "close"
    return Task(channel, request)


class Channel(channel.HTTPChannel):
    """A connection."""

    parser_class, task_class, error_task_class = Parser, Task, staticmethod(error_task)
    queued_at = linger_until = 0.0
    pool = ""  # in which the request was queued
    request: Any
    requests: list[Any]
    connected: bool
    discarded = -1  # bytes received after a rejected request; -1 before one

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sendbuf_len = 1 << 16  # copied per send: SO_SNDBUF would be too much

    def service(self) -> None:
        """Execute one request, and wake the loop only if it has something left to do."""
        request = self.requests[0]
        if monotonic() - self.queued_at > MAX_WAIT:
            request.reject_with = request.reject_with or 503
        if self.server.task_dispatcher.is_stopping and len(self.requests) == 1:
            request.headers["CONNECTION"] = "close"
        if request.error:
            self.discarded = 0
        super().service()
        descriptor = self._fileno
        if (
            self.connected
            and descriptor is not None
            and (
                self.close_when_flushed
                or self.will_close
                or self.total_outbufs_len
                or not self._map.events.get(descriptor, 0) & READ
            )
        ):
            self._map.changed.add(descriptor)
            self.server.wake()

    def handle_read(self) -> None:
        """Read; also respond to a client that closed its side in the middle of a body."""
        super().handle_read()
        if not self.connected and self.requests and self._fileno is not None:
            self.connected = True
            self.server.add_task(self)

    def readable(self) -> bool:
        """Return whether to read, including what follows a rejected request."""
        return self.is_lingering() or super().readable()

    def writable(self) -> bool:
        """Return whether there is anything to send or to close."""
        return not self.is_lingering() and bool(super().writable())

    def is_lingering(self) -> bool:
        """Return whether the response is sent but the client is still sending."""
        return self.discarded > 0 and monotonic() < self.linger_until

    def received(self, data: bytes) -> bool:
        """Process received bytes; discard what follows a rejected request."""
        if not self.is_lingering():
            return bool(super().received(data))
        self.discarded += len(data)
        if self.discarded > MAX_DISCARDED_BYTES:
            self.handle_close()
        return False

    def handle_close(self) -> None:
        """Close, after responding to a truncated body or draining a rejected one.

        Closing a socket with unread bytes resets the connection and loses the response.
        """
        if self.request and self.request.headers_finished and not self.requests:
            self.request.error = utilities.BadRequest("The body was cut off")
            self.requests, self.request = [self.request], None
            return  # to handle_read
        if self.discarded == 0 and self.will_close and self.connected:
            self.discarded, self.linger_until = 1, monotonic() + LINGER_SECONDS
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()

    def unprocessed_bytes(self) -> int:
        """Return how many body bytes were received but not processed."""
        partial = self.request.body_bytes_received if self.request else 0
        return int(partial + sum(each.body_bytes_received for each in [*self.requests]))


class Server(server.TcpWSGIServer):
    """A listening socket."""

    channel_class = Channel

    def pull_trigger(self) -> None:
        """Do nothing: a channel wakes the loop itself, once the request is finished."""

    def wake(self) -> None:
        """Wake the loop."""
        self.trigger.pull_trigger()
