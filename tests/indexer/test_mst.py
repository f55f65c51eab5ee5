"""The Merkle search tree: a function of its keys and values, read strictly, undone exactly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from indexer import mst, mst_edit
from indexer.drops import DropReason
from tests.indexer.repo_builder import build_tree, covering_proof

LEAF = Cid.of(b"leaf")
OTHER = Cid.of(b"other")


# --- a slow, obvious tree: the definition, word for word ----------------------------------------


def model(records: Mapping[str, Cid], blocks: dict[bytes, bytes]) -> Cid:
    """The root of ``records`` by the specification's definition; its nodes go into ``blocks``."""
    layers = [mst.key_height(path.encode()) for path in records]
    root = _model(sorted(records.items()), max(layers, default=0), blocks)
    return _store({"l": None, "e": []}, blocks) if root is None else root


def _model(records: list[tuple[str, Cid]], layer: int, blocks: dict[bytes, bytes]) -> Cid | None:
    if not records:
        return None
    groups: list[list[tuple[str, Cid]]] = [[]]
    here: list[tuple[str, Cid]] = []
    for path, cid in records:
        if mst.key_height(path.encode()) == layer:
            here.append((path, cid))
            groups.append([])
        else:
            groups[-1].append((path, cid))
    left, *trees = [_model(group, layer - 1, blocks) for group in groups]
    entries: list[cbor.Data] = []
    last = ""
    for (path, cid), tree in zip(here, trees, strict=True):
        shared = len(list(itertools.takewhile(lambda ab: ab[0] == ab[1], zip(last, path))))  # noqa: B905
        entries.append({"p": shared, "k": path[shared:].encode(), "v": cid, "t": tree})
        last = path
    return _store({"l": left, "e": entries}, blocks)


def _store(node: Mapping[str, cbor.Data], blocks: dict[bytes, bytes]) -> Cid:
    block = cbor.encode(node)
    cid = Cid.of(block)
    blocks[cid.raw] = block
    return cid


def records_of(paths: Iterable[str]) -> dict[str, Cid]:
    return {path: Cid.of(path.encode()) for path in paths}


