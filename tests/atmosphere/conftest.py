"""Accounts on the devnet, and settings that end with the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atdata import settings as settings_module
from atdata.atmosphere import AtmosphereClient
from atdata.settings import Settings
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import features, tar_of

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


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Three shards of ten samples, as a brace pattern."""
    for n in range(3):
        samples = features(30)[10 * n : 10 * n + 10]
        (tmp_path / f"data-{n:06d}.tar").write_bytes(tar_of(samples, 10 * n))
    return str(tmp_path / "data-{000000..000002}.tar")
