"""A host of the test's own, and settings that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atdata import settings as settings_module
from atdata.settings import Settings
from tests.discovery.host import Host
from tests.network.local_server import LocalServer

Configure = Callable[..., Settings]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Settings for this test alone. Without a directory, index or library unless given."""

    def choose(
        *, api: str | None = None, plc: str = "http://localhost:1", library: Path | None = None
    ) -> Settings:
        chosen = Settings(api=api, plc=plc, dev=True, handle_hosts=(plc,), library=library)
        monkeypatch.setattr(settings_module._Holder, "current", chosen)
        return chosen

    return choose


@pytest.fixture
def host() -> Iterator[Host]:
    with LocalServer({}) as server:
        yield Host.on(server)


@pytest.fixture
def library(tmp_path: Path, host: Host, configure: Configure) -> Path:
    """The configured library; index, directory and PDS are ``host``."""
    folder = tmp_path / "the {library}"
    configure(api=host.server.url, plc=host.server.url, library=folder)
    return folder
