"""Generated networks, and the ways in which one can arrive.

A network is what several accounts did, in order. A delivery is what a consumer receives of it:
each repo's events in their order, the repos interleaved at will, under the seqs of one source or
two, with frames sent twice and windows sent again, in runs of any length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from atdata.protocol.syntax import Did
from indexer.received import Received
from tests.indexer.network import CREATED, DATASET, LENS, SCHEMA, SCHEMA_URI, dataset, plc_did
from tests.indexer.repo_builder import (
    NOW_US,
    Message,
    Repo,
    SigningKey,
    Write,
    account,
    create,
    delete,
    identity,
    update,
)

POST = "app.bsky.feed.post"
STRANGER = SigningKey("k256", 99)
_START = datetime(2023, 11, 14, tzinfo=UTC)
_NAMES = 5  # record keys of a collection: few, so that they are written again


@dataclass
class Author:
    """One account and the events that tell of it, in order."""

    did: Did
    repo: Repo
    events: list[Message] = field(default_factory=list)
    known: bool = False
    """Whether it has committed a record of ours, so that an index tracks it."""
    active: bool = True


class Network:
    """What ``authors`` accounts did in ``steps`` steps. ``rng`` decides everything."""

    def __init__(self, rng: Random, authors: int, steps: int) -> None:
        self._rng = rng
        dids = [plc_did(n) for n in range(authors)]
        self.authors = [Author(did, Repo(did=did)) for did in dids]
        self.events: list[Message] = []
        for step in range(steps):
            author = rng.choice(self.authors)
            time = (_START + timedelta(seconds=step)).isoformat().replace("+00:00", "Z")
            for message in self._step(author):
                timed = message.having(time=time)
                author.events.append(timed)
                self.events.append(timed)

    def _step(self, author: Author) -> Iterator[Message]:
        kinds = ["records"] * 16 + ["post", "identity"]
        if author.known:
            kinds += ["account", "account", "delete account", "sync", "jump", "too big", "forged"]
        kind, repo = self._rng.choice(kinds), author.repo
        if not author.active:
            kind = "account"  # nobody writes while away
        match kind:
            case "records":
                author.known = True
                yield repo.commit(*self._writes(repo))
            case "post":
                yield repo.commit(create(f"{POST}/{repo.next_rev()}", {"text": "hello"}))
            case "identity":
                yield identity(author.did)
            case "account":
                author.active = not author.active
                status = None if author.active else self._rng.choice(["deactivated", "takendown"])
                yield account(author.did, active=author.active, status=status)
            case "delete account":
                author.active, repo.tree, repo.rev, repo.paths = False, None, None, {}
                yield account(author.did, active=False, status="deleted")
            case "sync" if repo.rev is not None:
                yield repo.sync()
            case "jump":
                repo.commit(*self._writes(repo))  # nobody hears of it
                yield repo.sync()
            case "too big":
                yield repo.commit(*self._writes(repo)).having(tooBig=True)
            case "forged" if repo.rev is not None:
                yield _copy(repo).commit(*self._writes(repo), key=STRANGER)

    def _writes(self, repo: Repo) -> list[Write]:
        """At least one record of ours is written."""
        rng, writes, used = self._rng, list[Write](), set[str]()
        for _ in range(rng.choice((1, 2, 3, 6))):
            collection = rng.choice((DATASET, SCHEMA, LENS, POST)) if writes else DATASET
            path = f"{collection}/{rng.randrange(_NAMES)}"
            if path in used:
                continue
            used.add(path)
            if path in repo.paths and writes and rng.random() < 0.4:
                writes.append(delete(path))
            else:
                write = update if path in repo.paths else create
                writes.append(write(path, self._record(collection)))
        return writes

    def _record(self, collection: str) -> dict[str, Any]:
        rng = self._rng
        name = f"name {rng.randrange(3)}"
        invalid: dict[str, Any] = {"createdAt": 5} if rng.random() < 0.1 else {}
        common = {"$type": collection, "name": name, "createdAt": CREATED}
        if collection == DATASET:
            tags = [f"t{n}" for n in range(rng.randrange(3))]
            return dataset(name, tags=tags, license="MIT") | invalid
        if collection == SCHEMA:
            kind = {
                "$type": f"{SCHEMA.rpartition('.')[0]}.schemaType#primitive",
                "primitive": "int",
            }
            fields = [{"name": f"f{n}", "fieldType": kind} for n in range(rng.randrange(1, 4))]
            return {**common, "version": "1.0.0", "fields": fields} | invalid
        if collection == LENS:
            return {**common, "sourceSchema": SCHEMA_URI, "targetSchema": SCHEMA_URI} | invalid
        return {"text": name}


def _copy(repo: Repo) -> Repo:
    """To write what the real one never will."""
    return Repo(
        did=repo.did,
        key=repo.key,
        tree=repo.tree,
        blocks=dict(repo.blocks),
        paths=dict(repo.paths),
        rev=repo.rev,
        commits=repo.commits,
    )


# --- delivery -------------------------------------------------------------------------------------


def in_order(network: Network, source: str, at_once: int = 1) -> list[list[Received]]:
    """Everything once, in runs of ``at_once`` frames."""
    frames = [
        Received(source, 1, message.at(seq).frame, NOW_US)
        for seq, message in enumerate(network.events, 1)
    ]
    return [frames[at : at + at_once] for at in range(0, len(frames), at_once)]


def delivered(rng: Random, network: Network, sources: Sequence[str]) -> list[list[Received]]:
    """Runs of frames, as one consumer could get them from all of ``sources`` together."""
    streams = [list(_stream(rng, network, source)) for source in sources]
    return list(_runs(rng, merged(rng, streams)))


def _stream(rng: Random, network: Network, source: str) -> Iterator[Received]:
    """All events under the source's own seqs, with frames twice and windows again."""
    first = rng.choice((1, 1_000, 1 << 33))
    order = merged(rng, [author.events for author in network.authors])
    frames = [message.at(first + n).frame for n, message in enumerate(order)]
    connection, at, again = 1, 0, rng.choice((0.0, 0.05, 0.2))
    while at < len(frames):
        yield Received(source, connection, frames[at], NOW_US)
        if rng.random() < again:
            yield Received(source, connection, frames[at], NOW_US)
        at += 1
        if rng.random() < again / 2:  # a new connection, from a cursor that is further back
            connection, at = connection + 1, rng.randrange(at + 1)


def merged(rng: Random, lists: Sequence[Sequence[Any]]) -> list[Any]:
    """All items; those of one list in its order."""
    turns = [i for i, items in enumerate(lists) for _ in items]
    rng.shuffle(turns)
    sources = [iter(items) for items in lists]
    return [next(sources[i]) for i in turns]


def _runs(rng: Random, items: list[Received]) -> Iterator[list[Received]]:
    longest = rng.choice((3, 10, 30, len(items) or 1))
    while items:
        count = rng.randint(1, longest)
        yield items[:count]
        items = items[count:]
