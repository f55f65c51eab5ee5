"""``python -m tests.faults.table``: run the tests of all faults, and print one line per fault."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import pytest

FAULTS = {
    1: "truncated frame; third object after the body",
    2: "unknown t or op",
    3: "error frame FutureCursor",
    4: "error frame ConsumerTooSlow",
    5: "OutdatedCursor, or a silent jump beyond retention",
    6: "duplicated or regressed seq window",
    7: "seq above 2^53, negative, text",
    8: "half-open socket",
    9: "SIGKILL between any two writes",
    10: "disk full; failing commit",
    11: "bad signature",
    12: "signing key rotated before #identity",
    13: "PLC down",
    14: "envelope differs from the signed commit",
    15: "one byte of a block flipped",
    16: "op omitted, added, duplicated, wrong prev",
    17: "prevData forged to match our state",
    18: "first sighting of a repo",
    19: "prevData missing",
    20: "one commit swallowed",
    21: "rev ahead of the clock; same rev, other data",
    22: "#sync identical, differing, during a resync",
    23: "resync finds records gone",
    24: "repo CAR cut at every block boundary",
    25: "getRepo: wrong DID, older, 429, trickle, endless",
    26: "live commits and deletes racing a snapshot",
    27: "delete and recreate; update and delete in a gap",
    28: "account deleted, back, posts; stale #account",
    29: "account moves to another PDS during a resync",
    30: "100,000 commits from one DID",
    31: "hostile trees",
    32: "hostile records",
    33: "enumeration loops, repeats, shrinks",
    34: "look-alike collections",
    35: "frame of 5 MB; of 5 MB + 1",
    36: "two sources with seqs of their own",
    37: "DuckDB file or log torn, truncated, refused",
    38: "text index deleted, behind, of another version",
}


class Table:
    """A pytest plugin: collects what the tests report, prints a line per fault at the end."""

    def __init__(self) -> None:
        self.fired: Counter[int] = Counter()
        self.tests: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self._started = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for set-up, call and tear-down of each test."""
        noted = dict(report.user_properties)
        number = noted.get("fault")
        if not isinstance(number, int):
            return
        if report.when == "call":
            self.tests[number] += 1
            fired = noted.get("fired")
            self.fired[number] += fired if isinstance(fired, int) else 0
        self.failed[number] += report.failed

    def result(self, number: int) -> str:
        """``ok``, or what is wrong."""
        if not self.tests[number]:
            return "NO TEST"
        if self.failed[number]:
            return f"FAILED ({self.failed[number]} of {self.tests[number]} tests)"
        return "ok" if self.fired[number] else "DID NOT HAPPEN"

    def print(self) -> bool:
        """All lines. Whether every fault is survived."""
        print(f"\n{'':>4} {'fault':50} {'fired':>9} {'tests':>6}  result")
        for number, name in FAULTS.items():
            fired, tests = self.fired[number], self.tests[number]
            print(f"{number:>4} {name:50} {fired:>9,} {tests:>6}  {self.result(number)}")
        survived = sum(self.result(number) == "ok" for number in FAULTS)
        seconds = time.monotonic() - self._started
        print(f"{survived} of {len(FAULTS)} faults survived, in {seconds:.0f} s")
        return survived == len(FAULTS)


def main() -> int:
    """The exit status: 0 if every fault has tests and all of them pass."""
    table = Table()
    folder = str(Path(__file__).parent)
    options = ["-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
    status = pytest.main([folder, *options, *sys.argv[1:]], plugins=[table])
    return int(not table.print() or status != pytest.ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
