"""`python -m bench`: throughput, latency, CPU and memory of the service on PostgreSQL."""

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
from .scenarios import CLIENTS, SCENARIOS, run_scenario
from .service import Service, serve

WARM_UP = 1.0
CROWD = "crowd-"
log = partial(print, file=sys.stderr, flush=True)  # stdout is for the table
NAMES = [*SCENARIOS, *(CROWD + name for name in crowd.NEIGHBOURS)]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scenario", action="append", help="only scenarios with this prefix; may be repeated")
    add("--rounds", type=int, default=3, help="per scenario; crowd scenarios have one (default: 3)")
    add("--seconds", type=float, default=5, help="per round; four times as long for a crowd")
    add("--people", type=int, default=50, help="accounts with 200 movies each (default: 50)")
    add("--beside", type=Path, help="another checkout to compare with this one")
    options = parser.parse_args()
    wanted = options.scenario or [""]
    options.names = [name for name in NAMES if name.startswith(tuple(wanted))]
    if not options.names:
        parser.error(f"--scenario: choose from {', '.join(NAMES)}")
    return options


def measure(service: Service, name: str, seconds: float, pool: Executor) -> list[float]:
    """Return the results of one round of a scenario."""
    accounts = service.accounts()
    pool.submit(run_scenario, service.url, name, accounts, WARM_UP).result()
    pids = service.server_pid, service.database_pid
    before = [proc.cpu_seconds(pid) for pid in pids]
    result = pool.submit(run_scenario, service.url, name, accounts, seconds).result()
    cpu = [proc.cpu_seconds(pid) - start for pid, start in zip(pids, before, strict=True)]
    count = len(result.times)
    expected, _ = SCENARIOS[name]
    for status, example in result.examples.items():
        if status != expected:
            log(f"{status} instead of {expected}: {example}")
    return [
        count / result.seconds,
        result.ms(0.5),
        result.ms(0.99),
        *(seconds * 1000 / count for seconds in cpu),
        max(map(proc.memory_mb, proc.tree(service.server_pid))),
        count - result.statuses[expected],
    ]


def measure_all(services: list[Service], options: argparse.Namespace, pool: Executor) -> int:
    """Measure the scenarios on the services alternately, print the table and count the errors."""
    heads, errors = ("req/s", "p50 ms", "p99 ms", "server ms", "pg ms", "RSS MB", "errors"), 0
    print(f"\n{'':32}" + "".join(f"{head:>10}" for head in heads))
    for name in [name for name in options.names if name in SCENARIOS]:
        rounds = [
            [measure(service, name, options.seconds, pool) for service in services]
            for _ in range(options.rounds)
        ]
        for service, *found in zip(services, *rounds, strict=True):
            *row, _ = (median(column) for column in zip(*found, strict=True))
            failed = sum(results[-1] for results in found)
            cells = zip([*row, failed], (0, 1, 1, 2, 2, 0, 0), strict=True)
            row_text = "".join(f"{value:10.{digits}f}" for value, digits in cells)
            print(f"{name + service.name:32}{row_text}", flush=True)
            errors += int(failed)
    return errors


def measure_crowd(services: list[Service], options: argparse.Namespace, pool: Executor) -> int:
    """Time a user's requests beside each kind of neighbours and count the failed ones."""
    names, errors = [name for name in options.names if name.startswith(CROWD)], 0
    if names:
        print(f"\n{'':32}{'GET /movies, ms':>24}{'GET /health, ms':>24}{'errors':>8}  neighbours")
        print(f"{'':32}" + "".join(f"{head:>8}" for head in ("p50", "p99", "max") * 2))
    for name, service in itertools.product(names, services):
        kind, accounts = name.removeprefix(CROWD), service.accounts()
        results, counts = crowd.measure(kind, service.url, accounts, options.seconds * 4, pool)
        times = "".join(f"{each.ms(share):8.0f}" for each in results for share in (0.5, 0.99, 1))
        failed = sum(len(each.times) - each.statuses[200] for each in results)
        outcome = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"{name + service.name:32}{times}{failed:8}  {outcome}", flush=True)
        errors += failed
    return errors


def main() -> int:
    """Run the benchmark; return 1 if any response was unexpected."""
    options = arguments()
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with ExitStack() as stack:
        stack.enter_context(pool)
        log("starting PostgreSQL and the service, importing movies ...")
        serving = [serve(CHECKOUT, "", options.people)]
        if options.beside:
            name = f" ({options.beside.resolve().name})"
            serving.append(serve(options.beside, name, options.people))
        services = [stack.enter_context(each) for each in serving]
        for service in services:
            log(f"{service.url}{service.name}: gunicorn is process {service.server_pid}")
        errors = measure_all(services, options, pool) + measure_crowd(services, options, pool)
    print(
        f"\nmedians of {options.rounds} x {options.seconds:g} s; CPU per request with {CLIENTS} "
        f"connections; RSS of the largest process; load average {os.getloadavg()[1]:.1f}"
    )
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
