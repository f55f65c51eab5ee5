"""The walk through the specification's blocks, and the table of their results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atdata import settings as settings_module
from atdata.settings import Settings
from deploy.devnet.devnet import Devnet
from tests.specification.walk import BLOCKS, Walk

MAX_SHOWN = 60


class BlockTable:
    """Prints, at the end of the run, one line for each block that was run."""

    def __init__(self) -> None:
        self._results: dict[int, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        number = dict(report.user_properties).get("block")
        if isinstance(number, int) and (report.when == "call" or report.outcome != "passed"):
            self._results[number] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._results:
            return
        terminalreporter.section("the specification, block by block")
        for number, outcome in sorted(self._results.items()):
            block = BLOCKS[number]
            line = block.first_line
            shown = line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"
            terminalreporter.write_line(f"{block.key:42} {shown:{MAX_SHOWN}} {outcome}")
        passed = sum(outcome == "passed" for outcome in self._results.values())
        terminalreporter.write_line(f"{passed} of {len(BLOCKS)} blocks passed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "block(number): shows a block of the specification")
    config.pluginmanager.register(BlockTable())


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("block")
    if marker is not None:
        item.user_properties.append(("block", marker.args[0]))


@pytest.fixture(scope="module")
def shared_walk(
    devnet: Devnet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Walk, Settings]]:
    """The walk, and the settings under which it goes."""
    chosen = Settings(plc=devnet.plc, dev=True)
    before, settings_module._Holder.current = settings_module._Holder.current, chosen
    try:
        yield Walk(devnet, tmp_path_factory.mktemp("specification")), chosen
    finally:
        settings_module._Holder.current = before


@pytest.fixture
def walk(
    shared_walk: tuple[Walk, Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Walk:
    """The walk, in its own folder and with the devnet's settings."""
    shared, chosen = shared_walk
    monkeypatch.setattr(settings_module._Holder, "current", chosen)
    monkeypatch.chdir(shared.folder)
    return shared
