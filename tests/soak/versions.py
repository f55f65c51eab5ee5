"""Which versions of each record a recording tells of, and when: what a cursor promises.

The rule that is checked with it is invariant 1: at a cursor, every record is as it was at that seq
or later (a fetched repo is ahead of the firehose), never as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from atdata.protocol import car
from atdata.protocol.cid import Cid
from atdata.protocol.namespaces import kind_of
from indexer import events, frames
from indexer.drops import InvalidEvent
from indexer.recordings import Recording
from indexer.tables import Rows
from indexer.versions import Version, judged


@dataclass
class Versions:
    """``by_uri``: source name, and ``(seq, cid)`` in order; None where there is no valid record."""

    by_uri: dict[str, tuple[str, list[tuple[int, str | None]]]] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording) -> Versions:
        found = cls()
        for source in recording.manifest.sources:
            for recorded in recording.frames(source.name):
                try:
                    found.take(source.name, frames.parse(recorded.frame))
                except InvalidEvent:
                    continue
        return found

    def behind(self, cursors: Mapping[str, int], held: Mapping[str, str]) -> list[str]:
        """The URIs of records that ``held`` (URI → CID) has as they were before the cursor of
        their source, by its name."""
        return [
            uri
            for uri, (source, versions) in self.by_uri.items()
            if held.get(uri) not in set(_from(versions, cursors.get(source, 0)))
        ]

    def take(self, source: str, event: events.Event) -> None:
        """One more event of ``source``."""
        if isinstance(event, events.Account) and event.status == "deleted":
            for uri, (_, versions) in self.by_uri.items():
                if uri.startswith(f"at://{event.did}/"):
                    versions.append((event.seq, None))
        if not isinstance(event, events.Commit):
            return
        blocks = car.read(event.blocks).blocks
        for op in event.ops:
            if kind_of(op.collection) is None:
                continue
            block = None if op.cid is None else blocks[op.cid.raw]
            valid = op.cid is not None and block is not None and _is_valid(op, op.cid, block)
            _, versions = self.by_uri.setdefault(f"at://{event.did}/{op.path}", (source, []))
            versions.append((event.seq, str(op.cid) if valid else None))


def _is_valid(op: events.RepoOp, cid: Cid, block: bytes) -> bool:
    did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
    version = Version(did, op.collection, op.rkey, cid, "3jzfcijpj2z2a", block)
    return isinstance(judged(version, "", 0), Rows)


def _from(versions: list[tuple[int, str | None]], cursor: int) -> Iterator[str | None]:
    """The version at ``cursor``, and all later ones."""
    at_cursor: str | None = None
    for seq, cid in versions:
        if seq <= cursor:
            at_cursor = cid
        else:
            yield cid
    yield at_cursor
