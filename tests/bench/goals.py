"""What a benchmark was to reach, and whether it did.

Every goal is printed as met or MISSED where it was measured; a program that missed one goes on to
its end and then exits with 1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass
class Goals:
    """The goals of one run."""

    missed: list[str] = field(default_factory=list)
    count: int = 0

    def verdict(self, what: str, goal: str, met: bool) -> str:
        """``(goal …: met)``, for the end of a line; ``what`` was measured."""
        self.count += 1
        if not met:
            self.missed.append(f"{what}, goal {goal}")
        return f"(goal {goal}: {'met' if met else 'MISSED'})"

    def end(self) -> None:
        """Say how it went. Exits with 1 if a goal was missed."""
        if not self.missed:
            print(f"all {self.count} goals met")
            return
        print(f"{len(self.missed)} of {self.count} goals MISSED:")
        for missed in self.missed:
            print(f"    {missed}")
        sys.exit(1)
