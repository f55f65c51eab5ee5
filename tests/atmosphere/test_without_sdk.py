"""Reading public datasets needs no SDK; what does need it says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_SDK = "import sys; sys.modules['atproto'] = None; "


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_SDK + program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_client_names_the_extra_to_install() -> None:
    done = run("from atdata.atmosphere import AtmosphereClient")
    assert "MissingExtra" in done.stderr
    assert "pip install 'atdata[atmosphere]'" in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "from atdata.atmosphere import AtUri; AtUri.parse('at://did:plc:x/a.b.c/k')",
        "import atdata; atdata.load_dataset; atdata.search",
        "import atdata.atmosphere.entries, atdata.atmosphere.repository",
    ],
)
def test_finding_and_loading_work_without_it(program: str) -> None:
    done = run(program)
    assert (done.returncode, done.stderr) == (0, "")
