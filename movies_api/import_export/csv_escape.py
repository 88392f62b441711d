"""CSV escape: cells that a spreadsheet would run as a formula.

Export adds exactly one apostrophe and import removes exactly one, so that titles survive.
"""

import re

from ..movies.queries import LISTED

COLUMNS = tuple(str(column.key) for column in LISTED)
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def escape_cell(text: str) -> str:
    """Return the text in a form that no spreadsheet runs."""
    return f"'{text}" if FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    """Return the text that `escape_cell` escaped."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
