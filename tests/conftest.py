"""What several parts share: the real AT Protocol network, and the rule of what is left out.

A test that this machine cannot run is skipped with a reason that begins "left out:". Where
``ATDATA_REQUIRE_ALL`` is set (CI), nothing may be left out: any skip fails the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from deploy.devnet import devnet as launcher
from tests.flow.node import Node, free_port, node
from tests.flow.replay import DEMO, demo_is_indexed

# How long an example takes says more about the machine than about us.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, by name and with the reason, what this machine cannot run."""
    if reason := launcher.missing():
        skip = pytest.mark.skip(f"left out: tests against the real PDS and PLC ({reason})")
        for item in items:
            if item.get_closest_marker("devnet"):
                item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the devnet's servers before the first test, outside of any test's time limit."""
    wanted = any(item.get_closest_marker("devnet") for item in session.items)
    if wanted and not session.config.option.collectonly and launcher.missing() is None:
        launcher.install()


@pytest.fixture(scope="session")
def devnet() -> Iterator[launcher.Devnet]:
    """One PLC and two PDSes for the whole run. Tests share it: use account names of your own, and
    leave both PDSes running. Tests that use it carry the marker ``devnet``."""
    with launcher.Devnet(pds_count=2) as net:
        yield net


@pytest.fixture(scope="session")
def demo_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """``atdata serve --recording recordings/demo``, caught up: one node on the demo recording, for
    all tests that only read from it."""
    folder = tmp_path_factory.mktemp("demo")
    replay_port = str(free_port())
    with node(folder, "--recording", str(DEMO), "--replay-port", replay_port) as running:
        running.wait_until(lambda: demo_is_indexed(running), "the demo is indexed")
        yield running


@pytest.fixture(autouse=True, scope="session")
def library_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test, and no process that one starts, looks into the library of whoever runs the tests."""
    os.environ["ATDATA_LIBRARY"] = str(tmp_path_factory.mktemp("library"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a test that was left out is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("ATDATA_REQUIRE_ALL"):
        return
    left_out = len(reporter.stats.get("skipped", []))
    if left_out and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"\n{left_out} tests were left out, and all are required here")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
