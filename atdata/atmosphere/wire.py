"""What goes to a PDS and what it answers: JSON out, models in.

Rule: nothing that a host answers is quoted. It knows the session's tokens and may answer with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, InvalidRecord, ProtocolError
from atdata.protocol.records import BlobShard
from atdata.protocol.syntax import AtUri

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordRef:
    """A record at one moment: where it is, and the CID of what it says. Its text is the URI."""

    uri: str
    cid: str

    def __str__(self) -> str:
        return self.uri


def as_json(body: Mapping[str, Any]) -> bytes:
    """A record or request as JSON in its shortest form: a PDS bounds the bytes of a request."""
    json_body = cbor.to_json(body)
    return json.dumps(json_body, ensure_ascii=False, separators=(",", ":")).encode()


def written_record(answer: Any) -> RecordRef:
    """Where the PDS says that it wrote a record. Raises ``InvalidRecord``."""
    uri, cid = _parsed(AtUri.parse, answer, "uri"), _parsed(Cid.parse, answer, "cid")
    if uri is None or cid is None:
        raise InvalidRecord("/uri", "the PDS did not say where it wrote the record")
    return RecordRef(str(uri), str(cid))


def stored_blob(answer: Any, sent: Cid, size: int) -> BlobShard:
    """The blob that the PDS says it stored: ``size`` bytes, which were ``sent``.

    Raises ``CidMismatch`` if it understood others, ``InvalidRecord``.
    """
    blob = answer.get("blob") if isinstance(answer, Mapping) else None
    ref = blob.get("ref") if isinstance(blob, Mapping) else None
    stored = _parsed(Cid.parse, ref, "$link")
    mime_type = blob.get("mimeType") if isinstance(blob, Mapping) else None
    if stored is None or not isinstance(mime_type, str):
        raise InvalidRecord("/blob", "the PDS did not say what it stored")
    if stored != sent:
        raise CidMismatch(str(sent), str(stored), "uploaded blob")
    return BlobShard(sent, size, mime_type)


def _parsed(parse: Callable[[str], T], answer: Any, name: str) -> T | None:
    """A member of an answer, None if it is not what it should be. Its text is quoted nowhere: a
    host may answer with what it was sent."""
    text = answer.get(name) if isinstance(answer, Mapping) else None
    try:
        return parse(text) if isinstance(text, str) else None
    except ProtocolError:
        return None
