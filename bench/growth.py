"""`python -m bench.growth`: the cost of a request as the tables and as one collection grow."""

import argparse
from pathlib import Path

from tests.servers import CHECKOUT

from . import report
from .measure import Figures, measure, medians
from .plot import Points, chart
from .scenarios import BY_NAME
from .service import Target, serve
from .stage import stage

EACH = 1000  # movies a person
TOTALS = (10_000, 100_000, 1_000_000)
FULL = (*TOTALS, 5_000_000)
COLLECTIONS = (1_000, 10_000, 100_000)  # of one person, in tables of the third of the totals
ON_TOTALS = ("list", "get", "create", "update", "search-common")
ON_COLLECTIONS = (
    "heavy-list",
    "heavy-page",
    "heavy-cursor",
    "heavy-search-rare",
    "heavy-search-common",
)
LINE = "{size:9,} {name:22}{row.server:8.2f}{row.database:8.2f}{row.cpu:8.2f}"
Rows = dict[int, dict[str, Figures]]


def measured(
    target: Target, names: tuple[str, ...], size: int, options: argparse.Namespace
) -> dict[str, Figures]:
    """Return the medians of the scenarios at this size, and print them."""
    rows = {}
    for name in names:
        rounds = range(options.rounds)
        rows[name] = medians([measure(target, BY_NAME[name], options.seconds) for _ in rounds])
        print(LINE.format(size=size, name=name, row=rows[name]), flush=True)
    return rows


def measure_growth(options: argparse.Namespace) -> tuple[Rows, Rows]:
    """Return the figures with more and more people, and with one larger and larger collection."""
    totals: Rows = {}
    collections: Rows = {}
    with stage(people=0, heavy=0) as on, serve(on) as target:
        people = 0
        for total in FULL if options.full else TOTALS:
            on.add_people(range(people + 1, total // EACH + 1), EACH)
            people = total // EACH
            totals[total] = measured(target, ON_TOTALS, total, options)
            for count in COLLECTIONS if total == TOTALS[-1] else ():
                on.add_heavy(count)
                collections[count] = measured(target, ON_COLLECTIONS, count, options)
    return totals, collections


def lines(rows: Rows) -> dict[str, Points]:
    """Return each scenario as points of size and CPU."""
    names = next(iter(rows.values()))
    return {
        name.removeprefix("heavy-"): [(size, row[name].cpu) for size, row in rows.items()]
        for name in names
    }


def main() -> None:
    """Measure both and write JSON and SVG."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also with 5 million movies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="length of one load")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "docs", help="a folder")
    options = parser.parse_args()
    print("   movies CPU, ms a request     server database    sum")
    totals, collections = measure_growth(options)
    conditions = report.conditions(rounds=options.rounds, seconds=options.seconds)
    content = {"conditions": conditions, "totals": totals, "collections": collections}
    report.save(options.output / "growth.json", content)
    everybody = f"movies in all, {EACH:,} a person"
    panels = [
        ("CPU ms a request, as the tables grow", everybody, lines(totals)),
        ("CPU ms a request, as one collection grows", "movies of one person", lines(collections)),
    ]
    (options.output / "growth.svg").write_text(chart(panels))


if __name__ == "__main__":
    main()
