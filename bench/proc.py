"""What processes cost, read from /proc: CPU time and memory of a process and its descendants."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, CPU = 1, slice(11, 15)  # after the name: the parent; utime, stime, cutime, cstime


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid: int) -> list[int]:
    """Return the living children of a process: the workers of a gunicorn."""
    return _children().get(pid, [])


def _children() -> dict[int, list[int]]:
    found = defaultdict(list)
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and (fields := _stat(int(path.name))):
            found[int(fields[PARENT])].append(int(path.name))
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU time of processes and all who descend from them, those who ended included."""
    below, ticks, todo = _children(), 0, list(roots)
    while todo:
        pid = todo.pop()
        ticks += sum(int(field) for field in _stat(pid)[CPU])
        todo += below.get(pid, [])
    return ticks / TICKS


def memory_mb(pids: Iterable[int]) -> dict[str, float]:
    """Return the memory of the processes together: pss (shared pages split), rss, peak_rss."""
    total = {"pss": 0.0, "rss": 0.0, "peak_rss": 0.0}
    names = {"Pss:": "pss", "Rss:": "rss", "VmHWM:": "peak_rss"}
    for pid in pids:
        for file in ("smaps_rollup", "status"):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                words = line.split()
                if words[0] in names:
                    total[names[words[0]]] += int(words[1]) / 1024
    return total
