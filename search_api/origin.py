"""Where this service is reached: as configured, else the address that it was asked under.

A Host header is the client's own claim. It goes into that client's answer alone, and only if it has
the form of a host and port.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request

from search_api.config import SearchConfig

_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin(config: SearchConfig, request: Request) -> str:
    """Scheme and host, without a path."""
    if config.public_url is not None:
        return config.public_url
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        host = f"{config.host}:{config.port}"
    return f"{request.url.scheme}://{host}"


def is_dev(config: SearchConfig, request: Request) -> bool:
    """Whether who reaches this service has to allow http and loopback."""
    return config.dev or urlsplit(origin(config, request)).hostname in _LOOPBACK
