"""`python -m bench`: requests a second, times, CPU and memory of the service, on PostgreSQL."""

import argparse
import itertools
import multiprocessing
import os
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from tests.servers import CHECKOUT

from . import crowd, proc
from .scenarios import LANES, SCENARIOS, play
from .service import Service, serve

WARM_UP = 1.0
CROWD = "crowd-"
say = partial(print, file=sys.stderr, flush=True)  # not into the table
NAMES = [*SCENARIOS, *(CROWD + name for name in crowd.NEIGHBOURS)]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scenario", action="append", help="only those whose name begins so; may be repeated")
    add("--rounds", type=int, default=3, help="of each scenario; crowd has one (default: 3)")
    add("--seconds", type=float, default=5, help="of one round; crowd takes four times as long")
    add("--people", type=int, default=50, help="accounts with 200 movies each (default: 50)")
    add("--beside", type=Path, help="another checkout, measured in turns with this one")
    options = parser.parse_args()
    wanted = options.scenario or [""]
    options.names = [name for name in NAMES if name.startswith(tuple(wanted))]
    if not options.names:
        parser.error(f"--scenario: choose from {', '.join(NAMES)}")
    return options


def measure(service: Service, name: str, seconds: float, apart: Executor) -> list[float]:
    """Return the figures of one round of a scenario."""
    world = service.world()
    apart.submit(play, service.url, name, world, WARM_UP).result()
    pids = service.server_pid, service.database_pid
    before = [proc.cpu_seconds(pid) for pid in pids]
    result = apart.submit(play, service.url, name, world, seconds).result()
    cpu = [proc.cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True)]
    count = len(result.times)
    expected, _ = SCENARIOS[name]
    for status, example in result.examples.items():
        if status != expected:
            say(f"{status} in place of {expected}: {example}")
    return [
        count / result.seconds,
        result.ms(0.5),
        result.ms(0.99),
        *(seconds * 1000 / count for seconds in cpu),
        max(map(proc.memory_mb, proc.tree(service.server_pid))),
        count - result.statuses[expected],
    ]


def measure_all(services: list[Service], options: argparse.Namespace, apart: Executor) -> int:
    """Measure the scenarios on the services in turns, print the table, and count the errors."""
    heads, errors = ("req/s", "p50 ms", "p99 ms", "server ms", "pg ms", "RSS MB", "errors"), 0
    print(f"\n{'':32}" + "".join(f"{head:>10}" for head in heads))
    for name in [name for name in options.names if name in SCENARIOS]:
        rounds = [
            [measure(service, name, options.seconds, apart) for service in services]
            for _ in range(options.rounds)
        ]
        for service, *found in zip(services, *rounds, strict=True):
            *row, _ = (median(column) for column in zip(*found, strict=True))
            failed = sum(figures[-1] for figures in found)
            cells = zip([*row, failed], (0, 1, 1, 2, 2, 0, 0), strict=True)
            row_text = "".join(f"{value:10.{digits}f}" for value, digits in cells)
            print(f"{name + service.name:32}{row_text}", flush=True)
            errors += int(failed)
    return errors


def measure_crowd(services: list[Service], options: argparse.Namespace, apart: Executor) -> int:
    """Time another user's requests beside each kind of neighbours, and count those that failed."""
    names, errors = [name for name in options.names if name.startswith(CROWD)], 0
    if names:
        print(f"\n{'':32}{'GET /movies, ms':>24}{'GET /health, ms':>24}{'errors':>8}  neighbours")
        print(f"{'':32}" + "".join(f"{head:>8}" for head in ("p50", "p99", "max") * 2))
    for name, service in itertools.product(names, services):
        kind, world = name.removeprefix(CROWD), service.world()
        results, met = crowd.measure(kind, service.url, world, options.seconds * 4, apart)
        times = "".join(f"{each.ms(share):8.0f}" for each in results for share in (0.5, 0.99, 1))
        failed = sum(len(each.times) - each.statuses[200] for each in results)
        told = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
        print(f"{name + service.name:32}{times}{failed:8}  {told}", flush=True)
        errors += failed
    return errors


def main() -> int:
    """Run the bench; the exit status tells whether every response was the expected one."""
    options = arguments()
    apart = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with ExitStack() as stack:
        stack.enter_context(apart)
        say("starting PostgreSQL and the service, importing movies ...")
        serving = [serve(CHECKOUT, "", options.people)]
        if options.beside:
            name = f" ({options.beside.resolve().name})"
            serving.append(serve(options.beside, name, options.people))
        services = [stack.enter_context(each) for each in serving]
        for service in services:
            say(f"{service.url}{service.name}: gunicorn is process {service.server_pid}")
        errors = measure_all(services, options, apart) + measure_crowd(services, options, apart)
    print(
        f"\nmedians of {options.rounds} x {options.seconds:g} s; CPU per request with {LANES} "
        f"connections; RSS of the largest process; load average {os.getloadavg()[1]:.1f}"
    )
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
