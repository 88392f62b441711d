"""The gunicorn settings; PORT, WEB_CONCURRENCY and THREADS come from the environment."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from flask.cli import load_dotenv
from flask.helpers import get_load_dotenv


def parse_integer(variable: str, value: str | int, maximum: int) -> int:
    """Return the value of a variable as an integer, or exit with an error."""
    text = str(value).strip()
    if not text.isdecimal() or not 1 <= int(text[:9]) <= maximum:
        sys.exit(f"{variable}={text!r}: must be an integer between 1 and {maximum}")
    return int(text)


if get_load_dotenv():
    load_dotenv()  # wsgi.py does so too, but too late for the settings below
bind = f"0.0.0.0:{parse_integer('PORT', os.environ.get('PORT') or 3001, 65535)}"
workers = parse_integer("WEB_CONCURRENCY", os.environ.get("WEB_CONCURRENCY") or 2, 1000)
# For short requests; slow ones have separate threads (movies_api/thread_pools.py)
threads = parse_integer("THREADS", os.environ.get("THREADS") or 4, 1000)
worker_class = "movies_api.gunicorn_worker.Worker"
# Invalid settings abort the start, and workers share the memory of imported modules
preload_app = True

# Routers time out after 30 seconds, and platforms send SIGKILL 30 seconds after SIGTERM
timeout = 25
graceful_timeout = 20
# Longer than routers keep idle connections (Heroku 90, AWS 60 seconds), so that the router closes
# them and never sends a request on a closed one. An idle connection occupies no thread
keepalive = 95
worker_connections = 4000

# Make glibc return freed blocks of 1 MiB or more and share two arenas among all threads. Otherwise
# each arena keeps the 19 MiB of an Argon2 hash: 245 MB for two workers instead of 92
with suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD
    ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX

# A slow disk must not delay the heartbeat
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  in memory
control_socket_disable = True
# Where the processes share their metrics; prometheus_client reads the variable when it is imported
metrics_dir = None
if os.environ.get("METRICS_TOKEN") or os.environ.get("METRICS_TOKEN_FILE"):
    metrics_dir = mkdtemp(prefix="movies_api-metrics-", dir=worker_tmp_dir)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir


def when_ready(server: Any) -> None:
    """Check the setup, and freeze imported objects so that workers share their memory."""
    from movies_api.doctor import check_at_boot  # noqa: PLC0415  gunicorn sets sys.path late

    check_at_boot(server.app.wsgi())
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Pass the worker the signals that arrived during the fork."""
    worker.missed_signals = server.SIG_QUEUE


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the gauges of a process that has ended."""
    if metrics_dir:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  optional

        mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """Delete the shared metrics."""
    if metrics_dir:
        rmtree(metrics_dir, ignore_errors=True)
