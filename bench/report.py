"""What came out: a table for the terminal, JSON for the disk and for later comparison."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Figures


def conditions(**more: Any) -> dict[str, Any]:
    """Return what must be known to make sense of figures."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": described.stdout.strip(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[1],  # of five minutes: was the machine ours alone?
        "threads": os.environ.get("THREADS", "default"),
        **more,
    }


def table(name: str, rows: dict[str, Figures], before: dict[str, Any]) -> str:
    """Return the figures as text, the sum of CPU also in relation to the figures before."""
    lines = [
        f"\n{name:22}{'':26}{'CPU, ms a request':^28}",
        f"{'':22}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'server':>10}{'database':>10}{'sum':>8}"
        f"{'faults':>8}" + (f"{'before':>10}" if before else ""),
    ]
    for scenario, row in rows.items():
        line = f"{scenario:22}{row.rps:8.0f}{row.p50:9.1f}{row.p99:9.1f}"
        line += f"{row.server:10.2f}{row.database:10.2f}{row.cpu:8.2f}{row.faults:8}"
        if scenario in before:
            earlier = Figures(**before[scenario]).cpu
            line += f"{earlier:10.2f}  x{row.cpu / earlier:.2f}"
        lines.append(line)
    return "\n".join(lines)


def footer(conditions: dict[str, Any], memory: dict[str, float]) -> str:
    """Return the line below the tables."""
    held = ", ".join(f"{name.replace('_', ' ')} {mb:.0f} MB" for name, mb in memory.items())
    how = "{workers} workers, {connections} connections, medians of {rounds} x {seconds:g} s"
    return f"\n{how.format(**conditions)}; memory of the workers together: {held}"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=asdict) + "\n")
    print(f"written to {path}")


def saved(path: Path | None) -> dict[str, Any]:
    """Return the figures of an earlier run by target and scenario; none without a path."""
    if path is None:
        return {}
    targets: dict[str, Any] = json.loads(path.read_text())["targets"]
    return targets
