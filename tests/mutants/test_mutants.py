"""Each check of the verifier is necessary: without it, a test fails.

A mutant is killed by the test that its row in the table names; the same tests pass on the source as
it is. ``python -m tests.mutants.runner [NAME …]`` runs the table, or a part of it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.mutants.mutant import ROOT
from tests.mutants.table import MUTANTS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_the_table_fits_the_source(file: str) -> None:
    for mutant in MUTANTS:
        if mutant.file == file:
            compile(mutant.mutated(), mutant.file, "exec")


def test_every_name_is_used_once() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert sorted(names) == sorted(set(names))


@pytest.mark.timeout(300)
def test_the_tests_pass_on_the_source_as_it_is() -> None:
    tests = sorted({mutant.test for mutant in MUTANTS})
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", *tests)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.timeout(900)
def test_every_mutant_is_killed() -> None:
    done = run("-m", "tests.mutants.runner")
    print(done.stdout)
    assert done.returncode == 0, "\n".join(
        line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("killed")
    )
