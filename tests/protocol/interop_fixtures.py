"""The AT Protocol's interop fixtures, which lie beside the repository.

Rule: a test that reads no case fails. Whoever reads a file says how many cases it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

INTEROP = Path(__file__).parents[3] / "shared" / "interop"


def needs_interop(what: str) -> list[pytest.MarkDecorator]:
    """Marks for tests that need the fixtures; without them the tests are left out by name."""
    reason = f"left out: conformance of {what} (no fixtures at ../shared/interop)"
    return [pytest.mark.interop, pytest.mark.skipif(not INTEROP.is_dir(), reason=reason)]


def lines(name: str, count: int) -> list[str]:
    """The cases of ``syntax/name``: its lines as they are, without comments and empty ones."""
    text = (INTEROP / "syntax" / name).read_text(encoding="utf-8")
    cases = [line for line in text.split("\n") if line and not line.startswith("#")]
    assert len(cases) == count > 0, f"{name} has {len(cases)} cases"
    return cases


def cases(name: str, count: int) -> list[dict[str, Any]]:
    """The cases of a JSON file."""
    found: list[dict[str, Any]] = json.loads((INTEROP / name).read_text(encoding="utf-8"))
    assert len(found) == count > 0, f"{name} has {len(found)} cases"
    return found


def accepted(check: Callable[[str], object], error: type[Exception], texts: list[str]) -> list[str]:
    """The texts that ``check`` does not refuse with ``error``."""
    found = []
    for text in texts:
        try:
            check(text)
        except error:
            continue
        found.append(text)
    return found
