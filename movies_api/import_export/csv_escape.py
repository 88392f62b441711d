"""CSV escape: cells that a spreadsheet would run as a formula.

Exactly one is added, and exactly one is taken away, so that no title changes on the way.
"""

import re

COLUMNS = ("id", "title", "year", "imageUrl", "createdAt", "updatedAt")
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def escape_cell(text: str) -> str:
    """Return the text as a spreadsheet may open it."""
    return f"'{text}" if FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    """Return what `escape_cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
