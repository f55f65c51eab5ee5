"""The repository's Merkle search tree, read strictly from blocks and written back to them.

The rule protected here: a tree is a function of its keys and values alone. A node that is not
exactly what that function gives (order, prefixes, layers, encoding) is refused, each node is read
at most once, and what is not in the given blocks is an error where it is needed, never a guess.
Source: https://atproto.com/specs/repository#mst-structure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import libipld

from atdata.protocol.cid import Cid
from atdata.protocol.errors import quote
from indexer.drops import DropReason, Refused

MAX_KEY = 1024  # bytes
# Of one node. Each next key is in the same node with a chance of three in four, so that nobody has
# so many by chance; keys that share what they begin with take far more memory than the node.
MAX_ENTRIES = 1_000

_KEY = re.compile(rb"[a-zA-Z0-9_~\-:.]+/[a-zA-Z0-9_~\-:.]+")
_NODE_PREFIX = bytes((0x01, 0x71, 0x12, 0x20))
_LINK_HEAD = bytes((0xD8, 0x2A, 0x58, 0x25, 0x00))
_NULL = b"\xf6"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node: ``links[i]`` is the subtree before ``keys[i]``, the last one that after all keys.

    ``values`` are raw CIDs of records. ``cid`` is the raw CID that the node was read under, None
    for one that was changed. A node without keys only spans a layer on the way to its subtree.
    """

    layer: int
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    links: tuple[Tree, ...]
    cid: bytes | None = None


# A subtree: in memory, or only known by its raw CID, or empty.
Tree = Node | bytes | None


_Keys = tuple[bytes, ...]
_Values = tuple[bytes, ...]
_Links = tuple[bytes | None, ...]


class InvalidMst(Refused):
    """The tree breaks a rule (``INVALID_MST``), lacks a node (``MISSING_BLOCK``), or does not hold
    what an edit takes for granted (``INVALID_OP``)."""


def key_height(key: bytes) -> int:
    """The layer of ``key``: leading zero bits of its SHA-256, counted in pairs."""
    return (256 - int.from_bytes(sha256(key).digest()).bit_length()) // 2


def common_prefix(left: bytes, right: bytes) -> int:
    """How many bytes ``left`` and ``right`` share at the start."""
    shorter = min(len(left), len(right))
    difference = int.from_bytes(left[:shorter]) ^ int.from_bytes(right[:shorter])
    return shorter - (difference.bit_length() + 7) // 8


# --- reading ------------------------------------------------------------------------------------


def load(blocks: Mapping[bytes, bytes], root: Cid, *, whole: bool = False) -> Tree:
    """The tree under ``root``, as far as ``blocks`` (raw CID → bytes) hold it; all nodes checked.

    With ``whole``, a missing node is an error. Raises ``InvalidMst``. Time and memory are bounded
    by the size of ``blocks``: no node is read twice.
    """
    return _Loader(blocks, whole).load(root.raw, None, b"", None)


def walk(blocks: Mapping[bytes, bytes], root: Cid) -> Iterator[tuple[str, Cid]]:
    """Every path and record CID of the whole tree, in order. Raises ``InvalidMst`` where a node is
    missing or wrong: what is yielded is the tree only once it ends. No more of it is in memory than
    the nodes from the root to where it is."""
    return _Loader(blocks, whole=True).items(root.raw, None, b"", None)


def items(tree: Tree) -> Iterator[tuple[str, Cid]]:
    """Every path and record CID under ``tree``, in order. Raises ``InvalidMst`` at a gap."""
    node = present(tree)
    if node is None:
        return
    for i, key in enumerate(node.keys):
        yield from items(node.links[i])
        yield key.decode("ascii"), Cid(node.values[i])
    yield from items(node.links[-1])


def find(tree: Tree, path: str) -> Cid | None:
    """The record CID at ``path``, or None if the tree has no such key. Raises ``InvalidMst`` where
    a node on the way is missing: absence is proved, never assumed."""
    key = path.encode()
    node = present(tree)
    while node is not None:
        i, found = position(node, key)
        if found:
            return Cid(node.values[i])
        node = present(node.links[i])
    return None


