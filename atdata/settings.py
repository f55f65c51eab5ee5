"""What the library talks to: read once, on first use, into one frozen object.

``configure(...)`` overrides it; otherwise the environment is asked (``ATDATA_API``, ``ATDATA_PLC``,
``ATDATA_DEV``, ``ATDATA_LIBRARY``). Nothing else in the library reads the environment. Processes
that are started anew with a source of ours get the settings with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import names_user, shown_url

DEFAULT_PLC = "https://plc.directory"


@dataclass(frozen=True)
class Settings:
    """``api`` is the base URL of a search API; ``plc`` of a PLC directory. ``dev`` allows http and
    loopback addresses, for a network on one's own machine; ``handle_hosts`` are origins of PDSes
    that are asked there for handles which no DNS knows (``alice.test``). ``library`` is the folder
    of pulled datasets, looked into before the network is asked; None for none."""

    api: str | None = None
    plc: str = DEFAULT_PLC
    dev: bool = False
    handle_hosts: tuple[str, ...] = ()
    library: Path | None = None

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a user or password in an address, which would be in every
        message that names it."""
        for url in (self.api or "", self.plc, *self.handle_hosts):
            if names_user(url):
                raise ValueError(f"{shown_url(url)}: user and password don't belong in an address")

    @cached_property
    def http(self) -> HttpClient:
        """The guarded client, shared by all threads."""
        return HttpClient(Policy(dev=self.dev))

    @cached_property
    def resolver(self) -> Resolver:
        """DID and handle resolution over the guarded client, cached."""
        return Resolver(self.http, plc=self.plc, handle_hosts=self.handle_hosts)


class _Holder:
    current: Settings | None = None


def settings() -> Settings:
    """The settings in force."""
    if _Holder.current is None:
        _Holder.current = Settings(
            api=os.environ.get("ATDATA_API"),
            plc=os.environ.get("ATDATA_PLC", DEFAULT_PLC),
            dev=os.environ.get("ATDATA_DEV", "") in {"1", "true", "yes"},
            library=_library(os.environ),
        )
    return _Holder.current


class Settled:
    """Keeps its settings where it is handed to a process that is being started (``spawn``,
    ``forkserver``), unless that has some of its own. Other pickles hold none: who reads one from
    a file must not find that it has switched development mode on."""

    def __getstate__(self) -> tuple[dict[str, Any], Settings | None]:
        # A copy, without the connections and caches of this process.
        return vars(self), replace(settings()) if get_spawning_popen() is not None else None

    def __setstate__(self, state: tuple[dict[str, Any], Settings | None]) -> None:
        attributes, given = state
        vars(self).update(attributes)
        if _Holder.current is None:
            _Holder.current = given


def _library(environment: Mapping[str, str]) -> Path:
    """``ATDATA_LIBRARY``, or else where this platform keeps what programs fetch for their user."""
    if chosen := environment.get("ATDATA_LIBRARY"):
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        data = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "atdata" / "library"


def configure(
    *,
    api: str | None = None,
    plc: str | None = None,
    dev: bool | None = None,
    handle_hosts: Sequence[str] | None = None,
    library: str | os.PathLike[str] | None = None,
) -> Settings:
    """Change what is given, keep the rest. Returns the settings now in force.

    ``api``: base URL of a search API. ``plc``: of a PLC directory. ``dev``: whether http and
    loopback addresses are allowed. ``handle_hosts``: origins of PDSes that are asked for handles.
    ``library``: folder of pulled datasets. See ``Settings``. Raises ``ValueError`` for a user or
    password in an address.
    """
    hosts = None if handle_hosts is None else tuple(handle_hosts)
    folder = None if library is None else Path(library)
    given = {"api": api, "plc": plc, "dev": dev, "handle_hosts": hosts, "library": folder}
    changes = {name: value for name, value in given.items() if value is not None}
    _Holder.current = replace(settings(), **changes)  # type: ignore[arg-type]
    return _Holder.current
