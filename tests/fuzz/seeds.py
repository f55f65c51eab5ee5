"""What the fuzzer starts from: recorded frames, and valid ones of every kind, with their parts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from atdata.protocol import car, cbor
from indexer.recordings import Recording
from tests.flow.replay import DEMO
from tests.indexer.repo_builder import P256, Message, Repo, create, delete
from tests.properties.networks import Network

# Longer inputs find nothing that shorter ones don't, but slower.
MAX_BYTES = 16_384

_FIELDS = b"""
    ops rev seq repo time blobs since blocks commit rebase tooBig prevData did active status handle
    name message error action path cid prev create update delete version sig data roots op t p k v l
    e $type createdAt fields schemaRef storage urls tags size license metadata
    #commit #sync #identity #account #info
    ac.foundation.dataset.record ac.foundation.dataset.sampleSchema science.alt.dataset.entry
"""
DICTIONARY = (
    *_FIELDS.split(),
    b"\xd8\x2a\x58\x25\x00\x01\x71\x12\x20",
    b"\xa2atg#commitbop\x01",
    b"\xf6",
    b"\x1b\x00\x1f\xff\xff\xff\xff\xff\xff",
)


def seeds() -> Iterator[bytes]:
    """Frames, and from commits the CAR and each of its blocks."""
    for frame in _frames():
        if len(frame) <= MAX_BYTES:
            yield frame
    for message in _messages():
        blocks = message.body.get("blocks", b"")
        yield blocks
        if blocks:
            yield from car.read(blocks).blocks.values()


def _frames() -> Iterator[bytes]:
    recording = Recording.open(DEMO)
    for source in recording.manifest.sources:
        for recorded in recording.frames(source.name):
            yield recorded.frame
    for message in _messages():
        yield message.frame


def _messages() -> Iterator[Message]:
    yield from Network(Random(1), 2, 120).events
    repo = Repo(key=P256)
    paths = [f"app.bsky.feed.post/3k2yihcrp2c{n:02d}" for n in range(40)]
    yield repo.commit(*(create(path, {"text": path}) for path in paths))
    yield repo.commit(create("app.bsky.feed.like/self", {"x": 1}), delete(paths[3]))
    yield Message("#info", {"name": "OutdatedCursor", "message": "too old"})
    yield Message("#commit", {"error": "FutureCursor"}, op=-1)
    yield Message("#novel", {"seq": 5})


def dictionary() -> str:
    """In the form that libFuzzer reads."""
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in DICTIONARY)
    return "\n".join(lines) + "\n"


def nested(depth: int) -> bytes:
    """A frame with a body that is nested so deep."""
    return cbor.encode({"op": 1, "t": "#commit"}) + b"\xa1\x61a" * depth + b"\xf6"
