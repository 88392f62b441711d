"""Measuring: a load on a target, and what it cost on either side."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from . import load, proc
from .scenarios import Scenario
from .service import Target

CONNECTIONS = 32
WARM_UP = 1.0


@dataclass(frozen=True)
class Figures:
    """One scenario on one target: rates a second, times and CPU in milliseconds."""

    rps: float
    p50: float
    p99: float
    server: float
    database: float
    faults: int
    load: float  # CPU of the load generator; in none of the others
    requests: int

    @property
    def cpu(self) -> float:
        """Return what server and database cost together."""
        return self.server + self.database


def measure(target: Target, scenario: Scenario, seconds: float, most: int = 1_000_000) -> Figures:
    """Warm up, then load the target, and return the figures of the load alone."""
    for length in (WARM_UP, seconds):
        world = target.log_in()
        before = _cpu(target)
        scripts = [scenario.script(world, lane) for lane in range(CONNECTIONS)]
        done = load.run_apart(target.url, scripts, scenario.status, length, most)
        server, database = (now - then for now, then in zip(_cpu(target), before, strict=True))
    if done.faults:
        print(f"  faults of {scenario.name}: {done.faults} {done.fault}")
    return Figures(
        rps=done.requests / done.seconds,
        p50=done.p50 * 1000,
        p99=done.p99 * 1000,
        server=server * 1000 / done.requests,
        database=database * 1000 / done.requests,
        faults=sum(done.faults.values()),
        load=done.own_cpu * 1000 / done.requests,
        requests=done.requests,
    )


def _cpu(target: Target) -> tuple[float, float]:
    return proc.cpu_seconds(target.server_pids), proc.cpu_seconds(target.database_pids)


def medians(rounds: list[Figures]) -> Figures:
    """Return the median of each figure; faults and requests are added up."""
    columns: dict[str, Any] = {
        name: median(asdict(each)[name] for each in rounds) for name in asdict(rounds[0])
    }
    sums = {name: sum(getattr(each, name) for each in rounds) for name in ("faults", "requests")}
    return Figures(**{**columns, **sums})