paths = st.from_regex(r"[a-c]{1,3}/[0-9a-f]{1,3}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(st.lists(paths, unique=True, max_size=60))
def test_a_tree_is_a_function_of_its_records_alone(keys: list[str]) -> None:
    blocks: dict[bytes, bytes] = {}
    root = model(records_of(keys), blocks)
    tree = build_tree(records_of(keys))
    assert mst.root_cid(tree) == root
    assert dict(mst.serialise(tree)) == blocks
    assert list(mst.walk(blocks, root)) == sorted(records_of(keys).items())


@settings(max_examples=150, deadline=None)
@given(st.sets(paths, max_size=40), st.sets(paths, max_size=40))
def test_edits_give_the_tree_of_what_is_left(before: set[str], after: set[str]) -> None:
    tree = build_tree(records_of(sorted(before)))
    changed = records_of(after) | dict.fromkeys(before & after, OTHER)
    for path in sorted(before - after):
        tree = mst_edit.delete(tree, path)
    for path in sorted(after):
        edit = mst_edit.replace if path in before else mst_edit.insert
        tree = edit(tree, path, changed[path])
    assert mst.root_cid(tree) == model(changed, {})
    assert dict(mst.items(tree)) == changed


@settings(max_examples=150, deadline=None)
@given(st.sets(paths, min_size=1, max_size=60), st.sets(paths, max_size=12))
def test_the_covering_proof_is_enough_to_undo(keys: set[str], touched: set[str]) -> None:
    """Every touched path was created if it is there, else deleted."""
    blocks: dict[bytes, bytes] = {}
    root = model(records_of(keys), blocks)
    proof = covering_proof(mst.load(blocks, root, whole=True), touched)
    tree = mst.load({raw: blocks[raw] for raw in proof}, root)
    assert [mst.find(tree, path) is not None for path in sorted(touched)] == [
        path in keys for path in sorted(touched)
    ]
    for path in sorted(touched - keys):
        tree = mst_edit.insert(tree, path, OTHER)
    for path in sorted(touched & keys):
        tree = mst_edit.delete(tree, path)
    left = records_of(keys - touched) | dict.fromkeys(touched - keys, OTHER)
    assert mst.root_cid(tree) == model(left, {})


# --- hostile trees -------------------------------------------------------------------------------


def of_layer(layer: int, collection: str, start: int = 10) -> str:
    """The first path ``collection/number`` from ``start`` that belongs into ``layer``."""
    candidates = (f"{collection}/{n}" for n in itertools.count(start))
    return next(path for path in candidates if mst.key_height(path.encode()) == layer)


def entry(path: str, shared: int = 0, **fields: cbor.Data) -> dict[str, cbor.Data]:
    return {"p": shared, "k": path.encode()[shared:], "v": LEAF, "t": None, **fields}


def node(*entries: cbor.Data, left: Cid | None = None) -> bytes:
    return cbor.encode({"l": left, "e": list(entries)})


def refusal(root: bytes, *others: bytes) -> DropReason:
    """Why the tree is neither loaded (as a commit's is) nor walked (as a repo's is)."""
    blocks = {Cid.of(block).raw: block for block in (root, *others)}
    with pytest.raises(mst.InvalidMst) as loading:
        mst.load(blocks, Cid.of(root), whole=True)
    with pytest.raises(mst.InvalidMst) as walking:
        list(mst.walk(blocks, Cid.of(root)))
    assert loading.value.reason is walking.value.reason
    return loading.value.reason


A0, B0, C0 = (of_layer(0, letter) for letter in "abc")
A0_NEXT = of_layer(0, "a", 1 + int(A0[2:]))
A1, B1, C1 = (of_layer(1, letter) for letter in "abc")
B2 = of_layer(2, "b")


def test_the_nodes_of_these_tests_are_valid_until_broken() -> None:
    low, high = node(entry(A0)), node(entry(C0))
    root = node(entry(B1, t=Cid.of(high)), left=Cid.of(low))
    blocks = {Cid.of(block).raw: block for block in (root, low, high)}
    assert [path for path, _ in mst.walk(blocks, Cid.of(root))] == [A0, B1, C0]


@pytest.mark.parametrize(
    "root",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no CBOR"),
        pytest.param(b"\x81" * 50_000, id="nested too deep"),
        pytest.param(cbor.encode([]), id="no map"),
        pytest.param(cbor.encode({"l": None}), id="no entries"),
        pytest.param(cbor.encode({"l": None, "e": {}}), id="entries no array"),
        pytest.param(cbor.encode({"e": [entry(A0)]}), id="no left link"),
        pytest.param(cbor.encode({"e": [entry(A0)], "x": None}), id="another field for the link"),
        pytest.param(
            node({"p": 0, "k": A0.encode(), "v": LEAF, "x": None}), id="another field for the tree"
        ),
        pytest.param(cbor.encode({"l": None, "e": [entry(A0)], "x": 1}), id="spare field"),
        pytest.param(node(entry(A0) | {"x": 1}), id="spare field in entry"),
        pytest.param(node(5), id="entry no map"),
        pytest.param(node(entry(A0, v=None)), id="no value"),
        pytest.param(node(entry(A0, v=LEAF.raw)), id="value is bytes"),
        pytest.param(node(entry(A0, v=Cid.of(b"x", RAW))), id="value of codec raw"),
        pytest.param(node(entry(A0, t=5)), id="tree no link"),
        pytest.param(node(entry(A0, k=A0)), id="key is text"),
        pytest.param(node(entry(A0, p="0")), id="prefix is text"),
        pytest.param(node(entry(A0, p=-1)), id="negative prefix"),
        pytest.param(node(entry(A0, p=1)), id="prefix beyond nothing"),
        pytest.param(node(entry(A0), entry(B0, p=99)), id="prefix beyond the key before"),
        pytest.param(node(entry(A0), entry(A0_NEXT)), id="prefix not the longest"),
        pytest.param(node(entry(A0)).replace(b"\x61p\x00", b"\x61p\x18\x00"), id="not minimal"),
        pytest.param(node(entry(B0), entry(A0)), id="unsorted"),
        pytest.param(node(entry(A0), entry(A0, shared=len(A0))), id="twice the same key"),
        pytest.param(node(entry("a/", k=b"a/\xff\xfe")), id="not UTF-8"),
        pytest.param(node(entry("a/ä")), id="forbidden character"),
        pytest.param(node(entry("a")), id="no slash"),
        pytest.param(node(entry("a/b/c")), id="two slashes"),
        pytest.param(node(entry("a/")), id="empty record key"),
        pytest.param(node(entry(of_layer(0, "a" * 1022) + "0" * 8)), id="key too long"),
        pytest.param(node(entry(A0), entry(B1)), id="layers mixed"),
        pytest.param(node(left=LEAF), id="root without keys"),
        pytest.param(node(entry(A0), left=LEAF), id="subtree below layer 0"),
    ],
)
def test_a_node_that_breaks_a_rule_is_refused(root: bytes) -> None:
    assert refusal(root) is DropReason.INVALID_MST


