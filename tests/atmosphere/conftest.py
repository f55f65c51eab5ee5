"""Accounts on the devnet, and settings that end with the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atdata import settings as settings_module
from atdata.atmosphere import AtmosphereClient
from atdata.settings import Settings
from deploy.devnet.devnet import Devnet

Configure = Callable[..., Settings]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Settings for this test alone."""

    def choose(*, api: str | None = None, plc: str = "http://localhost:1") -> Settings:
        chosen = Settings(api=api, plc=plc, dev=True)
        monkeypatch.setattr(settings_module._Holder, "current", chosen)
        return chosen

    return choose


@pytest.fixture
def on_devnet(configure: Configure, devnet: Devnet) -> Devnet:
    """The devnet, with the library set to its directory."""
    configure(plc=devnet.plc)
    return devnet


@pytest.fixture(scope="session")
def accounts(devnet: Devnet) -> Callable[[int, str], AtmosphereClient]:
    """A logged-in client for an account of that name, made on first use."""
    made: dict[str, AtmosphereClient] = {}

    def client(pds: int, name: str) -> AtmosphereClient:
        if name not in made:
            account = devnet.create_account(pds, name)
            made[name] = AtmosphereClient(base_url=account.pds_url)
            made[name].login(account.handle, account.password)
        return made[name]

    return client
