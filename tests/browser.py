"""Headless Chromium for the tests, driven by Selenium."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver

NO_BROWSER = (
    "Chromium and ChromeDriver are not on PATH: install the system package "
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
    """Return whether Chromium and ChromeDriver are installed."""
    return all(shutil.which(program) for program in ("chromium", "chromedriver"))


class ScriptError(AssertionError):
    """A script in the page threw an error."""


class Browser:
    """One window of a browser with an empty profile."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Load a page and wait until it has loaded."""
        self.driver.get(url)

    def reload(self) -> None:
        """Reload the page."""
        self.driver.refresh()

    def run(self, body: str, *arguments: object) -> Any:
        """Run the body of an async function in the page, with `args`, and return its result."""
        script = (
            "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);"
            f"(async () => {{ {body} }})().then("
            "  value => done({ value }), error => done({ error: `${error.name}: ${error.message}` }));"
        )
        result = self.driver.execute_async_script(script, *arguments)
        if "error" in result:
            raise ScriptError(result["error"])
        return result.get("value")

    def pick_file(self, path: Path) -> None:
        """Choose a file in the page's input for files."""
        self.driver.find_element("css selector", "input[type=file]").send_keys(str(path))

    def clear_cookies(self) -> None:
        """Delete the cookies of all sites."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def cookies(self) -> list[dict[str, Any]]:
        """Return the cookies that are sent to the URL of the page."""
        return self.driver.get_cookies()

    def console(self) -> list[str]:
        """Return the console messages since the last call, including violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the URLs that pages have requested since the last call."""
        log = self.driver.get_log("performance")
        events = [json.loads(entry["message"])["message"] for entry in log]
        sent = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "blob:"))]

    def screenshot(self) -> bytes:
        """Return a PNG of the window."""
        return self.driver.get_screenshot_as_png()


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start a browser and stop it afterwards."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as driver:
        driver.set_script_timeout(60)
        yield Browser(driver)


@dataclass
class Frontend:
    """A web server for a frontend's files that forwards paths with a prefix in `rewrites` to the API.

    As with the rewrites of Next.js, the browser then sees the API on the frontend's origin.
    """

    port: int
    files: Mapping[str, tuple[str, str]]
    rewrites: tuple[str, ...] = ()
    api: str = ""

    @property
    def url(self) -> str:
        """Return the origin."""
        return f"http://localhost:{self.port}"


@contextmanager
def serve(frontend: Frontend) -> Iterator[Frontend]:
    """Serve a frontend on loopback while the test runs."""

    class Handler(BaseHTTPRequestHandler):
        """Serves files and forwards requests."""

        def respond(self) -> None:
            if self.path.startswith(frontend.rewrites or ("\0",)):
                self.forward()
                return
            media_type, text = frontend.files.get(urlsplit(self.path).path, ("text/plain", ""))
            self.reply(200 if text else 404, {"Content-Type": media_type}.items(), text.encode())

        def forward(self) -> None:
            """Forward the request to the API and return its response."""
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

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond  # noqa: N815  required by http.server

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
