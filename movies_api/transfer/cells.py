"""Cells of CSV, kept from being formulas: what begins like one gets an apostrophe in front.

Exactly one is added, and exactly one is taken away, so that no title changes on the way.
"""

import re

COLUMNS = ("id", "title", "year", "imageUrl", "createdAt", "updatedAt")
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def guarded(text: str) -> str:
    """Return the text as a spreadsheet may open it."""
    return f"'{text}" if FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Return what `guarded` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
