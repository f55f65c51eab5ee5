"""Fixtures that several parts share: the real AT Protocol network on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.devnet import devnet as launcher


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
