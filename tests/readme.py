"""The README's examples, so that tests can run them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .servers import CHECKOUT

README = CHECKOUT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATED_URL = "localhost:3001"


@dataclass(frozen=True)
class Example:
    """A block of code, the language it names and the nearest heading above it."""

    language: str
    text: str
    heading: str


def examples(language: str, heading: str = "") -> list[Example]:
    """List the blocks of a language, of one section or of all."""
    text = README.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        above = re.findall(r"^##+ (.+)$", BLOCK.sub("", text[: block.start()]), re.MULTILINE)
        found.append(Example(block[1], block[2], above[-1] if above else ""))
    return [each for each in found if each.language == language and heading in ("", each.heading)]


def file_example(path: str) -> str:
    """Return the block whose first line is a comment that names the file."""
    (found,) = [each for each in examples("js") if each.text.startswith(f"// {path}\n")]
    return found.text
