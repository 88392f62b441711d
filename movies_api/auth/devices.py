"""Devices: what a person recognises a session by."""

import re

from ua_parser import parse

from ..api.fields import CONTROL


def warm_up_devices() -> None:
    """Read at boot what the first login would have to wait for."""
    parse_device("curl/8")


def parse_device(header: str) -> str:
    """Return the likes of `Firefox on Linux`, or the first word of what a script calls itself."""
    header = CONTROL.sub("", header[:300])
    known = parse(header)
    browser = known.user_agent.family if known.user_agent else None
    system = known.os.family if known.os else None
    if browser and system:
        return f"{browser} on {system}"[:100]
    return (browser or re.split("[/ ]", header, maxsplit=1)[0] or "unknown")[:100]
