"""One node on the demo recording, for all tests that only read from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.node import Node, free_port, node
from tests.flow.replay import DEMO, demo_is_indexed


@pytest.fixture(scope="session")
def demo_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """``atdata serve --recording recordings/demo``, caught up."""
    folder = tmp_path_factory.mktemp("demo")
    replay_port = str(free_port())
    with node(folder, "--recording", str(DEMO), "--replay-port", replay_port) as running:
        running.wait_until(lambda: demo_is_indexed(running), "the demo is indexed")
        yield running
