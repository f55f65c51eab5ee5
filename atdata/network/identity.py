"""DIDs and handles: the DID document, its signing key and PDS, and handles verified both ways.

did:plc through a PLC directory, did:web through the well-known document. Answers are cached for a
bounded time and number; ``refresh`` asks again. A handle counts only when the DID document names it
and it resolves back to the DID.
Sources: https://atproto.com/specs/did, https://atproto.com/specs/handle.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import dns.exception
import dns.resolver

from atdata.network.answers import Answers
from atdata.network.did_document import Identity, read_document
from atdata.network.http import HttpClient
from atdata.network.strict_json import parse_json
from atdata.protocol.errors import (
    BlockedAddress,
    FetchFailed,
    IdentityNotFound,
    IdentityUnavailable,
    InvalidSyntax,
    NetworkError,
    TooLarge,
    XrpcError,
    quote,
)
from atdata.protocol.syntax import Did, Handle, parse_at_identifier

__all__ = ["Identity", "Resolver", "system_txt"]

DEFAULT_TTL = 3600.0
MAX_DOCUMENT = 262_144
MAX_HANDLE_ANSWER = 4096
FETCH_SECONDS = 10.0
DNS_SECONDS = 5.0
MAX_TXT = 32

GONE = frozenset({404, 410})
# Names that must not be asked for on the public network; ``.test`` is the devnet's.
RESERVED = frozenset(
    ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"]
)

_PLC = re.compile(r"did:plc:[a-z2-7]{24}")
_LOCAL_WEB = re.compile(r"did:web:localhost%3A([1-9][0-9]{0,4})", re.IGNORECASE)

Txt = Callable[[str], Sequence[str]]
"""A name → the texts of its TXT records, none if it has none. Raises ``OSError`` if the name
servers could not be asked."""


def system_txt(name: str) -> list[str]:
    """TXT records by way of the system's name servers."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=DNS_SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise OSError(f"TXT of {quote(name)}: {type(error).__name__}") from error
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer][:MAX_TXT]


