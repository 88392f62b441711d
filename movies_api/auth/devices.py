"""Devices: the name by which a user recognizes a session."""

import re

from ua_parser import parse

from ..api.fields import CONTROL


def warm_up_devices() -> None:
    """Load the parser at boot, so that the first login does not wait for it."""
    parse_device("curl/8")


def parse_device(header: str) -> str:
    """Return e.g. `Firefox on Linux`, or the first word of an unknown User-Agent."""
    header = CONTROL.sub("", header[:300])
    known = parse(header)
    browser = known.user_agent.family if known.user_agent else None
    system = known.os.family if known.os else None
    if browser and system:
        return f"{browser} on {system}"[:100]
    return (browser or re.split("[/ ]", header, maxsplit=1)[0] or "unknown")[:100]
