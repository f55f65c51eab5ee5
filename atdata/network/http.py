"""The one guarded HTTP client: every URL that came from the network is fetched through it.

Invariant 9: https only; the resolved address must be public, checked at connect and again at each
redirect; http and loopback only under ``Policy(dev=True)``. Size cap, time cap, redirects bounded,
retries with backoff that respect Retry-After. Thread-safe; urllib3 underneath.
"""
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True)
class Policy:
    dev: bool = False

class HttpClient:
    def __init__(self, policy: Policy = Policy()) -> None: ...
    # get_bytes(url, *, params=None, headers=None, max_bytes=5_000_000, timeout=30.0) -> bytes
    # get_json(url, *, params=None, max_bytes=…) -> Any ; an {error,message} body with status>=400 -> XrpcError
    # stream(url, *, params=None, headers=None, max_bytes=None) -> context manager yielding Body:
    #     Body.read(n) -> bytes ; Body.readinto(buffer) -> int ; Body.chunks(size=1<<18) -> Iterator[bytes] ;
    #     Body.content_length: int | None
    # close()
