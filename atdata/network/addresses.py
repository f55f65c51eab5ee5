"""Which URLs and which addresses may be fetched: the decisions of the guarded client, as values.

Invariant 9: https to public addresses only; development adds http and loopback, nothing else. A URL
is parsed once, and what was checked is what is connected to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from atdata.protocol.errors import BlockedAddress, quote, shown_url

MAX_URL = 8192
_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")

Params = Mapping[str, str | int | Sequence[str] | None]

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # RFC 9637, newer than ipaddress's tables
_RELAY_6TO4 = ipaddress.IPv4Network("192.88.99.0/24")


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL. ``host`` is a lower-case name or an address without brackets; ``path`` is the
    request target, query included."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """``https://host``, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (
            "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        )

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.origin + self.path

    def __str__(self) -> str:
        """For messages: the URL without its query, which may hold what is not for a log."""
        return quote(self.origin + self.path.partition("?")[0], 200)


def target_of(url: str, *, dev: bool, params: Params | None = None) -> Target:
    """Check ``url`` and take it apart; ``params`` are added to its query, None values left out.

    Raises ``BlockedAddress`` for a scheme other than https (in development: or http), for user
    information, for control characters, spaces and backslashes, and for anything that is no URL.
    """
    if len(url) > MAX_URL:
        raise BlockedAddress(
            f"URL of {len(url)} characters, at most {MAX_URL}: {quote(shown_url(url))}"
        )
    if _FORBIDDEN.search(url):
        raise BlockedAddress(
            f"URL with a space, backslash or control character: {quote(shown_url(url))}"
        )
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise BlockedAddress(f"not a URL: {quote(shown_url(url))}") from error
    scheme = parsed.scheme or ""
    if scheme not in (("https", "http") if dev else ("https",)):
        raise BlockedAddress(f"only https is fetched, not {quote(shown_url(url))}")
    if parsed.auth is not None:
        raise BlockedAddress(f"URL with user information: {quote(parsed.host)}")
    if not parsed.host or parsed.port == 0:
        raise BlockedAddress(f"URL without a host: {quote(shown_url(url))}")
    query = "&".join(part for part in (parsed.query, _encode(params)) if part)
    return Target(
        scheme=scheme,
        host=parsed.host.strip("[]"),
        port=parsed.port or _PORTS[scheme],
        path=(parsed.path or "/") + (f"?{query}" if query else ""),
    )


def redirected(target: Target, location: str, *, dev: bool) -> Target:
    """Where ``location`` leads from ``target``; never from https to http.

    Raises ``BlockedAddress``.
    """
    try:
        joined = urljoin(target.url, location)
    except ValueError as error:
        raise BlockedAddress(
            f"{target} redirects to no URL: {quote(shown_url(location))}"
        ) from error
    following = target_of(joined, dev=dev)
    if target.scheme == "https" and following.scheme != "https":
        raise BlockedAddress(f"{target} redirects from https to {following}")
    return following


def refusal(address: str, *, dev: bool) -> str | None:
    """Why ``address`` (text of an IP address) may not be connected to, or None if it may.

    An IPv4 address inside an IPv6 one (mapped, NAT64) is judged as what it reaches. The tunnels
    6to4 and Teredo are refused: no host is published there, and what they reach is anybody's guess.
    """
    try:
        ip = _reached(ipaddress.ip_address(address))
    except ValueError:
        return "is no IP address"
    if (dev and ip.is_loopback) or _is_public(ip):
        return None
    return "is not a public address"


def _encode(params: Params | None) -> str:
    given = {name: value for name, value in (params or {}).items() if value is not None}
    texts = {n: str(v).lower() if isinstance(v, bool) else v for n, v in given.items()}
    return urlencode(texts, doseq=True)


IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def _reached(ip: IP) -> IP:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _is_public(ip: IP) -> bool:
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip not in _RELAY_6TO4
    if ip.sixtofour is not None or ip.teredo is not None:
        return False
    return ip in _GLOBAL_UNICAST and ip not in _DOCUMENTATION
