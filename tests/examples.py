"""Code examples of README.md and docs/ for the tests to run."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass

from .servers import CHECKOUT

PAGES = [
    str(path.relative_to(CHECKOUT))
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")
    for path in sorted(CHECKOUT.glob(pattern))
]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
STATED_URL = "localhost:3001"
SAMPLES = CHECKOUT / "examples"


@dataclass(frozen=True)
class Example:
    """A code block: its page, its language and its text."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        """Return the test ID."""
        return f"{self.page}-{self.text.splitlines()[0][:30]}"


def read(page: str) -> str:
    """Return the text of a page."""
    return (CHECKOUT / page).read_text(encoding="utf-8")


def examples(language: str = "", page: str = "") -> list[Example]:
    """List the code blocks of a language and a page, or of all."""
    found = [
        Example(each, block[2], textwrap.dedent(block[3]))
        for each in PAGES
        if page in {"", each}
        for block in BLOCK.finditer(read(each))
    ]
    return [each for each in found if language in {"", each.language}]


def file_example(path: str, api: str = "") -> str:
    """Return a file of the sample frontends; api.js calls the API at `api`."""
    text, stated = (
        (SAMPLES / path).read_text(encoding="utf-8"),
        'API = import.meta.env?.VITE_API_URL ?? "";',
    )
    assert not api or stated in text
    return text.replace(stated, f"API = {json.dumps(api)};")