@pytest.mark.parametrize("shared", [len(A0) + 1, 99, 2**63, -1])
def test_a_prefix_length_is_within_the_key_before(shared: int) -> None:
    """Beyond either end a slice would take what is there: one key in many encodings."""
    start = A0.encode()[:shared]
    suffix = next(b"x%d" % n for n in itertools.count() if mst.key_height(start + b"x%d" % n) == 0)
    with_prefix: dict[str, cbor.Data] = {"p": shared, "k": suffix, "v": LEAF, "t": None}
    assert refusal(node(entry(A0), with_prefix)) is DropReason.INVALID_MST


def test_a_prefix_length_is_no_truth_value() -> None:
    following = next(
        path
        for n in itertools.count()
        if mst.key_height((path := f"az/{n}").encode()) == 0 and path > A0
    )
    good = entry(following, shared=1)
    block = node(entry(A0), good)
    assert len(list(mst.walk({Cid.of(block).raw: block}, Cid.of(block)))) == 2
    assert refusal(node(entry(A0), {**good, "p": True})) is DropReason.INVALID_MST


def test_a_key_of_1024_characters_is_legal() -> None:
    path = next(
        path
        for n in itertools.count()
        if len(path := f"{n}/".ljust(1024, "x")) == 1024 and mst.key_height(path.encode()) == 0
    )
    root = node(entry(path))
    assert list(mst.walk({Cid.of(root).raw: root}, Cid.of(root))) == [(path, LEAF)]


@pytest.mark.parametrize(
    "subtree",
    [
        pytest.param(node(entry(A1)), id="same layer"),
        pytest.param(node(entry(B2)), id="higher layer"),
        pytest.param(node(), id="empty"),
        pytest.param(node(entry(C0)), id="above the range"),
    ],
)
def test_a_subtree_in_the_wrong_place_is_refused(subtree: bytes) -> None:
    assert refusal(node(entry(B1), left=Cid.of(subtree)), subtree) is DropReason.INVALID_MST


def test_a_subtree_below_its_range_is_refused() -> None:
    subtree = node(entry(A0))
    assert refusal(node(entry(B1, t=Cid.of(subtree))), subtree) is DropReason.INVALID_MST


def test_a_subtree_that_skips_a_layer_is_refused() -> None:
    subtree = node(entry(A0))
    assert refusal(node(entry(B2), left=Cid.of(subtree)), subtree) is DropReason.INVALID_MST
    between = node(left=Cid.of(subtree))
    root = node(entry(B2), left=Cid.of(between))
    blocks = {Cid.of(block).raw: block for block in (root, between, subtree)}
    assert [path for path, _ in mst.walk(blocks, Cid.of(root))] == [A0, B2]


def test_a_link_is_a_whole_cid() -> None:
    """A decoder that gives links as bytes gives a byte string in the place of one just so."""
    prefix = Cid.of(b"").raw[:4]
    for length in (20, 36, 40):
        wrong = node({**entry(A0), "v": prefix + bytes(length - 4)})
        with pytest.raises(mst.InvalidMst):
            mst.parse_node(wrong)


def test_one_node_in_two_places_is_refused_at_once() -> None:
    """Or else a few blocks could unfold into work without end."""
    shared = node(left=OTHER)
    root = node(entry(B2, t=Cid.of(shared)), left=Cid.of(shared))
    with pytest.raises(mst.InvalidMst, match="occurs twice"):
        mst.load({Cid.of(block).raw: block for block in (root, shared)}, Cid.of(root))


def test_a_cycle_ends() -> None:
    """No CAR that passed its hashes can hold one; the loader does not rely on it."""
    root = node(entry(B2), left=OTHER)
    blocks = {Cid.of(root).raw: root, OTHER.raw: node(left=OTHER)}
    with pytest.raises(mst.InvalidMst) as caught:
        mst.load(blocks, Cid.of(root))
    assert caught.value.reason is DropReason.INVALID_MST


