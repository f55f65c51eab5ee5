"""What the library talks to: read once, on first use, into one frozen object.

``configure(...)`` overrides it; otherwise the environment is asked (``ATDATA_API``, ``ATDATA_PLC``,
``ATDATA_DEV``). Nothing else in the library reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver

DEFAULT_PLC = "https://plc.directory"


@dataclass(frozen=True)
class Settings:
    """``api`` is the base URL of a search API; ``plc`` of a PLC directory. ``dev`` allows http and
    loopback addresses, for a network on one's own machine; ``handle_hosts`` are origins of PDSes
    that are asked there for handles which no DNS knows (``alice.test``)."""

    api: str | None = None
    plc: str = DEFAULT_PLC
    dev: bool = False
    handle_hosts: tuple[str, ...] = ()

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
        )
    return _Holder.current


def configure(
    *,
    api: str | None = None,
    plc: str | None = None,
    dev: bool | None = None,
    handle_hosts: Sequence[str] | None = None,
) -> Settings:
    """Change what is given, keep the rest. Returns the settings now in force."""
    hosts = None if handle_hosts is None else tuple(handle_hosts)
    given = {"api": api, "plc": plc, "dev": dev, "handle_hosts": hosts}
    changes = {name: value for name, value in given.items() if value is not None}
    _Holder.current = replace(settings(), **changes)  # type: ignore[arg-type]
    return _Holder.current