class _Loader:
    def __init__(self, blocks: Mapping[bytes, bytes], whole: bool) -> None:
        self._blocks, self._whole = blocks, whole
        self._seen: set[bytes] = set()

    def load(self, raw: bytes, layer: int | None, low: bytes, high: bytes | None) -> Tree:
        """The node ``raw``, whose keys lie between ``low`` and ``high``. ``layer`` None: a root."""
        found = self._read(raw, layer, low, high)
        if found is None:
            return raw
        layer, keys, values, links = found
        if not keys and links == (None,):
            return None
        subtrees = tuple(
            None if link is None else self.load(link, layer - 1, *bounds)
            for link, bounds in zip(links, _bounds(low, keys, high), strict=True)
        )
        return Node(layer, keys, values, subtrees, raw)

    def items(
        self, raw: bytes, layer: int | None, low: bytes, high: bytes | None
    ) -> Iterator[tuple[str, Cid]]:
        """What ``load`` would hold, in order."""
        found = self._read(raw, layer, low, high)
        if found is None:
            return
        layer, keys, values, links = found
        for i, bounds in enumerate(_bounds(low, keys, high)):
            if (link := links[i]) is not None:
                yield from self.items(link, layer - 1, *bounds)
            if i < len(keys):
                yield keys[i].decode("ascii"), Cid(values[i])

    def _read(
        self, raw: bytes, layer: int | None, low: bytes, high: bytes | None
    ) -> tuple[int, _Keys, _Values, _Links] | None:
        """The node's layer and parts, checked; of the empty tree no parts. None if it is not there
        and need not be."""
        block = self._blocks.get(raw)
        if block is None:
            if self._whole:
                raise InvalidMst(DropReason.MISSING_BLOCK, f"MST node {Cid(raw)} is not there")
            return None
        if raw in self._seen:
            raise _invalid("a node occurs twice")
        self._seen.add(raw)
        keys, values, links = parse_node(block)
        if layer is None:
            if not keys and links == (None,):
                return 0, keys, values, links
            layer = key_height(keys[0]) if keys else -1
        _check_place(keys, links, layer, low, high)
        return layer, keys, values, links


def _bounds(low: bytes, keys: _Keys, high: bytes | None) -> Iterator[tuple[bytes, bytes | None]]:
    """Between which keys each subtree of a node lies."""
    return zip((low, *keys), (*keys, high), strict=True)


def _check_place(
    keys: Sequence[bytes],
    links: Sequence[bytes | None],
    layer: int,
    low: bytes,
    high: bytes | None,
) -> None:
    if not keys and links[0] is None:
        raise _invalid("an empty node below the root")
    if layer < 0:
        raise _invalid("the root has a subtree and no keys")
    if layer == 0 and any(link is not None for link in links):
        raise _invalid("a subtree below layer 0")
    for key in keys:
        if key_height(key) != layer:
            raise _invalid(f"key {quote(key)} of layer {key_height(key)} in layer {layer}")
    if keys and (keys[0] <= low or (high is not None and keys[-1] >= high)):
        raise _invalid(f"key {quote(keys[0])} is outside of its subtree's range")


RawNode = tuple[_Keys, _Values, _Links]


def parse_node(block: bytes) -> RawNode:
    """``(keys, values, links)`` of one node, CIDs raw; ``links`` has one more than ``keys``.

    Raises ``InvalidMst`` unless ``block`` is the one canonical encoding of a node with sorted keys
    of the permitted characters.
    """
    try:
        node = libipld.decode_dag_cbor(block)
    except (RecursionError, ValueError) as error:
        raise _invalid(f"node: {quote(str(error))}") from error
    if not isinstance(node, dict) or not isinstance(entries := node.get("e"), list):
        raise _invalid("node is no map with entries")
    if len(entries) > MAX_ENTRIES:
        raise _invalid(f"a node of {len(entries)} entries, at most {MAX_ENTRIES} are allowed")
    keys: list[bytes] = []
    values: list[bytes] = []
    links: list[bytes | None] = [_link(node.get("l"))]
    last = b""
    for entry in entries:
        if not isinstance(entry, dict) or len(entry) != 4 or "t" not in entry:
            raise _invalid("entry is no map of k, p, t and v")
        last = _key(entry.get("p"), entry.get("k"), last)
        value = _link(entry.get("v"))
        if value is None:
            raise _invalid(f"key {quote(last)} has no value")
        keys.append(last)
        values.append(value)
        links.append(_link(entry.get("t")))
    # What the decoder is lenient about (bytes for links, integers that are not minimal, the order
    # of fields) shows when the node is written again; it writes whatever looks like a CID as one.
    if len(node) != 2 or "l" not in node or libipld.encode_dag_cbor(node) != block:
        raise _invalid("node is not in canonical form")
    return tuple(keys), tuple(values), tuple(links)


