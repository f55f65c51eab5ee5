"""The protocol's own fixtures for Merkle search trees, all of them."""

from __future__ import annotations

from atdata.protocol.cid import Cid
from indexer import mst, mst_edit
from tests.indexer.repo_builder import build_tree, covering_proof
from tests.protocol.interop_fixtures import INTEROP, cases, needs_interop

pytestmark = needs_interop("Merkle search trees")

LEAF = Cid.of(b"leaf")


def test_interop_key_heights() -> None:
    for case in cases("mst/key_heights.json", 9):
        assert mst.key_height(case["key"].encode()) == case["height"], case


def test_interop_common_prefixes() -> None:
    for case in cases("mst/common_prefix.json", 13):
        assert mst.common_prefix(case["left"].encode(), case["right"].encode()) == case["len"], case


def test_interop_example_keys() -> None:
    """Named so that the letter's index is the layer: ``A0/…`` is in layer 0."""
    keys = (INTEROP / "mst" / "example_keys.txt").read_text(encoding="ascii").split()
    assert len(keys) == 156
    assert [mst.key_height(key.encode()) for key in keys] == [int(key[1]) for key in keys]
    tree = build_tree(dict.fromkeys(keys, LEAF))
    blocks = dict(mst.serialise(tree))
    assert [path for path, _ in mst.walk(blocks, mst.root_cid(tree))] == sorted(keys)


def test_interop_commit_proofs() -> None:
    for case in cases("firehose/commit-proof-fixtures.json", 6):
        leaf = Cid.parse(case["leafValue"])
        tree = build_tree(dict.fromkeys(case["keys"], leaf))
        assert str(mst.root_cid(tree)) == case["rootBeforeCommit"], case["comment"]
        for path in case["adds"]:
            tree = mst_edit.insert(tree, path, leaf)
        for path in case["dels"]:
            tree = mst_edit.delete(tree, path)
        root = mst.root_cid(tree)
        assert str(root) == case["rootAfterCommit"], case["comment"]

        blocks = dict(mst.serialise(tree))
        listed = {Cid.parse(text).raw for text in case["blocksInProof"]}
        touched = case["adds"] + case["dels"]
        assert covering_proof(mst.load(blocks, root, whole=True), touched) <= listed
        partial = mst.load({raw: blocks[raw] for raw in listed & blocks.keys()}, root)
        for path in case["dels"]:
            partial = mst_edit.insert(partial, path, leaf)
        for path in sorted(case["adds"]):
            partial = mst_edit.delete(partial, path)
        assert str(mst.root_cid(partial)) == case["rootBeforeCommit"], case["comment"]
