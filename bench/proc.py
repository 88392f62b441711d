"""CPU time and resident memory of processes, read from /proc."""

import os
from collections import defaultdict
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, CPU = 1, slice(11, 15)  # after the name: the parent; utime, stime, cutime, cstime


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").rpartition(")")[2].split()


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    below = defaultdict(list)
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and (fields := _stat(int(path.name))):
            below[int(fields[PARENT])].append(int(path.name))
    found = [pid]
    for each in found:  # grows during the loop
        found += below[each]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, those that ended included."""
    return sum(int(ticks) for each in tree(pid) for ticks in _stat(each)[CPU]) / TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process; 0 if it has ended."""
    fields = _read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if fields else 0
