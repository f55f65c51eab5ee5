"""Every test here is of one of the 38 faults, and proves that its fault really happened.

    @pytest.mark.fault(20)
    def test_a_swallowed_commit(fault: Fault, db: Path) -> None:
        ...
        fault.fired(host.swallowed)   # a count that is zero without the fault
        same_as(Model.of(net), db)

``make faults`` (``table.py``) prints one line per fault.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.table import FAULTS

NUMBER, FIRED = "fault", "fired"


@dataclass
class Fault:
    """What the test in progress injects. ``count`` is how often it happened so far."""

    number: int
    name: str
    count: int = 0

    def fired(self, count: int) -> None:
        """It happened ``count`` times; none is a failure. May be called more than once."""
        assert count > 0, f"fault {self.number} ({self.name}) never happened"
        self.count += count


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number): one of the faults of tests/faults/table.py")


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    """The fault that the test is marked with."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a test of a fault has the marker fault(number)"
    (number,) = marker.args
    made = Fault(number, FAULTS[number])
    request.node.user_properties.append((NUMBER, number))
    return made


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Note in the report how often the fault happened. A test that does not prove that it did is
    none."""
    made = pyfuncitem.funcargs.get("fault")
    try:
        result = yield
    finally:
        if isinstance(made, Fault):
            pyfuncitem.user_properties.append((FIRED, made.count))
    if isinstance(made, Fault):
        made.fired(made.count)
    return result


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"
