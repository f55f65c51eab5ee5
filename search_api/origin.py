"""Where this service is reached: as configured, else the address that it was asked under.

A Host header is the client's own claim. It goes into that client's answer alone, and only if it has
the form of a host and port.
"""

from __future__ import annotations

import re

from starlette.requests import Request

from search_api.config import SearchConfig

_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def origin(config: SearchConfig, request: Request) -> str:
    """Scheme and host, without a path."""
    if config.public_url is not None:
        return config.public_url
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        host = f"{config.host}:{config.port}"
    return f"{request.url.scheme}://{host}"
