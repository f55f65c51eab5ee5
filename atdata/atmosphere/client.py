"""A session with the user's own PDS, and reading from everybody else's.

Rule: passwords and tokens leave this module only towards the user's PDS and through
``export_session``; no message, log line or repr holds them. The user's own host is the user's
choice and reached as given; every other host goes through the guarded client.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlencode

from atdata.atmosphere.patience import Patience
from atdata.atmosphere.repository import (
    MAX_ANSWER,
    StoredRecord,
    blob_url,
    fetch_record,
    list_public,
    pds_of,
    read_record,
    read_records,
    resolve_repo,
)
from atdata.atmosphere.sdk import (
    AtProtocolError,
    Session,
    SessionEvent,
    guarded,
    new_client,
    refresh,
)
from atdata.atmosphere.uploads import HashedChunks
from atdata.atmosphere.wire import RecordRef, as_json, stored_blob, written_record
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    CidMismatch,
    IdentityNotFound,
    IdentityUnavailable,
    InvalidSyntax,
    NotFound,
    NotLoggedIn,
    XrpcError,
    names_user,
    shown_url,
)
from atdata.protocol.records import BlobShard
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.settings import settings

CHUNK = 1 << 20
TOO_LARGE = 413
RAW_SHA_256 = bytes((1, RAW, 0x12, 0x20))  # how the CID of a blob begins

T = TypeVar("T")


class AtmosphereClient:
    """Reads and writes records and blobs. One client may be shared by several threads.

    >>> client = AtmosphereClient()
    >>> client.login("alice.bsky.social", "app-password")

    Source: the AT Protocol's lexicons com.atproto.server.* (sessions), com.atproto.repo.* (records,
    uploads) and com.atproto.sync.getBlob.
    """

    def __init__(
        self, base_url: str | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """``base_url``: the origin of a PDS; without it, bsky.social, which knows its accounts'
        hosts. ``sleep`` waits for so many seconds, when the PDS asks for it. Raises ``ValueError``
        for a user or password in ``base_url``: they go into ``login``."""
        if base_url and names_user(base_url):
            raise ValueError(f"{shown_url(base_url)}: give user and password to login()")
        self.base_url = base_url.rstrip("/") if base_url else "https://bsky.social"
        self._sdk = new_client(self.base_url)
        self._sdk.on_session_change(self._remember)
        self._session: Any = None  # the SDK's Session, as of the last change
        self._patience = Patience(sleep=sleep)
        self._refreshing = threading.Lock()

    def __repr__(self) -> str:
        who = self._session.handle if self._session else "not logged in"
        return f"<AtmosphereClient {who} at {shown_url(self.pds)}>"

    # --- session -------------------------------------------------------------------------------

    def login(self, handle: str, app_password: str) -> None:
        """Open a session with an app password (never the account's main password).

        Raises ``XrpcError`` (AuthenticationRequired) if the PDS refuses, ``NetworkError`` if it
        cannot be reached.
        """
        identifier = handle.removeprefix("@")
        if not identifier or not app_password:
            raise ValueError("a handle and an app password are needed")
        guarded(
            "com.atproto.server.createSession",
            lambda: self._sdk.login(identifier, app_password, fetch_bsky_profile=False),
            app_password,
        )

    def login_with_session(self, session_string: str) -> None:
        """Go on with a session from ``export_session``; tokens that have ended are renewed on first
        use. Raises ``NotLoggedIn`` if it is no session."""
        if not _is_session(session_string):
            raise NotLoggedIn("this is not a session that export_session() gave")
        guarded(
            "login_with_session",
            lambda: self._sdk.login(session_string=session_string, fetch_bsky_profile=False),
            session_string,
        )

    def export_session(self) -> str:
        """The session as text, for ``login_with_session``. As secret as a password; it changes
        when the session is refreshed, so export it last. Raises ``NotLoggedIn``."""
        return str(self._logged_in().export())

    def _remember(self, event: SessionEvent, session: Session) -> None:
        self._session = session

    def _logged_in(self) -> Any:
        if self._session is None:
            raise NotLoggedIn("log in first: client.login(handle, app_password)")
        return self._session

    @property
    def is_authenticated(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    @property
    def did(self) -> str:
        """The account's DID. Raises ``NotLoggedIn``."""
        return str(self._logged_in().did)

    @property
    def handle(self) -> str:
        """The account's handle when the session was opened. Raises ``NotLoggedIn``."""
        return str(self._logged_in().handle)

    @property
    def pds(self) -> str:
        """The origin of the account's PDS, or of ``base_url`` before the login."""
        url = self._session.pds_endpoint if self._session else self.base_url
        return str(url or self.base_url).removesuffix("/xrpc").rstrip("/")

    # --- calls to the own PDS ------------------------------------------------------------------

    def query(self, method: str, params: Mapping[str, str]) -> Any:
        """An XRPC query to the account's PDS: the JSON answer. Raises ``XrpcError``."""
        asked = f"{method}?{urlencode(params)}"
        return self._invoke(method, lambda: self._sdk.invoke_query(asked).content, repeatable=True)

    def call(
        self, method: str, body: Mapping[str, Any] | None = None, *, repeatable: bool = False
    ) -> Any:
        """An XRPC procedure on the account's PDS: the JSON answer, None if it is empty.

        A procedure without input takes no ``body`` at all. A ``repeatable`` one is tried again when
        the connection breaks; any is when the PDS asks to come back later.

        Raises ``NotLoggedIn``, ``XrpcError``, ``NetworkError``.
        """
        self._logged_in()
        given: dict[str, Any] = {}
        if body is not None:
            given["content"] = as_json(body)
            given["headers"] = {"Content-Type": "application/json"}

        def send() -> Any:
            return self._sdk.invoke_procedure(method, **given).content or None

        return self._invoke(method, send, repeatable=repeatable)

    def _invoke(self, method: str, act: Callable[[], T], *, repeatable: bool) -> T:
        """``act`` with patience, and with new tokens where the PDS says that the old have ended."""

        def once() -> T:
            session = self._session
            try:
                return guarded(method, act, *_tokens(session))
            except XrpcError as error:
                if error.error != "ExpiredToken" or session is None:
                    raise
            self._renew(session)
            return guarded(method, act, *_tokens(self._session))

        return self._patience.call(once, repeatable=repeatable)

    def _renew(self, ended: Any) -> None:
        """New tokens in place of those of the session ``ended``; once, whoever notices it first."""
        with self._refreshing:
            if self._session.access_jwt == ended.access_jwt:
                method = "com.atproto.server.refreshSession"
                guarded(method, lambda: refresh(self._sdk), *_tokens(ended))

    # --- records -------------------------------------------------------------------------------

    def create_record(
        self, collection: str, body: Mapping[str, Any], *, rkey: str | None = None
    ) -> RecordRef:
        """Write a new record. ``body`` may hold ``Cid`` and ``bytes``; ``$type`` is added.

        Without ``rkey`` the PDS chooses a TID. Raises ``NotLoggedIn``, ``XrpcError``.
        """
        request: dict[str, Any] = {"repo": self.did, "collection": collection}
        request["record"] = {"$type": collection, **body}
        if rkey is not None:
            request["rkey"] = rkey
        return written_record(self.call("com.atproto.repo.createRecord", request))

    def put_record(self, uri: str | AtUri, body: Mapping[str, Any]) -> RecordRef:
        """Write the record at ``uri``, new or in place of the one that is there.
        Raises ``NotLoggedIn``, ``NotFound`` (another account's), ``XrpcError``."""
        at = self._own(uri)
        record = {"$type": at.collection, **body}
        request = {"repo": self.did, "collection": at.collection, "rkey": at.rkey, "record": record}
        return written_record(self.call("com.atproto.repo.putRecord", request, repeatable=True))

    def delete_record(self, uri: str | AtUri) -> None:
        """Remove a record; none being there is no error.
        Raises ``NotLoggedIn``, ``NotFound`` (another account's), ``XrpcError``."""
        at = self._own(uri)
        request = {"repo": self.did, "collection": at.collection, "rkey": at.rkey}
        self.call("com.atproto.repo.deleteRecord", request, repeatable=True)

    def get_record(self, uri: str | AtUri) -> StoredRecord:
        """One record of any account, from its own PDS, checked against its CID.

        Raises ``NotFound``, ``CidMismatch``, ``NetworkError``.
        """
        at = AtUri.parse(uri) if isinstance(uri, str) else uri
        if self._is_own(at.authority):
            return read_record(self.query, self.did, at)
        return fetch_record(replace(at, authority=Did(self._resolve(at.authority))))

    def list_records(self, repo: str | None, collection: str) -> Iterator[StoredRecord]:
        """Every record of a collection, fetched as they are asked for.

        ``repo``: a DID or handle; None is the session's own account. Other accounts are read from
        their own PDS. Raises ``NotLoggedIn`` without either; reading raises ``NetworkError``.
        """
        if repo is None or self._is_own(repo.removeprefix("@")):
            return read_records(self.query, self.did, collection)
        return list_public(self._resolve(repo), collection)

    def _resolve(self, repo: str) -> str:
        """The DID of any account. What the network's own ways can't find, the account's PDS may
        know; its answer counts if the DID document claims the handle too."""
        try:
            return resolve_repo(repo)
        except (IdentityNotFound, IdentityUnavailable):
            if not self.is_authenticated:
                raise
        handle = Handle.parse(repo.removeprefix("@"))
        try:
            answer = self.query("com.atproto.identity.resolveHandle", {"handle": handle})
        except XrpcError as error:
            raise IdentityNotFound(f"no account is known as {handle}: {error.message}") from error
        did = Did.parse(answer.get("did", "") if isinstance(answer, Mapping) else "")
        if settings().resolver.resolve(did).handle != handle:
            raise IdentityNotFound(f"{did} does not claim the handle {handle}")
        return did

    def _is_own(self, authority: str) -> bool:
        return self._session is not None and authority in {self.did, self.handle}

    def _own(self, uri: str | AtUri) -> AtUri:
        at = AtUri.parse(uri) if isinstance(uri, str) else uri
        self._logged_in()
        if at.collection is None or at.rkey is None:
            raise InvalidSyntax("AT URI", str(at), "it names no single record")
        if not self._is_own(at.authority):
            raise NotFound(f"{at} is not in the repository of {self.did}: it can't be changed")
        return at

    # --- blobs ---------------------------------------------------------------------------------

    def upload_blob(
        self,
        data: bytes | Path | IO[bytes],
        mime_type: str = "application/octet-stream",
        *,
        on_bytes: Callable[[int], None] | None = None,
    ) -> BlobShard:
        """Send bytes, or a file from its beginning, in chunks of 1 MiB. The PDS serves the blob
        only once a record refers to it. ``on_bytes`` is told the size of each chunk sent, and the
        negative sum of them before the file is sent once more because the first time failed.

        Raises ``NotLoggedIn``, ``XrpcError`` (BlobTooLarge …), ``CidMismatch`` if the PDS has
        understood other bytes than were sent.
        """
        self._logged_in()
        if isinstance(data, Path):
            with data.open("rb") as opened:
                return self.upload_blob(opened, mime_type, on_bytes=on_bytes)
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        size = file.seek(0, io.SEEK_END)
        headers = {"Content-Type": mime_type, "Content-Length": str(size)}
        method = "com.atproto.repo.uploadBlob"
        chunks = HashedChunks(file, CHUNK, on_bytes)

        def send() -> Any:
            content = chunks.from_the_beginning()
            return self._sdk.invoke_procedure(method, content=content, headers=headers).content

        try:
            answer = self._invoke(method, send, repeatable=True)
        except XrpcError as error:
            if error.status != TOO_LARGE:
                raise
            why = f"{error.message}: this PDS takes no blob of {size} bytes; see maxsize"
            raise XrpcError(error.status, error.error, why) from error
        sent = Cid.from_bytes(RAW_SHA_256 + chunks.digest())
        return stored_blob(answer, sent, size)

    def get_blob(self, did: str, cid: str, *, max_bytes: int = MAX_ANSWER) -> bytes:
        """A whole blob in memory, at most ``max_bytes``, checked against its CID; for shards use
        ``BlobSource``. Raises ``CidMismatch``, ``NetworkError``, ``XrpcError``."""
        wanted = Cid.parse(cid)
        params = {"did": did, "cid": cid}
        if self._is_own(did):
            data: bytes = self.query("com.atproto.sync.getBlob", params)
        else:
            url = blob_url(pds_of(did), did, cid)
            data = settings().http.get_bytes(url, max_bytes=max_bytes)
        actual = Cid.of(data, wanted.codec)
        if actual != wanted:
            raise CidMismatch(cid, str(actual), "blob")
        return data

    def blob_url(self, did: str, cid: str) -> str:
        """The HTTP address of a blob at its account's PDS. Raises ``IdentityNotFound``."""
        return blob_url(self.pds if self._is_own(did) else pds_of(did), did, cid)


def _is_session(text: str) -> bool:
    try:
        session = Session.decode(text)
        Did.parse(session.did)
        _ = session.access_jwt_payload, session.refresh_jwt_payload
    except (ValueError, TypeError, AtProtocolError):
        return False
    return True


def _tokens(session: Any) -> tuple[str, ...]:
    return (session.access_jwt, session.refresh_jwt) if session else ()
