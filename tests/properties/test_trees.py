"""Large Merkle search trees: any order of building, any commit undone, from the proof alone.

The trees have hundreds of keys and several layers, which small examples do not reach; Hypothesis
chooses their seeds. The slow model of small trees is in tests/indexer/test_mst.py.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.protocol.cid import Cid
from indexer import mst, mst_edit
from tests.indexer.repo_builder import build_tree, covering_proof

NEW = Cid.of(b"new")

seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([0, 1, 2, 20, 150, 400])


def records(rng: random.Random, count: int) -> dict[str, Cid]:
    """Of a few collections, with keys that share long prefixes."""
    paths: set[str] = set()
    while len(paths) < count:
        key = f"3k2y{rng.randrange(count * 4):06d}{rng.choice(['', 'x', '-y'])}"
        paths.add(f"{rng.choice(['app.a.b', 'app.a.bc', 'org.x.y'])}/{key}")
    return {path: Cid.of(path.encode()) for path in paths}


def shuffled(rng: random.Random, held: dict[str, Cid]) -> dict[str, Cid]:
    order = list(held.items())
    rng.shuffle(order)
    return dict(order)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_any_order_of_building_gives_one_tree(seed: int, size: int) -> None:
    rng = random.Random(seed)
    held = records(rng, size)
    tree, again = build_tree(held), build_tree(shuffled(rng, held))
    blocks = dict(mst.serialise(tree))
    assert dict(mst.serialise(again)) == blocks
    assert mst.root_cid(again) == mst.root_cid(tree)
    assert list(mst.walk(blocks, mst.root_cid(tree))) == sorted(held.items())


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_what_is_built_is_taken_down_in_any_order(seed: int, size: int) -> None:
    """Every tree on the way is the one of what is left."""
    rng = random.Random(seed)
    held = records(rng, size)
    tree = build_tree(held)
    for i, path in enumerate(shuffled(rng, held)):
        tree = mst_edit.delete(tree, path)
        del held[path]
        if i % 37 == 0:
            assert mst.root_cid(tree) == mst.root_cid(build_tree(held))
    assert tree is None


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, st.integers(0, 30))
def test_a_commit_is_undone_from_its_proof_alone(seed: int, size: int, changes: int) -> None:
    """Deletes, updates and creates at once: from the nodes on the way to them, the root before."""
    rng = random.Random(seed)
    before = records(rng, size)
    after = dict(before)
    for path in rng.sample(sorted(before), min(changes, size)):
        if rng.random() < 0.5:
            del after[path]
        else:
            after[path] = NEW
    after |= {path: NEW for path in records(rng, changes) if path not in before}
    changed = {path for path in before | after if before.get(path) != after.get(path)}

    blocks = dict(mst.serialise(build_tree(after)))
    root = mst.root_cid(build_tree(after))
    proof = covering_proof(mst.load(blocks, root, whole=True), changed)
    tree = mst.load({raw: blocks[raw] for raw in proof | {root.raw}}, root)
    for path in sorted(changed, key=lambda path: (path in after, path)):
        assert mst.find(tree, path) == after.get(path)
        if path not in after:
            tree = mst_edit.insert(tree, path, before[path])
        elif path not in before:
            tree = mst_edit.delete(tree, path)
        else:
            tree = mst_edit.replace(tree, path, before[path])
    assert mst.root_cid(tree) == mst.root_cid(build_tree(before))
