"""Every error that atdata, the indexer and the search API raise, in one tree.

    AtdataError
    ├── ProtocolError           bytes or text from elsewhere break a rule of the protocol
    │   ├── InvalidSyntax       an identifier: DID, handle, NSID, record key, TID, AT URI …
    │   ├── InvalidCid          a CID that is no CID, or of a kind the protocol does not use
    │   ├── InvalidCbor         not strict DAG-CBOR, or outside the AT Protocol data model
    │   ├── InvalidCar          a CAR file whose framing or roots are wrong
    │   ├── CidMismatch         bytes that do not hash to the CID they came under
    │   ├── InvalidRecord       a record body that no known generation of its lexicon explains
    │   └── InvalidLexicon      a lexicon document that is itself wrong
    ├── NetworkError            something could not be fetched
    │   ├── BlockedAddress      the guarded client refused a URL or an address
    │   ├── FetchFailed         the host answered with an error, or broke off
    │   ├── TooLarge            the answer is larger than the caller allows
    │   ├── FetchTimeout        the host was too slow
    │   ├── IdentityNotFound    no such DID or handle (an answer, not an outage)
    │   └── IdentityUnavailable the directory could not be asked; try again later
    ├── XrpcError               an XRPC endpoint answered {error, message}
    ├── DataError               a shard or sample is not what it should be
    │   ├── InvalidShard        a tar that is cut short or malformed; names shard, member and byte
    │   ├── InvalidSample       a sample whose bytes do not fit its type
    │   └── InvalidArray        an array encoding that is neither npy nor compact, or has objects
    ├── TypeMismatch            a sample type that does not fit the schema, and no known lens
    ├── UntrustedCode           code from the network that nobody has said to trust, or that differs
    ├── UnsupportedType         a Python annotation that no schema can say
    ├── NotFound                the index or repository has no such record
    ├── NotLoggedIn             an operation that writes was tried without a session
    ├── NotConfigured           nobody has said which service to ask
    ├── MissingExtra            an optional dependency is not installed; names the extra
    └── StoreError              the index's own database cannot be used (ours, never upstream's)

Messages say what was wrong, with which input, and what to do about it. Input is quoted with
``repr`` and cut, so that hostile text can neither flood nor forge a log line.
"""

from __future__ import annotations

