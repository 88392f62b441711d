"""`python -m bench`: every scenario, on a real gunicorn and PostgreSQL, as a table and as JSON."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from . import proc, report
from .measure import CONNECTIONS, Figures, measure, medians
from .scenarios import BY_NAME
from .service import Target, remote, serve, serve_tutorial
from .stage import stage

OUTPUT = Path(__file__).with_name("results") / "bench.json"
Results = dict[str, dict[str, Figures]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scenario", action="append", choices=BY_NAME, help="only this one; may be repeated")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=5, help="length of one load")
    add("--workers", type=int, help="processes of each service (2; 4 with --pgbouncer)")
    add("--pgbouncer", action="store_true", help="PgBouncer in transaction mode in between")
    add("--tutorial", action="store_true", help="beside it the same movies the tutorial way")
    add("--url", help="beside it a service that runs already; accounts are made on it")
    add("--server-pid", type=int, action="append", default=[], help="its CPU counts with --url")
    add("--database-pid", type=int, action="append", default=[], help="so does this one's")
    add("--compare", type=Path, metavar="OLD.json", help="an earlier result")
    add("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


def main() -> int:
    """Run the bench; the exit status tells whether every answer was the expected one."""
    options = arguments()
    workers = options.workers or (4 if options.pgbouncer else 2)
    names = options.scenario or list(BY_NAME)
    before = report.saved(options.compare)
    with ExitStack() as stack:
        say("starting PostgreSQL and loading movies ...\n")
        heavy = 100_000 if any(name.startswith("heavy") for name in names) else 0
        on = stack.enter_context(stage(heavy=heavy, pooled=options.pgbouncer))
        targets = [stack.enter_context(serve(on, workers))]
        if options.tutorial:
            targets.append(stack.enter_context(serve_tutorial(on, workers)))
        if options.url:
            targets.append(remote(options.url, options.server_pid, options.database_pid))
        results = run(targets, names, options.rounds, options.seconds)
        memory = proc.memory_mb(proc.children(targets[0].server_pids[0]))
    told = {name: getattr(options, name) for name in ("rounds", "seconds", "pgbouncer")}
    conditions = report.conditions(workers=workers, connections=CONNECTIONS, **told)
    for name, rows in results.items():
        print(report.table(name, rows, before.get(name, {})))
    print(report.footer(conditions, memory))
    report.save(options.output, {"conditions": conditions, "memory": memory, "targets": results})
    return int(any(row.faults for rows in results.values() for row in rows.values()))


def run(targets: list[Target], names: list[str], rounds: int, seconds: float) -> Results:
    """Measure every scenario on every target, side by side, in rounds; return the medians."""
    found: dict[str, dict[str, list[Figures]]] = {target.name: {} for target in targets}
    plays = [(name, target) for name in names for target in targets if target.has(name)]
    for number in range(1, rounds + 1):
        for name, target in plays:
            say(f"round {number}/{rounds}  {target.name:12} {name:20}")
            figures = measure(target, BY_NAME[name], seconds)
            say(f"{figures.rps:8.0f} req/s {figures.cpu:7.2f} ms\n")
            found[target.name].setdefault(name, []).append(figures)
    return {
        target: {name: medians(figures) for name, figures in rows.items()}
        for target, rows in found.items()
    }


def say(text: str) -> None:
    """Tell how far it is, without getting into the table."""
    print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
