"""Return memory to the operating system after large images and imports."""

import ctypes
from contextlib import suppress


def release_memory() -> None:
    """Make glibc return free memory; otherwise a process may keep 200 MB after an animation.

    This takes milliseconds. Other C libraries lack the function and do not need it.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
