"""Runs tests against mutated source: one forked process per mutant, the checkout is never touched.

A finder in front of all others compiles the mutated text where the module is imported. What is
imported before the fork is not ours (codecs, pytest, DuckDB), so that each child imports every
module of ours anew, the mutated one among them.

``python -m tests.mutants.runner`` prints one line per mutant, and fails if one survives.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants import table
from tests.mutants.mutant import ROOT, Mutant, Outdated

# Slow to import, and none of ours: once, before the first fork.
_FOREIGN = (
    "cbor2",
    "coincurve",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "dns.resolver",
    "duckdb",
    "libipld",
    "prometheus_client",
    "pyarrow",
    "pydantic_settings",
    "structlog",
    "urllib3",
    "websockets.asyncio.client",
    "websockets.asyncio.server",
)
_TEST_SECONDS = 30


class Fate(StrEnum):
    """What became of a mutant. Only ``KILLED`` is as it should be."""

    KILLED = "killed"
    SURVIVED = "survived"
    NOT_TESTED = "not tested"
    """Its module was not imported, its test not found, or the mutated source is no Python."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``output`` is what pytest printed."""

    mutant: Mutant
    fate: Fate
    output: str


class _MutatedLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.file))
        self._source = mutant.mutated()
        self.was_used = False

    def get_code(self, fullname: str) -> CodeType:
        self.was_used = True
        return compile(self._source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, loader: _MutatedLoader) -> None:
        self._loader = loader

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._loader.name:
            return None
        return importlib.util.spec_from_file_location(name, self._loader.path, loader=self._loader)


def run_tests(tests: Iterable[str]) -> tuple[int, str]:
    """pytest's exit code and output. Failing examples are neither made smaller nor kept."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutants", phases=phases, database=None, derandomize=True, suppress_health_check=HealthCheck
    )
    settings.load_profile("mutants")
    options = ["-qq", "-x", "--tb=line", "--disable-warnings", "--noconftest", "--assert=plain"]
    options += ["-p", "no:cacheprovider"]
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        code = pytest.main([*options, f"--timeout={_TEST_SECONDS}", *tests])
    return int(code), output.getvalue()


def judge(mutant: Mutant) -> tuple[Fate, str]:
    """In a process that has imported nothing of ours yet."""
    loader = _MutatedLoader(mutant)
    sys.meta_path.insert(0, _Finder(loader))
    code, output = run_tests([mutant.test])
    if not loader.was_used:
        return Fate.NOT_TESTED, output + f"\n{mutant.module} was not imported"
    if code == pytest.ExitCode.OK:
        return Fate.SURVIVED, output
    return (Fate.KILLED if code == pytest.ExitCode.TESTS_FAILED else Fate.NOT_TESTED), output


def verdicts(mutants: Sequence[Mutant], at_once: int) -> Iterator[Verdict]:
    """As the mutants end, ``at_once`` side by side."""
    for name in _FOREIGN:
        importlib.import_module(name)
    gc.freeze()
    waiting, running = list(reversed(mutants)), dict[int, tuple[Mutant, Path]]()
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < at_once:
                mutant, answer = waiting.pop(), Path(folder) / str(len(waiting))
                running[_fork(mutant, answer)] = mutant, answer
            pid, _ = os.wait()
            mutant, answer = running.pop(pid)
            text = answer.read_text(encoding="utf-8") if answer.exists() else "not tested\nit died"
            fate, _, output = text.partition("\n")
            yield Verdict(mutant, Fate(fate), output)


def _fork(mutant: Mutant, answer: Path) -> int:
    """The child writes its fate and pytest's output to ``answer``."""
    pid = os.fork()
    if pid:
        return pid
    try:
        try:
            fate, output = judge(mutant)
        except Outdated as error:
            fate, output = Fate.NOT_TESTED, str(error)
        answer.write_text(f"{fate}\n{output}", encoding="utf-8")
    finally:
        os._exit(0)  # the parent's code is not for the child


def main(names: Sequence[str]) -> int:
    """Of all mutants, or of those whose name holds one of ``names``."""
    wrong = 0
    mutants = [m for m in table.MUTANTS if not names or any(name in m.name for name in names)]
    for verdict in verdicts(mutants, at_once=os.cpu_count() or 1):
        print(f"{verdict.fate:10}  {verdict.mutant.name}", flush=True)
        if verdict.fate is not Fate.KILLED:
            wrong += 1
            print(f"            {verdict.mutant.test}\n{verdict.output[-1500:]}", flush=True)
    print(f"{len(mutants) - wrong} of {len(mutants)} mutants were killed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
