"""`python -m bench.memory`: what two workers hold after tens of thousands of requests."""

import argparse
import time
from pathlib import Path

from . import load, proc, report
from .measure import CONNECTIONS
from .scenarios import BY_NAME
from .service import Target, serve
from .stage import stage

OUTPUT = Path(__file__).with_name("results") / "memory.json"
# Shares of a thousand requests
MIX = {
    "list": 450,
    "get": 300,
    "create": 100,
    "update": 75,
    "search-common": 50,
    "refresh": 24,
    "login": 1,
}
LINE = "{requests:8,}{pss:10.1f}{rss:10.1f}"


def play(target: Target, requests: int) -> None:
    """Send so many requests in the shares of the mix."""
    for name, share in MIX.items():
        scenario, world = BY_NAME[name], target.log_in()
        scripts = [scenario.script(world, lane) for lane in range(CONNECTIONS)]
        most = requests * share // 1000
        done = load.run_apart(target.url, scripts, scenario.status, 600, most)
        if done.faults:
            raise load.LoadError(f"{name}: {done.faults} {done.fault}")


def main() -> None:
    """Load in steps and print the memory after each."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=50_000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    found = {}
    print("two workers together; PSS splits the pages they share with each other and the master")
    print("requests    PSS MB    RSS MB")
    with stage(heavy=0) as on, serve(on) as target:
        for total in range(0, options.requests + 1, options.step):
            if total:
                play(target, options.step)
                time.sleep(1)
            found[total] = proc.memory_mb(proc.children(target.server_pids[0]))
            print(LINE.format(requests=total, **found[total]), flush=True)
    report.save(options.output, {"conditions": report.conditions(mix=MIX), "memory": found})


if __name__ == "__main__":
    main()
