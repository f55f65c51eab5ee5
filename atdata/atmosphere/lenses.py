"""Publishing lenses and finding them: which schemas they join, and where their code lives.

Rule: a lens record refers to code and never contains any; nothing here fetches or runs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.code import code_of
from atdata.atmosphere.entries import read_as
from atdata.atmosphere.repository import RecordBody
from atdata.atmosphere.schemas import list_kind, now
from atdata.lens import Lens
from atdata.protocol import records
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.namespaces import LENS_COLLECTION, Kind
from atdata.protocol.records import CodeRef, LensRecord

Code = CodeRef | Mapping[str, str]


class LensPublisher:
    """Writes lenses into the session's repository.

    Source: lexicon ``ac.foundation.dataset.lens``.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def publish(
        self,
        *,
        name: str,
        source_schema: str,
        target_schema: str,
        getter_code: Code,
        putter_code: Code,
        description: str | None = None,
        language: str | None = "python",
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a lens between two schemas (AT URIs); returns its AT URI.

        ``getter_code`` and ``putter_code`` say where the functions are: ``{"repository": URL,
        "commit": hash, "path": "file.py:function"}``, optionally with ``branch`` and ``language``.

        Raises ``NotLoggedIn``, ``InvalidRecord``, ``XrpcError``.
        """
        record = LensRecord(
            name=name,
            source_schema=source_schema,
            target_schema=target_schema,
            created_at=now(),
            getter_code=code_ref(getter_code, "/getterCode"),
            putter_code=code_ref(putter_code, "/putterCode"),
            description=description,
            language=language,
            metadata=metadata or {},
        )
        return self._client.create_record(LENS_COLLECTION, records.to_body(record)).uri

    def publish_from_lens(
        self,
        lens: Lens[Any, Any],
        *,
        source_schema: str,
        target_schema: str,
        name: str | None = None,
        description: str | None = None,
        getter_code: Code | None = None,
        putter_code: Code | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a lens object under its function's name; returns its AT URI.

        Code references that are not given are those of the functions: the file and function, and
        the origin and commit of the git checkout that the file is in. Where there is none (a
        notebook, an installed package), repository and commit stay empty; for a lens without a
        putter all of its putter's reference does. Raises as ``publish`` does.
        """
        return self.publish(
            name=str(name or lens.name),
            source_schema=source_schema,
            target_schema=target_schema,
            description=description or inspect.getdoc(lens.getter),
            getter_code=getter_code or code_of(lens.getter),
            putter_code=putter_code or _putter_code(lens),
            metadata=metadata,
        )


class LensLoader:
    """Reads lens records of any account, in both namespaces.

    Source: lexicons ``ac.foundation.dataset.lens`` and ``science.alt.dataset.lens``.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def get(self, uri: str) -> RecordBody:
        """The JSON body of a lens: ``lens["name"]``, ``lens["sourceSchema"]`` …

        Raises ``NotFound``, ``InvalidRecord`` if it is no lens.
        """
        stored = self._client.get_record(uri)
        read_as(LensRecord, stored)
        return stored.body()

    def list_all(self, repo: str | None = None) -> Iterator[RecordBody]:
        """The body of every lens in a repository (the session's own if not given), lazily.
        Raises ``NotLoggedIn`` without either, ``NetworkError``."""
        return (stored.body() for stored in list_kind(self._client, Kind.LENS, repo))

    def find_by_schemas(
        self,
        source_schema_uri: str | None = None,
        target_schema_uri: str | None = None,
        *,
        repo: str | None = None,
    ) -> list[RecordBody]:
        """The lenses of a repository from one schema to another; without one of them, from or to
        any. For the whole network, see ``atdata.find_lenses``. Raises ``NetworkError``."""
        return [
            lens
            for lens in self.list_all(repo)
            if source_schema_uri in (None, lens["sourceSchema"])
            and target_schema_uri in (None, lens["targetSchema"])
        ]


def code_ref(code: Code, path: str) -> CodeRef:
    """A code reference from its parts. Raises ``InvalidRecord`` naming what is missing."""
    if isinstance(code, CodeRef):
        return code
    known = {"repository", "commit", "path", "branch", "language"}
    if unknown := sorted(set(code) - known):
        raise InvalidRecord(f"{path}/{unknown[0]}", f"expected only {', '.join(sorted(known))}")
    for name in ("repository", "commit", "path"):
        if name not in code:
            raise InvalidRecord(f"{path}/{name}", "is missing")
    return CodeRef(**code)


def _putter_code(lens: Lens[Any, Any]) -> CodeRef:
    putter = lens.putter_function
    return CodeRef("", "", "") if putter is None else code_of(putter)
