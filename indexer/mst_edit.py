"""Changing a Merkle search tree: one key more, one less, another value.

The rule protected here: the result depends on keys and values alone, never on the order of edits,
so that undoing a commit's ops gives the root that was there before. Trees are values: an edit makes
new nodes and leaves the old tree as it is. Depth, and so recursion, is bounded by the layers of a
SHA-256: 128.
"""

from __future__ import annotations

from atdata.protocol.cid import Cid
from atdata.protocol.errors import quote
from indexer.drops import DropReason
from indexer.mst import InvalidMst, Node, Tree, key_height, loaded, position, present


def insert(tree: Tree, path: str, value: Cid) -> Tree:
    """The tree with one more key. Raises ``InvalidMst`` if it is there, or a node is missing."""
    key, node = path.encode(), present(tree)
    height = key_height(key)
    if node is None or height > node.layer:
        left, right = _split(node, key)
        below = (_raise(left, height - 1), _raise(right, height - 1))
        return Node(height, (key,), (value.raw,), below)
    return _insert(node, key, value.raw, height)


def replace(tree: Tree, path: str, value: Cid) -> Tree:
    """The tree with another value at ``path``. Raises ``InvalidMst`` if there is none."""
    return _replace(present(tree), path.encode(), value.raw)


def delete(tree: Tree, path: str) -> Tree:
    """The tree without ``path``. Raises ``InvalidMst`` if it is not there, or a node is missing."""
    tree = _delete(present(tree), path.encode())
    # The top layers that held only this key are gone. A subtree that is not in memory is taken as
    # it is: a wrong guess can only give a root that is not the one expected.
    while isinstance(tree, Node) and not tree.keys:
        tree = tree.links[0]
    return tree


def _insert(node: Node, key: bytes, value: bytes, height: int) -> Node:
    i, found = position(node, key)
    if found:
        raise InvalidMst(DropReason.INVALID_OP, f"key {quote(key)} is there already")
    link = present(node.links[i])
    if node.layer == height:
        keys = (*node.keys[:i], key, *node.keys[i:])
        values = (*node.values[:i], value, *node.values[i:])
        links = (*node.links[:i], *_split(link, key), *node.links[i + 1 :])
        return Node(node.layer, keys, values, links)
    if link is None:
        leaf = Node(height, (key,), (value,), (None, None))
        return _with_link(node, i, _raise(leaf, node.layer - 1))
    return _with_link(node, i, _insert(link, key, value, height))


def _replace(node: Node | None, key: bytes, value: bytes) -> Node:
    if node is None:
        raise _absent(key)
    i, found = position(node, key)
    if not found:
        return _with_link(node, i, _replace(present(node.links[i]), key, value))
    values = (*node.values[:i], value, *node.values[i + 1 :])
    return Node(node.layer, node.keys, values, node.links)


def _delete(node: Node | None, key: bytes) -> Tree:
    if node is None:
        raise _absent(key)
    i, found = position(node, key)
    if not found:
        below = _delete(present(node.links[i]), key)
        return _node(node.layer, node.keys, node.values, _with_link(node, i, below).links)
    keys = (*node.keys[:i], *node.keys[i + 1 :])
    values = (*node.values[:i], *node.values[i + 1 :])
    merged = _merge(node.links[i], node.links[i + 1])
    return _node(node.layer, keys, values, (*node.links[:i], merged, *node.links[i + 2 :]))


def _split(node: Node | None, key: bytes) -> tuple[Node | None, Node | None]:
    """What is below and what is above ``key``, which is not in ``node``."""
    if node is None:
        return None, None
    i, _ = position(node, key)
    left, right = _split(present(node.links[i]), key)
    return (
        _node(node.layer, node.keys[:i], node.values[:i], (*node.links[:i], left)),
        _node(node.layer, node.keys[i:], node.values[i:], (right, *node.links[i + 1 :])),
    )


def _merge(left: Tree, right: Tree) -> Tree:
    """One subtree of two neighbours of the same layer. Next to nothing, neither need be there."""
    if left is None or right is None:
        return right if left is None else left
    low, high = loaded(left), loaded(right)
    links = (*low.links[:-1], _merge(low.links[-1], high.links[0]), *high.links[1:])
    return Node(low.layer, low.keys + high.keys, low.values + high.values, links)


def _raise(node: Node | None, layer: int) -> Node | None:
    while node is not None and node.layer < layer:
        node = Node(node.layer + 1, (), (), (node,))
    return node


def _node(
    layer: int, keys: tuple[bytes, ...], values: tuple[bytes, ...], links: tuple[Tree, ...]
) -> Node | None:
    return Node(layer, keys, values, links) if keys or links[0] is not None else None


def _with_link(node: Node, i: int, link: Tree) -> Node:
    links = (*node.links[:i], link, *node.links[i + 1 :])
    return Node(node.layer, node.keys, node.values, links)


def _absent(key: bytes) -> InvalidMst:
    return InvalidMst(DropReason.INVALID_OP, f"key {quote(key)} is not there")