def _key(prefix: object, suffix: object, last: bytes) -> bytes:
    if type(prefix) is not int or not isinstance(suffix, bytes):
        raise _invalid("entry has no prefix length or no key")
    if not 0 <= prefix <= len(last):
        raise _invalid("prefix length is beyond the key before")
    key = last[:prefix] + suffix
    if len(key) > MAX_KEY or _KEY.fullmatch(key) is None:
        raise _invalid(f"key {quote(key)} is not a path of at most {MAX_KEY} characters")
    if key <= last:
        raise _invalid(f"key {quote(key)} is not above the key before")
    if suffix[:1] == last[prefix : prefix + 1]:
        raise _invalid(f"key {quote(key)} shares more with the key before than it says")
    return key


def _link(value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, bytes) or len(value) != 36 or not value.startswith(_NODE_PREFIX):
        raise _invalid("a link is not a CIDv1 of DAG-CBOR with SHA-256")
    return value


def _invalid(detail: str) -> InvalidMst:
    return InvalidMst(DropReason.INVALID_MST, detail)


# --- writing ------------------------------------------------------------------------------------


def encode_node(
    keys: Sequence[bytes], values: Sequence[bytes], links: Sequence[bytes | None]
) -> bytes:
    """The canonical block of a node; arguments as ``parse_node`` returns them."""
    out = [b"\xa2\x61e", _head(0x80, len(keys))]
    last = b""
    for key, value, link in zip(keys, values, links[1:], strict=True):
        prefix = common_prefix(last, key)
        suffix = key[prefix:]
        out += (b"\xa4\x61k", _head(0x40, len(suffix)), suffix, b"\x61p", _head(0, prefix))
        out += (b"\x61t", _NULL if link is None else _LINK_HEAD + link)
        out += (b"\x61v", _LINK_HEAD, value)
        last = key
    out += (b"\x61l", _NULL if links[0] is None else _LINK_HEAD + links[0])
    return b"".join(out)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major | number,))
    if number < 0x100:
        return bytes((major | 24, number))
    if number < 0x10000:
        return bytes((major | 25,)) + number.to_bytes(2)
    return bytes((major | 26,)) + number.to_bytes(4)


def serialise(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """``(raw CID, block)`` of every node in memory, the root last. An empty tree is one node."""
    if isinstance(tree, bytes):
        return
    if tree is None:
        yield EMPTY_ROOT.raw, _EMPTY
        return
    links: list[bytes | None] = []
    for link in tree.links:
        raw = link if isinstance(link, bytes) else None
        if isinstance(link, Node):
            for raw, block in serialise(link):
                yield raw, block
        links.append(raw)
    block = encode_node(tree.keys, tree.values, links)
    yield _NODE_PREFIX + sha256(block).digest(), block


def root_cid(tree: Tree) -> Cid:
    """The CID of the tree's root node: the ``data`` of a commit."""
    return EMPTY_ROOT if tree is None else Cid(_raw_cid(tree))


def _raw_cid(tree: Node | bytes) -> bytes:
    if isinstance(tree, bytes):
        return tree
    if tree.cid is not None:
        return tree.cid
    links = [None if link is None else _raw_cid(link) for link in tree.links]
    return _NODE_PREFIX + sha256(encode_node(tree.keys, tree.values, links)).digest()


_EMPTY = encode_node((), (), (None,))
EMPTY_ROOT = Cid.of(_EMPTY)


def position(node: Node, key: bytes) -> tuple[int, bool]:
    """Where ``key`` is or would be in ``node.keys``, and whether it is there."""
    i = bisect_left(node.keys, key)
    return i, i < len(node.keys) and node.keys[i] == key


def present(tree: Tree) -> Node | None:
    """The node ``tree``, None if it is empty. Raises ``InvalidMst`` if it is not in memory."""
    return None if tree is None else loaded(tree)


def loaded(tree: Node | bytes) -> Node:
    """The node ``tree``. Raises ``InvalidMst`` if it is not in memory."""
    if isinstance(tree, bytes):
        raise InvalidMst(DropReason.MISSING_BLOCK, f"MST node {Cid(tree)} is not there")
    return tree
