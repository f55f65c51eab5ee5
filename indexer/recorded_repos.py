"""The repos of a recording, put together from its frames, as a PDS would serve them.

A recording that begins with a repo's first commit holds every block of the repo that still counts:
they stand in the commits that made them. The rule protected here: a repo is served whole, at its
newest recorded commit, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atdata.protocol import car
from atdata.protocol.cid import Cid
from atdata.protocol.errors import ProtocolError
from atdata.protocol.syntax import Tid
from indexer import events, frames, mst
from indexer.commit import SignedCommit
from indexer.drops import InvalidEvent, Refused
from indexer.recording_files import Recording

MAX_BYTES = 256_000_000  # of all blocks that are held


@dataclass(frozen=True, slots=True)
class RecordedRepo:
    """``car`` is what ``getRepo`` answers."""

    commit: Cid
    rev: Tid
    car: bytes


@dataclass(slots=True)
class _Blocks:
    """Of one repo. ``newest`` is the commit of the highest rev."""

    blocks: dict[bytes, bytes] = field(default_factory=dict)
    newest: tuple[Tid, Cid] | None = None


def recorded_repos(recording: Recording) -> Mapping[str, RecordedRepo]:
    """DID → repo, of all that the recording holds completely; none if it is too large for that."""
    held: dict[str, _Blocks] = {}
    size = 0
    for source in recording.manifest.sources:
        for frame in recording.frames(source.name):
            size += _hold(frame.frame, held)
            if size > MAX_BYTES:
                return {}
    found = {did: _whole(blocks) for did, blocks in held.items()}
    return {did: repo for did, repo in found.items() if repo is not None}


def _hold(frame: bytes, held: dict[str, _Blocks]) -> int:
    """Keep the blocks of a commit or sync. Returns how many bytes it brought."""
    try:
        event = frames.parse(frame)
        if not isinstance(event, events.Commit | events.Sync):
            return 0
        file = car.read(event.blocks)
    except (InvalidEvent, ProtocolError):
        return 0
    repo = held.setdefault(event.did, _Blocks())
    repo.blocks.update(file.blocks)
    if file.roots and (repo.newest is None or event.rev >= repo.newest[0]):
        repo.newest = event.rev, file.roots[0]
    return len(event.blocks)


def _whole(held: _Blocks) -> RecordedRepo | None:
    if held.newest is None:
        return None
    rev, root = held.newest
    try:
        signed = SignedCommit.parse(held.blocks[root.raw])
        tree = mst.load(held.blocks, signed.data, whole=True)
        raws = [root.raw, *(raw for raw, _ in mst.serialise(tree))]
        raws += [cid.raw for _, cid in mst.items(tree)]
        blocks = [(Cid(raw), held.blocks[raw]) for raw in dict.fromkeys(raws)]
    except (KeyError, Refused):
        return None
    return RecordedRepo(root, rev, car.write([root], blocks))
