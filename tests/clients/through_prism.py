"""A pytest plugin that sends the requests of the test client, with their responses, through Prism.

A test fails if Prism finds that one of its responses violates docs/openapi.yml.
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import tempfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from tests.client import Client
from tests.document import Document
from tests.servers import free_port, wait_until

HERE = Path(__file__).parent
folder = Path(tempfile.mkdtemp(prefix="movies-api-prism-"))
log = folder / "log"
counts = Counter(dict.fromkeys(("validated", "violations", "rejected by Prism", "not sent"), 0))
port = free_port()
running: dict[str, Any] = {}
responses: dict[str, TestResponse] = {}


class Upstream(BaseHTTPRequestHandler):
    """Returns the response that the test client received."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Send the response of the request in X-Replay."""
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        response = responses.pop(self.headers["X-Replay"])
        self.send_response_only(response.status_code)
        for name, value in response.headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.data)))
        self.end_headers()
        self.wfile.write(response.data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  as in http.server


def replay(response: TestResponse, document: Document) -> None:
    """Send a request and its response through Prism; fail on a violation of the response."""
    environ = response.request.environ
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"].upper()
    # Prism 5.14.2 takes GET /movies/import for GET /movies/{movie_id}; OpenAPI, the concrete path
    operations = document.content["paths"].get(document.template_of(path), {})
    if method.lower() not in operations:
        counts["not documented"] += 1
        return
    headers = {
        key.removeprefix("HTTP_").replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_") and key != "HTTP_TRANSFER_ENCODING"
    }
    number = str(id(response))
    headers["X-Replay"] = number
    url = quote(path.encode("latin-1")) + f"?{environ['QUERY_STRING']}".rstrip("?")
    # Again without the body if Prism 5.14.2 cannot parse it: it ends at a multipart part without a
    # name, or whose file name is not quoted or has no Content-Type; it rejects malformed JSON. It
    # also ends at a path that is not UTF-8, and Node rejects headers that are malformed or too large
    for body in (body_of(environ), b""):
        responses[number] = response
        try:
            result = send(method, url, body, headers, environ.get("CONTENT_TYPE", ""))
        except (UnicodeEncodeError, ValueError, http.client.InvalidURL):
            counts["not sent"] += 1  # what http.client does not send
            return
        if result and not responses.pop(number, None):
            break
        counts["sent again without body"] += 1
    else:
        counts["rejected by Prism"] += 1
        print(f"Prism rejected {method} {url}: {result and result.status}")
        return
    counts["validated"] += 1
    # Prism cuts long lists; its log has all
    violations = result.headers["sl-violations"] or ""
    if '"location":["response"' in violations:
        counts["violations"] += 1
        pytest.fail(f"{method} {url} -> {response.status}: {violations}")


def body_of(environ: dict[str, Any]) -> bytes:
    """Return the body of a request, or nothing: of one that is cut off, and null.

    Prism forwards null with a Content-Length, but without a body.
    """
    stream = environ["wsgi.input"]
    body = stream.getvalue() if isinstance(stream, BytesIO) else b""
    return b"" if body.strip() == b"null" else body


def send(
    method: str, url: str, body: bytes, headers: dict[str, str], media_type: str
) -> http.client.HTTPResponse | None:
    """Send a request to Prism; restart it and return None if it ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    if body and media_type:
        headers = {**headers, "Content-Type": media_type}
    try:
        connection.request(method, url, body, {k: v for k, v in headers.items() if v})
        result = connection.getresponse()
        result.read()
    except ConnectionError:
        counts["Prism restarts"] += 1
        running["prism"].wait(60)
        start_prism(running["upstream"])
        return None
    finally:
        connection.close()
    return result


def start_prism(upstream: int) -> None:
    """Start Prism in front of the upstream."""
    document = folder / "openapi.yml"  # a copy, because Prism restarts when the file changes
    document.write_bytes((HERE.parent.parent / "docs" / "openapi.yml").read_bytes())
    prism = HERE / "node_modules" / ".bin" / "prism"
    command = ["node", str(prism), "proxy", str(document), f"http://127.0.0.1:{upstream}"]
    with log.open("ab") as output:
        starts = log.read_bytes().count(b"listening")
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=subprocess.STDOUT
        )
    wait_until(lambda: log.read_bytes().count(b"listening") > starts, process, log, 60)
    running["prism"] = process


def pytest_configure() -> None:
    """Start Prism and its upstream, and wrap the test client."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    Thread(target=upstream.serve_forever, daemon=True).start()
    running["upstream"] = upstream.server_port
    start_prism(upstream.server_port)
    open_client = Client.open

    def open_through_prism(self: Client, *args: Any, **kwargs: Any) -> TestResponse:
        response = open_client(self, *args, **kwargs)
        replay(response, self.document)
        return response

    Client.open = open_through_prism  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if Prism's log has a violation of a response."""
    counts["violations in the log"] = log.read_bytes().count(b"Violation: response")
    if counts["violations in the log"]:
        session.exitstatus = 1


def pytest_unconfigure() -> None:
    """Stop Prism."""
    running["prism"].terminate()
    running["prism"].wait()
    shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures."""
    terminalreporter.write_line(f"Prism: {dict(counts)}")
