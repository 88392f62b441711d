"""Names of functions and classes are unique in the package."""

from __future__ import annotations

import ast
from collections import defaultdict

from ..servers import CHECKOUT

# Names that several modules may define, each with the reason
ALLOWED: dict[str, str] = {}


def test_no_two_definitions_share_a_name():
    places = defaultdict(list)
    for path in sorted((CHECKOUT / "movies_api").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in ALLOWED:
                places[node.name].append(str(path.relative_to(CHECKOUT)))

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_allowed_names_are_shared():
    """An entry that is no longer needed must be removed."""
    counts = dict.fromkeys(ALLOWED, 0)
    for path in (CHECKOUT / "movies_api").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in counts:
                counts[node.name] += 1

    assert [name for name, count in counts.items() if count < 2] == []
