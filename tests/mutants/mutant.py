"""A mutant: one check of the verifier removed or weakened, and the test that notices.

The table (``of_*.py``) names exact source text, so that a check that is rewritten needs its mutant
to be rewritten too: ``mutated`` refuses a fragment that is not in the file exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Outdated(Exception):
    """The table does not fit the source any more."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """In ``file``, ``fragment`` becomes ``replacement``; the test ``noticed_by`` then fails.

    ``file`` and ``noticed_by`` (``test_x.py::test_y``) are as from the project's and the tests'
    folder.
    """

    name: str
    file: str
    fragment: str
    replacement: str
    noticed_by: str

    @property
    def module(self) -> str:
        """The dotted name of the mutated module."""
        return self.file.removesuffix(".py").replace("/", ".")

    @property
    def test(self) -> str:
        """The test's node id."""
        return f"tests/{self.noticed_by}"

    def mutated(self) -> str:
        """The source of ``file`` with the check gone. Raises ``Outdated``."""
        source = (ROOT / self.file).read_text(encoding="utf-8")
        found = source.count(self.fragment)
        if found != 1 or self.fragment == self.replacement:
            raise Outdated(
                f"{self.name}: in {self.file} this is found {found} times, and must be once; "
                f"bring tests/mutants up to date:\n{self.fragment}"
            )
        return source.replace(self.fragment, self.replacement)


def removed(name: str, file: str, condition: str, noticed_by: str) -> Mutant:
    """What stands under ``if condition:`` never happens."""
    fragment, replacement = f"if {condition}:\n", f"if False and ({condition}):\n"
    return Mutant(name, file, fragment, replacement, noticed_by)