class Resolver:
    """Resolution over the guarded client. Thread-safe; each question is asked by one thread."""

    def __init__(
        self,
        http: HttpClient,
        *,
        plc: str,
        ttl: float = DEFAULT_TTL,
        max_entries: int = 100_000,
        handle_hosts: Sequence[str] = (),
        txt: Txt = system_txt,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``plc`` is the directory's base URL. ``handle_hosts`` are PDSes to ask about handles
        under ``.test``, which no name server knows; they count only if ``http`` is for
        development. ``ttl`` in seconds."""
        self._http, self._plc, self._txt = http, plc.rstrip("/"), txt
        self._dev = http.policy.dev
        self._handle_hosts = tuple(host.rstrip("/") for host in handle_hosts)
        self._identities: Answers[Identity] = Answers(ttl=ttl, max_entries=max_entries, clock=clock)
        self._handles: Answers[str] = Answers(ttl=ttl, max_entries=max_entries, clock=clock)

    @property
    def http(self) -> HttpClient:
        """The client that it asks with."""
        return self._http

    def resolve(self, did: str) -> Identity:
        """What the DID document of ``did`` says.

        Raises ``IdentityNotFound`` (no such DID, deleted, malformed or of an unknown method) or
        ``IdentityUnavailable`` (the directory or host could not be asked).
        """
        return self._identities.get(did, lambda: self._ask_for_document(did))

    def at_hand(self, did: str) -> Identity | None:
        """What ``resolve`` gives without asking anyone; None if it would have to."""
        return self._identities.at_hand(did)

    def refresh(self, did: str) -> Identity:
        """As ``resolve``, but asks again if the remembered answer is more than 2 s old."""
        return self._identities.renew(did, lambda: self._ask_for_document(did))

    def forget(self, did: str) -> None:
        """Drop what is remembered about ``did``."""
        self._identities.forget(did)

    def resolve_handle(self, handle: str) -> str:
        """The DID that ``handle`` leads to: DNS first, then the well-known document. Whether that
        DID claims the handle is another question, ``verified_handle``.

        Raises ``InvalidSyntax``, ``IdentityNotFound``, ``IdentityUnavailable``.
        """
        name = Handle.parse(handle)
        return self._handles.get(name, lambda: self._ask_for_handle(name))

    def verified_handle(self, identity: Identity, *, renew: bool = False) -> str | None:
        """The handle of ``identity`` if it leads back to its DID, otherwise None. With ``renew`` it
        is asked for again if the remembered answer is more than 2 s old.

        A handle under ``.test`` is asked for at the identity's own PDS, in development only.
        Raises ``IdentityUnavailable`` if that could not be found out now.
        """
        if identity.handle is None:
            return None
        name = Handle.parse(identity.handle)
        try:
            if self._dev and name.endswith(".test") and identity.pds is not None:
                did = self._ask_hosts_for(name, (identity.pds,))
            elif renew:
                did = self._handles.renew(name, lambda: self._ask_for_handle(name))
            else:
                did = self.resolve_handle(name)
        except IdentityNotFound:
            return None
        return name if did == identity.did else None

    def resolve_authority(self, text: str) -> str:
        """A DID as it is, a handle resolved. Raises as ``resolve_handle``."""
        authority = parse_at_identifier(text)
        return authority if isinstance(authority, Did) else self.resolve_handle(authority)

    # --- DIDs ---------------------------------------------------------------------------------

    def _ask_for_document(self, did: str) -> Identity:
        if _PLC.fullmatch(did):
            return self._ask_plc(did)
        return self._ask_web(did, self._web_origin(did))

    def _ask_plc(self, did: str) -> Identity:
        """Only "not found" is the directory's answer; whatever else it does wrong is an outage."""
        try:
            data = self._get(f"{self._plc}/{did}", MAX_DOCUMENT)
            return read_document(parse_json(data), did, dev=self._dev)
        except FetchFailed as error:
            if error.status in GONE:
                raise IdentityNotFound(f"the directory knows no {did}") from error
            raise IdentityUnavailable(str(error)) from error
        except (NetworkError, ValueError) as error:
            raise IdentityUnavailable(f"the directory, about {did}: {error}") from error

    def _ask_web(self, did: str, origin: str) -> Identity:
        """The host is its owner's: a document that is wrong will not be right the next moment."""
        try:
            data = self._get(f"{origin}/.well-known/did.json", MAX_DOCUMENT)
            return read_document(parse_json(data), did, dev=self._dev)
        except FetchFailed as error:
            if error.status in GONE:
                raise IdentityNotFound(f"{origin} has no DID document") from error
            raise IdentityUnavailable(str(error)) from error
        except (BlockedAddress, TooLarge, ValueError) as error:
            raise IdentityNotFound(f"{quote(did)}: {error}") from error
        except NetworkError as error:
            raise IdentityUnavailable(str(error)) from error

    def _web_origin(self, did: str) -> str:
        """Of a did:web, which the protocol allows for a host name only; no path, no port."""
        if self._dev and (local := _LOCAL_WEB.fullmatch(did)):
            return f"http://localhost:{local.group(1)}"
        try:
            Did.parse(did)
            host = Handle.parse(did.removeprefix("did:web:"))
        except InvalidSyntax as error:
            raise IdentityNotFound(f"{quote(did)} is no DID of a method in use") from error
        return f"https://{host}"

    # --- handles ------------------------------------------------------------------------------

    def _ask_for_handle(self, handle: Handle) -> str:
        top_level = handle.rpartition(".")[2]
        if self._dev and top_level == "test":
            return self._ask_hosts_for(handle, self._handle_hosts)
        if top_level in RESERVED:
            raise IdentityNotFound(f"handles under .{top_level} cannot be resolved: {handle}")
        try:
            named = self._did_in_dns(handle)
        except OSError as error:
            try:
                return self._did_at_host(handle)
            except IdentityNotFound:
                raise IdentityUnavailable(str(error)) from error
        return named if named is not None else self._did_at_host(handle)

    def _did_in_dns(self, handle: Handle) -> str | None:
        texts = self._txt(f"_atproto.{handle}")
        dids = {text.removeprefix("did=") for text in texts if text.startswith("did=")}
        if len(dids) > 1:
            raise IdentityNotFound(f"{handle} names {len(dids)} DIDs, expected one")
        return _checked_did(dids.pop(), handle) if dids else None

    def _did_at_host(self, handle: Handle) -> str:
        try:
            data = self._get(f"https://{handle}/.well-known/atproto-did", MAX_HANDLE_ANSWER)
        except (BlockedAddress, TooLarge) as error:
            raise IdentityNotFound(f"{handle}: {error}") from error
        except FetchFailed as error:
            if error.status is not None and 400 <= error.status < 500 and error.status != 429:
                raise IdentityNotFound(f"{handle} names no DID") from error
            raise IdentityUnavailable(str(error)) from error
        except NetworkError as error:
            raise IdentityUnavailable(str(error)) from error
        return _checked_did(data.decode("utf-8", "replace").strip(), handle)

    def _ask_hosts_for(self, handle: Handle, hosts: Sequence[str]) -> str:
        """As the devnet's handles need it. One host that knows it is enough."""
        outage: NetworkError | None = None
        for host in hosts:
            url = f"{host}/xrpc/com.atproto.identity.resolveHandle"
            try:
                answer = self._http.get_json(url, params={"handle": handle}, timeout=FETCH_SECONDS)
            except XrpcError:
                continue
            except NetworkError as error:
                outage = error
                continue
            if isinstance(answer, dict) and isinstance(answer.get("did"), str):
                return _checked_did(answer["did"], handle)
        if outage is not None:
            raise IdentityUnavailable(str(outage)) from outage
        raise IdentityNotFound(f"no host knows {handle}")

    def _get(self, url: str, max_bytes: int) -> bytes:
        return self._http.get_bytes(url, max_bytes=max_bytes, timeout=FETCH_SECONDS)


def _checked_did(text: str, handle: Handle) -> str:
    try:
        return Did.parse(text)
    except InvalidSyntax as error:
        raise IdentityNotFound(f"{handle}: {error}") from error