# --- partial trees --------------------------------------------------------------------------------


def partial() -> tuple[mst.Tree, bytes]:
    """``B1`` with what is before it at hand, and what is after it not."""
    low, high = node(entry(A0)), node(entry(C0))
    root = node(entry(B1, t=Cid.of(high)), left=Cid.of(low))
    return mst.load({Cid.of(b).raw: b for b in (root, low)}, Cid.of(root)), high


def test_a_walk_of_a_partial_tree_does_not_end() -> None:
    low, high = node(entry(A0)), node(entry(C0))
    root = node(entry(B1, t=Cid.of(high)), left=Cid.of(low))
    for missing in (root, low, high):
        there = {Cid.of(b).raw: b for b in (root, low, high) if b != missing}
        with pytest.raises(mst.InvalidMst) as caught:
            list(mst.walk(there, Cid.of(root)))
        assert caught.value.reason is DropReason.MISSING_BLOCK


def test_what_is_not_at_hand_is_neither_there_nor_absent() -> None:
    tree, _ = partial()
    assert (mst.find(tree, A0), mst.find(tree, B1), mst.find(tree, "a/absent")) == (
        LEAF,
        LEAF,
        None,
    )
    edits: tuple[Callable[[], object], ...] = (
        lambda: mst.find(tree, C0),
        lambda: mst_edit.insert(tree, C0, LEAF),
        lambda: mst_edit.replace(tree, C0, LEAF),
        lambda: mst_edit.delete(tree, C0),
        lambda: mst_edit.delete(tree, B1),
        lambda: mst_edit.insert(tree, of_layer(2, "c"), LEAF),
        lambda: list(mst.items(tree)),
    )
    for edit in edits:
        with pytest.raises(mst.InvalidMst) as caught:
            edit()
        assert caught.value.reason is DropReason.MISSING_BLOCK


def test_an_edit_beside_what_is_missing_gives_the_whole_trees_root() -> None:
    tree, high = partial()
    without = mst_edit.delete(tree, A0)
    assert mst.root_cid(without) == model({B1: LEAF, C0: LEAF}, {})
    assert Cid.of(high) == model({C0: LEAF}, {})


def test_an_edit_takes_nothing_for_granted() -> None:
    tree = build_tree({A0: LEAF, B1: LEAF})
    edits: tuple[Callable[[], object], ...] = (
        lambda: mst_edit.insert(tree, A0, OTHER),
        lambda: mst_edit.insert(tree, B1, OTHER),
        lambda: mst_edit.delete(tree, C0),
        lambda: mst_edit.delete(None, C0),
        lambda: mst_edit.replace(tree, C0, OTHER),
        lambda: mst_edit.replace(None, C0, OTHER),
    )
    for edit in edits:
        with pytest.raises(mst.InvalidMst) as caught:
            edit()
        assert caught.value.reason is DropReason.INVALID_OP


def test_the_empty_tree_is_one_empty_node() -> None:
    assert str(mst.EMPTY_ROOT) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
    assert dict(mst.serialise(None)) == {mst.EMPTY_ROOT.raw: node()}
    assert list(mst.walk({mst.EMPTY_ROOT.raw: node()}, mst.EMPTY_ROOT)) == []
    assert mst_edit.delete(build_tree({B2: LEAF}), B2) is None


def test_a_node_has_a_bounded_number_of_entries() -> None:
    """58 bytes for each would be a thousand in memory."""
    prefix = "a/" + "x" * 1_000
    found = (f"{prefix}{number:06d}" for number in itertools.count())
    keys = [key for key in itertools.islice(found, 4_000) if mst.key_height(key.encode()) == 0]
    fine = [key.encode() for key in keys[: mst.MAX_ENTRIES]]
    block = mst.encode_node(fine, [LEAF.raw] * len(fine), [None] * (len(fine) + 1))
    assert len(mst.parse_node(block)[0]) == mst.MAX_ENTRIES
    more = [key.encode() for key in keys[: mst.MAX_ENTRIES + 1]]
    block = mst.encode_node(more, [LEAF.raw] * len(more), [None] * (len(more) + 1))
    with pytest.raises(mst.InvalidMst, match="1001 entries"):
        mst.parse_node(block)
