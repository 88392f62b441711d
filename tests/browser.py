"""A real browser for the tests: headless Chromium, driven by ChromeDriver over the W3C protocol."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from .servers import free_port, wait_until

NO_BROWSER = (
    "There is no Chromium with its ChromeDriver on PATH: install the machine's own package "
    "(Debian: apt-get install chromium chromium-driver)."
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1600",
]


def has_browser() -> bool:
    """Tell whether Chromium and ChromeDriver are installed."""
    return all(shutil.which(program) for program in ("chromium", "chromedriver"))


class ScriptError(AssertionError):
    """A script in the page threw."""


@dataclass
class Browser:
    """One window of one browser with a profile of its own."""

    port: int
    session: str = ""

    def command(self, method: str, path: str, body: object = None) -> Any:
        """Send one command of the W3C WebDriver protocol and return its value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = None if method == "GET" else json.dumps(body or {})
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        if response.status != 200:
            raise ScriptError(f"{value['error']}: {value['message']}")
        return value

    def start(self, profile: Path, *flags: str) -> None:
        """Open the window, with an empty profile."""
        chrome = {
            "binary": shutil.which("chromium"),
            "args": [*FLAGS, *flags, f"--user-data-dir={profile}"],
        }
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": logs}
        answer = self.command("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def stop(self) -> None:
        """Close the window and the browser."""
        if self.session:
            self.command("DELETE", self.session)

    def open(self, url: str) -> None:
        """Load a page and return when it has loaded."""
        self.command("POST", f"{self.session}/url", {"url": url})

    def run(self, body: str, *arguments: object) -> Any:
        """Run the body of an async function in the page, its `args` given; return what it returns."""
        script = (
            "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);"
            f"(async () => {{ {body} }})().then("
            "  value => done({ value }), error => done({ error: `${error.name}: ${error.message}` }));"
        )
        answer = self.command(
            "POST", f"{self.session}/execute/async", {"script": script, "args": list(arguments)}
        )
        if "error" in answer:
            raise ScriptError(answer["error"])
        return answer.get("value")

    def cookies(self) -> list[dict[str, Any]]:
        """Return the cookies that go to the address of the page shown."""
        cookies: list[dict[str, Any]] = self.command("GET", f"{self.session}/cookie")
        return cookies

    def console(self) -> list[str]:
        """Return what the console has shown since the last time: errors, also of the content policy."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses the pages have asked for since the last time."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        sent = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "blob:"))]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.command(
            "POST", f"{self.session}/se/log", {"type": kind}
        )
        return entries

    def screenshot(self) -> bytes:
        """Return a PNG of the window."""
        return b64decode(self.command("GET", f"{self.session}/screenshot"))


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start a browser and stop it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="movies-api-browser-"))
    browser, log = Browser(free_port()), folder / "log"
    try:
        with log.open("wb") as output:
            command = [shutil.which("chromedriver") or "", f"--port={browser.port}"]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: _is_ready(browser), process, log)
            browser.start(folder / "profile", *flags)
            yield browser
        finally:
            browser.stop()
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ready(browser: Browser) -> bool:
    """Tell whether ChromeDriver takes commands."""
    try:
        return bool(browser.command("GET", "/status")["ready"])
    except OSError:
        return False


@dataclass
class Frontend:
    """A web server for a frontend's files; what begins with one of `rewrites` it fetches from the API.

    The second is what Next.js calls rewrites: to the browser the API is then of the frontend's own origin.
    """

    port: int
    files: Mapping[str, tuple[str, str]]
    rewrites: tuple[str, ...] = ()
    api: str = ""

    @property
    def url(self) -> str:
        """Return the origin: localhost, as a developer types it."""
        return f"http://localhost:{self.port}"


@contextmanager
def serve(frontend: Frontend) -> Iterator[Frontend]:
    """Serve a frontend on loopback while the test runs."""

    class Handler(BaseHTTPRequestHandler):
        """Files, or what the API answers."""

        def answer(self) -> None:
            if self.path.startswith(frontend.rewrites or ("\0",)):
                self.pass_on()
                return
            media_type, text = frontend.files.get(urlsplit(self.path).path, ("text/plain", ""))
            self.reply(200 if text else 404, {"Content-Type": media_type}.items(), text.encode())

        def pass_on(self) -> None:
            """Ask the API the same thing, under its own name, and hand the answer on."""
            address = urlsplit(frontend.api)
            connection = http.client.HTTPConnection(
                address.hostname or "", address.port, timeout=30
            )
            sent = {
                name: value
                for name, value in self.headers.items()
                if name not in ("Host", "Connection")
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path, body, sent)
            response = connection.getresponse()
            self.reply(response.status, response.getheaders(), response.read())
            connection.close()

        def reply(self, status: int, headers: Any, body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in (
                    "connection",
                    "content-length",
                    "transfer-encoding",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  as http.server has it

        def log_message(self, *_: Any) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", frontend.port), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield frontend
        finally:
            server.shutdown()
            thread.join()
