"""Faults of what authors sign: trees that break the rules, records that are none, look-alikes."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import cbor2
import pytest

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from indexer import mst
from tests.faults.conftest import Fault
from tests.faults.hosts import ForgingFirehose
from tests.faults.model import Model, same_as
from tests.faults.scenes import asked, drops, indexed, names, states
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    until,
)
from tests.indexer.repo_builder import Message, Repo, create, unchecked_car, update

LEAF = cbor.encode(dataset("hostile"))
Nodes = list[bytes]  # the root first


# --- trees --------------------------------------------------------------------------------------


def path_of(layer: int, collection: str = DATASET, start: int = 10) -> str:
    """The first ``collection/number`` from ``start`` that belongs into ``layer``."""
    candidates = (f"{collection}/{n}" for n in itertools.count(start))
    return next(path for path in candidates if mst.key_height(path.encode()) == layer)


def entry(path: str, shared: int = 0, **fields: cbor.Data) -> dict[str, cbor.Data]:
    return {"p": shared, "k": path.encode()[shared:], "v": Cid.of(LEAF), "t": None, **fields}


def node(*entries: cbor.Data, left: Cid | None = None) -> bytes:
    return cbor.encode({"l": left, "e": list(entries)})


A, B, C = path_of(0, "a.b.c"), path_of(0), path_of(0, start=1_000)
HIGH = path_of(1)


def doubled(height: int) -> Nodes:
    """A tree whose every node is on both sides of the one above."""
    nodes = [node(entry(path_of(0)))]
    for layer in range(1, height):
        below = Cid.of(nodes[0])
        nodes.insert(0, node(entry(path_of(layer), t=below), left=below))
    return nodes


HOSTILE: dict[str, Nodes] = {
    "not CBOR": [b"\xff\x00"],
    "nested too deep": [b"\x81" * 5_000 + b"\x80"],
    "no entries": [cbor.encode({"l": None})],
    "wrong height": [node(entry(HIGH), entry(path_of(0, start=int(HIGH.split("/")[1]) + 1)))],
    "child of the wrong height": [
        node(entry(HIGH, t=Cid.of(node(entry(path_of(2)))))),
        node(entry(path_of(2))),
    ],
    "unsorted keys": [node(entry(C), entry(A))],
    "twice the same key": [node(entry(B), entry(B, shared=len(B)))],
    "prefix beyond the key before": [node(entry(A), entry(B, p=99))],
    "negative prefix": [node(entry(B, p=-1))],
    "prefix not the longest": [node(entry(B), entry(C))],
    "not UTF-8": [node(entry(B, k=B.encode() + b"\xff\xfe"))],
    "key of 1025 characters": [node(entry(path_of(0, "a.b." + "c" * 1_018)))],
    "no slash": [node(entry(B, k=b"abc"))],
    "empty node in the middle": [node(entry(HIGH, t=Cid.of(node()))), node()],
    "one subtree on both sides": doubled(7),
}


def whole(repo: Repo, nodes: Nodes) -> bytes:
    """What getRepo answers: the tree of ``nodes``, signed by the account."""
    root, block = repo.signed_commit(data=Cid.of(nodes[0]))
    blocks = {root.raw: block} | {Cid.of(b).raw: b for b in (*nodes, LEAF)}
    return unchecked_car([root], blocks.items())


def announced(repo: Repo, message: Message, nodes: Nodes) -> Message:
    """The commit ``message`` with this tree, signed by the account."""
    root, block = repo.signed_commit(data=Cid.of(nodes[0]))
    blocks = {root.raw: block} | {Cid.of(b).raw: b for b in (*nodes, LEAF)}
    op = {"action": "create", "path": B, "cid": Cid.of(LEAF)}
    return message.having(commit=root, blocks=unchecked_car([root], blocks.items()), ops=[op])


@pytest.mark.fault(31)
def test_hostile_trees_are_refused_wherever_they_come_from(fault: Fault, db: Path) -> None:
    """Signed by their author: first as a commit, then, when we fetch the repo for that, as the
    repo. Each author then comes to reason, and is indexed."""

    async def main() -> None:
        async with ForgingFirehose() as net:
            for number, nodes in enumerate(HOSTILE.values()):
                repo = new_repo(net, number)
                await net.send(first_commit(repo, "cats"))
                message = repo.commit(update(f"{DATASET}/cats", dataset("lions")))
                net.forged[repo.did] = itertools.repeat(whole(repo, nodes))
                await net.send(announced(repo, message, nodes))
            async with running(net, db, resync_backoff_max_seconds=0.05) as indexer:
                await reached(indexer, net)
                await until(lambda: net.forged.keys() == net.served.keys(), lambda: "fetched")
                await until(
                    lambda: sum(indexer.status().drops.values()) >= 2 * len(HOSTILE),
                    lambda: str(indexer.status()),
                )
            assert names(db) == ["cats"] * len(HOSTILE)
            assert set(states(db)) == {"desynchronized"}
            fault.fired(net.served.total())
            net.forged.clear()
            await indexed(net, db)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert set(drops(db)) <= {"invalid_mst", "op_cid_mismatch", "missing_block"}


@pytest.mark.fault(31)
def test_a_tree_that_leads_back_to_itself_is_refused(fault: Fault, db: Path) -> None:
    """Only with blocks under CIDs that are not theirs, since nobody can make a hash cycle."""

    async def main() -> None:
        async with ForgingFirehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            root = Cid.of(b"the root")
            loop = node(entry(HIGH, t=root), left=root)
            message = repo.commit(update(f"{DATASET}/cats", dataset("lions")))
            commit, block = repo.signed_commit(data=root)
            blocks = unchecked_car([commit], [(commit.raw, block), (root.raw, loop)])
            await net.send(message.having(commit=commit, blocks=blocks))
            await net.send(message)
            await indexed(net, db)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"block_hash_mismatch": 1}
    fault.fired(drops(db)["block_hash_mismatch"])


@pytest.mark.fault(31)
def test_a_key_of_1024_characters_is_legal(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            long = "a.b.c/".ljust(1_024, "y")
            repo.commit(create(long, {}), create(f"{DATASET}/cats", dataset("cats")))
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            await indexed(net, db)
            assert max(map(len, repo.paths)) == 1_024
            same_as(Model.of(net), db)
            assert drops(db) == {}
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())


# --- records ------------------------------------------------------------------------------------


def with_member(value: bytes) -> bytes:
    """A dataset with one member more, which is ``value`` in CBOR."""
    block = cbor.encode(dataset("hostile", more=None))
    assert block.count(b"\x64more\xf6") == 1
    return block.replace(b"\x64more\xf6", b"\x64more" + value)


RECORDS: dict[str, bytes] = {
    "depth 10,000": with_member(b"\x81" * 10_000 + b"\x80"),
    "maps, depth 10,000": with_member(b"\xa1\x61a" * 10_000 + b"\x80"),
    "a float": with_member(b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
    "not a number": with_member(b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
    "an integer of 65 bits": with_member(cbor2.dumps(2**64)),
    "a negative one": with_member(cbor2.dumps(-(2**64) - 1)),
    "undefined": with_member(b"\xf7"),
    "a date tag": with_member(b"\xc0\x60"),
    "indefinite length": with_member(b"\x9f\xff"),
    "not the shortest form": with_member(b"\x18\x01"),
    "not UTF-8": with_member(b"\x62\xc3\x28"),
    "two values": cbor.encode(dataset("hostile")) + b"\xf6",
    "no map": cbor.encode(["hostile"]),
    "empty": b"",
    "a name that is a number": cbor.encode(dataset(7)),
    "no name": cbor.encode({**dataset(), "name": None}),
    "tags that are a text": cbor.encode(dataset("hostile", tags="tags")),
    "a negative size": cbor.encode(dataset("hostile", size={"samples": -1})),
    "a size of 2 to the power of 63": cbor.encode(dataset("hostile", size={"bytes": 2**63})),
    "a date that is none": cbor.encode(dataset("hostile", createdAt="\x00\x1b[2J")),
    "control characters for an address": cbor.encode(dataset("hostile", schemaRef="at://\x00\r\n")),
    "a megabyte and one byte": cbor.encode(dataset("hostile", more="x" * 1_000_001)),
}


@pytest.mark.fault(32)
@pytest.mark.parametrize("fetched", [False, True], ids=["as commits", "as repos"])
def test_a_hostile_record_is_kept_aside_and_its_siblings_are_indexed(
    fault: Fault, db: Path, fetched: bool
) -> None:
    async def main() -> None:
        async with Firehose() as net:
            for number, block in enumerate(RECORDS.values()):
                repo = new_repo(net, number)
                hostile = create(f"{DATASET}/hostile", block)
                if fetched:
                    repo.commit(create(f"{DATASET}/before", dataset("before")), hostile)
                    await net.send(repo.commit(create(f"{DATASET}/after", dataset("after"))))
                else:
                    siblings = [create(f"{DATASET}/{name}", dataset(name)) for name in "az"]
                    await net.send(repo.commit(*siblings, hostile))
            await indexed(net, db)
            same_as(Model.of(net), db)

    asyncio.run(main())
    of_records = {"invalid_record", "invalid_record_cbor", "oversized_record"}
    assert set(drops(db)) == of_records
    assert sum(drops(db).values()) == len(RECORDS)
    kept = rows(db, "SELECT reason, detail FROM invalid_records")
    assert len(kept) == len(RECORDS)
    assert all(f"{DATASET}/hostile" in detail for _, detail in kept)
    fault.fired(len(kept))


@pytest.mark.fault(32)
def test_control_characters_in_text_are_the_authors_and_do_no_harm(fault: Fault, db: Path) -> None:
    """The lexicon allows them, so that such a record is shown. Only NUL, which the database's text
    does not have, is replaced; what reaches a terminal or a page is escaped there."""
    texts = ["a\x00b", "\x1b[2Jgone", "line\r\nline", "\u202egnp.exe", "\x7f\x9b", "\ufeff"]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(
                *(
                    repo.commit(create(f"{DATASET}/r{i}", dataset(text, tags=[text])))
                    for i, text in enumerate(texts)
                )
            )
            await indexed(net, db)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert "a\ufffdb" in names(db)
    fault.fired(len(names(db)))


# --- look-alikes --------------------------------------------------------------------------------

LOOK_ALIKES = (
    "ac.foundation.dataset",
    "ac.foundation.datasetx.record",
    "ac.foundation.datasets.record",
    "ac.foundation.dataset.recordx",
    "ac.foundation.dataset.record.x",
    "ac.foundation.dataset.Record",
    "xac.foundation.dataset.record",
    "science.alt.dataset",
    "science.alt.dataset.record",
    "science.alt.dataset.entries",
)


@pytest.mark.fault(34)
def test_collections_that_look_like_ours_are_not(fault: Fault, db: Path) -> None:
    """Neither do they make us ask for anything; beside a record of ours they are left out."""

    async def main() -> None:
        async with Firehose() as net:
            for number, collection in enumerate(LOOK_ALIKES):
                other = new_repo(net, number)
                await net.send(other.commit(create(f"{collection}/a", dataset("look-alike"))))
            quote = {"text": f"see at://did:plc:x/{DATASET}/cats"}
            await net.send(new_repo(net, 50).commit(create("app.bsky.feed.post/a", quote)))
            await indexed(net, db)
            assert net.asked == []
            assert rows(db, "SELECT count(*) FROM repos") == [(0,)]
            same_as(Model.of(net), db)
            both = new_repo(net, 51)
            writes = [create(f"{name}/a", dataset("look-alike")) for name in LOOK_ALIKES]
            await net.send(both.commit(*writes, create(f"{DATASET}/cats", dataset("cats"))))
            later = new_repo(net, 52)
            later.commit(*writes)
            await net.send(later.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            await indexed(net, db)
            assert asked(net, "getRepo") == 1
            same_as(Model.of(net), db)
            assert names(db) == ["cats", "dogs"]
            fault.fired(3 * len(LOOK_ALIKES))

    asyncio.run(main())