import re
from typing import Any

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:[/\\]+)([^/\\?#]*@)?([^?#]*)(.?)", re.DOTALL)


def shown_url(text: str) -> str:
    """An address as messages show it: without user, password, query and fragment, any of which may
    be a secret (``…`` stands for a query). What is no address, a path for instance, as it is."""
    found = _ADDRESS.match(text)
    return text if found is None else found[1] + found[3] + (found[4] and "?…")


def names_user(text: str) -> bool:
    """Whether there is a user, and perhaps a password, in an address."""
    found = _ADDRESS.match(text)
    return found is not None and found[2] is not None


def quote(value: object, limit: int = 80) -> str:
    """``ascii`` of hostile input, cut to ``limit`` characters; never raises."""
    if isinstance(value, BaseException):
        value = str(value) or type(value).__name__
    try:
        text = ascii(value[: 4 * limit] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # an integer or a nesting too large to be shown
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[:limit] + "…"


class AtdataError(Exception):
    """Root of the tree. Errors can be sent from one process to another."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[AtdataError], args: tuple[Any, ...], state: dict[str, Any]) -> AtdataError:
    """Not by calling ``kind``, which takes other arguments than the message that it makes."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ProtocolError(AtdataError, ValueError):
    """Bytes or text from elsewhere break a rule of the protocol."""


class InvalidSyntax(ProtocolError):
    """An identifier is malformed. ``kind`` is its name in the protocol, ``value`` the input."""

    def __init__(self, kind: str, value: object, why: str) -> None:
        self.kind, self.value, self.why = kind, value, why
        super().__init__(f"{quote(value)} is not a valid {kind}: {why}")


class InvalidCid(ProtocolError):
    """A CID that is malformed or of a kind that the protocol does not use."""


class InvalidCbor(ProtocolError):
    """Not strict DAG-CBOR, or a value outside the AT Protocol data model."""


class InvalidCar(ProtocolError):
    """A CAR file whose framing, header or roots are wrong."""


class CidMismatch(ProtocolError):
    """Bytes do not hash to the CID under which they came."""

    def __init__(self, expected: str, actual: str, what: str = "block") -> None:
        self.expected, self.actual, self.what = expected, actual, what
        super().__init__(f"{what}: bytes hash to {actual}, expected {expected}")


class InvalidRecord(ProtocolError):
    """A record body is not valid. ``path`` says where in it, ``why`` what is wrong."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"record at {path or '/'}: {why}")


class InvalidLexicon(ProtocolError):
    """A lexicon document is itself wrong."""


class NetworkError(AtdataError):
    """Something could not be fetched."""


class BlockedAddress(NetworkError):
    """The guarded client refused a URL, or the address that it resolves to."""


class FetchFailed(NetworkError):
    """The host answered with an error status (``status``), or the connection broke (None).
    ``retry_after`` is the number of seconds that the host asked to be left alone."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        self.status, self.body, self.retry_after = status, body, retry_after
        super().__init__(message)


class TooLarge(NetworkError):
    """The answer is larger than the caller allows."""


class FetchTimeout(NetworkError):
    """The host was slower than the caller allows."""


class IdentityNotFound(NetworkError):
    """The DID or handle does not exist: an answer, not an outage."""


class IdentityUnavailable(NetworkError):
    """The directory or host could not be asked. Try again later."""


class XrpcError(AtdataError):
    """An XRPC endpoint answered with ``{error, message}`` and HTTP ``status``. ``retry_after`` is
    the number of seconds that the host asked to be left alone."""

    def __init__(
        self, status: int, error: str, message: str, retry_after: float | None = None
    ) -> None:
        self.status, self.error, self.message = status, error, message
        self.retry_after = retry_after
        super().__init__(f"{error} ({status}): {message}")


class DataError(AtdataError):
    """A shard, sample or array is not what it should be."""


class InvalidShard(DataError):
    """A shard is cut short or malformed. ``member`` and ``offset`` (bytes) say where."""

    def __init__(self, shard: str, why: str, member: str | None = None, offset: int | None = None):
        self.shard, self.why, self.member, self.offset = shard, why, member, offset
        where = f", member {quote(member)}" if member is not None else ""
        where += f", byte {offset}" if offset is not None else ""
        super().__init__(f"shard {quote(shown_url(shard), 200)}{where}: {why}")


class InvalidSample(DataError):
    """A sample's bytes do not fit its type. ``shard``, ``member`` and ``offset`` (bytes) say where
    they were read, if they came from a shard."""

    def __init__(
        self,
        why: str,
        shard: str | None = None,
        member: str | None = None,
        offset: int | None = None,
    ) -> None:
        self.why, self.shard, self.member, self.offset = why, shard, member, offset
        where = f"shard {quote(shown_url(shard), 200)}" if shard is not None else ""
        where += f", member {quote(member)}" if member is not None else ""
        where += f", byte {offset}" if offset is not None else ""
        super().__init__(f"{where}: {why}" if where else why)


class InvalidArray(DataError):
    """An array encoding is neither npy nor compact, is cut short, or holds objects."""


class TypeMismatch(AtdataError, TypeError):
    """A sample type does not fit a schema and no known lens leads from one to the other."""


class UntrustedCode(AtdataError):
    """Code from the network would have to be run, and the caller has not trusted it by name; or
    it is not what was trusted."""


class UnsupportedType(AtdataError, TypeError):
    """A Python annotation that no schema can express."""


class NotFound(AtdataError, LookupError):
    """The index or the repository has no such record."""


class NotLoggedIn(AtdataError):
    """An operation that needs a session was tried without one."""


class NotConfigured(AtdataError):
    """Nobody has said which service to ask; the message says how."""


class MissingExtra(AtdataError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""


class StoreError(AtdataError):
    """The index's own database cannot be used. Ours, never upstream's."""
