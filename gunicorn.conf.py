"""How gunicorn serves the app; PORT, WEB_CONCURRENCY and THREADS fit it to a machine."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def whole_number(variable: str, given: str | int, most: int) -> int:
    """Return the number that a variable gives, or end the start."""
    text = str(given).strip()
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        sys.exit(f"{variable}={text!r}: give a whole number from 1 to {most}")
    return int(text)


bind = f"0.0.0.0:{whole_number('PORT', os.environ.get('PORT') or 3001, 65535)}"
workers = whole_number("WEB_CONCURRENCY", os.environ.get("WEB_CONCURRENCY") or 2, 1000)
# For quick requests; slow ones have threads of their own (movies_api/thread_pools.py)
threads = whole_number("THREADS", os.environ.get("THREADS") or 4, 1000)
worker_class = "movies_api.gunicorn_worker.Worker"
# A fault of the settings ends the start, and workers share the memory of what is imported
preload_app = True

# Routers give up on a response, and platforms kill after SIGTERM, at 30 seconds
timeout = 25
graceful_timeout = 20
# Longer than routers keep an idle connection (Heroku 90, AWS 60 seconds): the side that sends the
# next request must be the side that closes. An idle connection takes no thread
keepalive = 95
worker_connections = 4000

# glibc: blocks of 1 MiB and more go back when freed, and all threads share two arenas. Argon2 takes
# 19 MiB for each hash, and every thread's arena would keep them: 245 MB for two workers, not 92
with suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD
    ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX

# The heartbeat must not wait for a disk
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  kept in memory
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Log whether the database can serve; share with the workers what has been imported."""
    from movies_api.health import check_at_boot  # noqa: PLC0415  only now is the path set up

    check_at_boot(server.app.wsgi())
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Hand the worker the signals that arrived while it was being made."""
    worker.missed_signals = server.SIG_QUEUE
