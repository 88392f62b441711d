"""`python -m bench.profile SCENARIO`: where the CPU of one request goes, by layer and by stage.

The app is called in this process, against a real PostgreSQL, and only CPU time counts: neither
waiting nor a tracer's own cost is in the figures. Neither are gunicorn and the sockets.
"""

import argparse
import os
import time
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flask import Flask

from movies_api import create_app
from movies_api.config import Config

from .sampler import Sampler
from .scenarios import BY_NAME, Scenario
from .stage import Stage, stage

WARM_UP = 200


def environ_of(request: bytes) -> dict[str, Any]:
    """Return what a server would hand to the app for the bytes of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, protocol = first.split()
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": protocol,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for line in lines:
        name, _, value = line.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
    return environ


def answer_of(app: Flask, request: bytes) -> bytes:
    """Return the bytes of the app's answer."""
    head: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        head.extend([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)])

    content = app(environ_of(request), start)
    body = b"".join(content)
    getattr(content, "close", lambda: None)()
    return "\r\n".join([*head, "", ""]).encode() + body


def profile(on: Stage, scenario: Scenario, seconds: float) -> str:
    """Play a scenario for so many seconds of CPU; return what was seen."""
    app = create_app(Config.from_environ({**on.environment, "LOG_FORMAT": "json"}))
    script, sampler, count, started = scenario.script(on.log_in(), 0), Sampler(), 0, 0.0
    answer = answer_of(app, next(script))
    for _ in range(WARM_UP):
        answer = answer_of(app, script.send(answer))
    started = time.process_time()
    with sampler.running():
        while time.process_time() - started < seconds:
            answer = answer_of(app, script.send(answer))
            count += 1
    micro = (time.process_time() - started) / count * 1e6
    if int(answer[9:12]) != scenario.status:
        raise SystemExit(f"{scenario.name} answers {answer.decode(errors='replace')}")
    title = f"{scenario.name}: {micro:.0f} µs of CPU a request in the app, {count} requests"
    return f"{title}\n\n{sampler.tables(micro)}"


def main() -> None:
    """Profile one scenario."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("scenario", choices=BY_NAME)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    scenario = BY_NAME[options.scenario]
    heavy = 100_000 if scenario.name.startswith("heavy") else 0
    # The log lines are written, as in production, but not to the terminal
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        stage(200, 200, heavy) as on,
    ):
        text = profile(on, scenario, options.seconds)
    print(text)


if __name__ == "__main__":
    main()
