"""Where the schemas of a lens map stand: columns by direction, rows by neighbours. Pure.

Rule: the same graph gives the same picture. Every schema has a place of its own on a grid, so that
no two overlap, however many there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

SWEEPS = 6

Node: TypeAlias = int
Pair: TypeAlias = tuple[Node, Node]


@dataclass(frozen=True, slots=True)
class Place:
    """``column`` counts from the leftmost, 0; ``row`` from the topmost of the longest column, in
    halves where a column is shorter."""

    column: int
    row: float


def places(nodes: Sequence[Node], edges: Iterable[Pair]) -> dict[Node, Place]:
    """A place for each of ``nodes``, of which the first is the middle. An edge leads to the right
    wherever it can: what can be read from the middle stands right of it, what it can be read from
    left of it."""
    if not nodes:
        return {}
    pairs = sorted({(s, t) for s, t in edges if s != t and {s, t} <= set(nodes)})
    columns: defaultdict[int, list[Node]] = defaultdict(list)
    for node, column in _columns(nodes, pairs).items():
        columns[column].append(node)
    first, longest = min(columns), max(map(len, columns.values()))
    _untangle(columns, pairs)
    return {
        node: Place(column - first, row + (longest - len(column_nodes)) / 2)
        for column, column_nodes in columns.items()
        for row, node in enumerate(column_nodes)
    }


def _columns(nodes: Sequence[Node], pairs: Sequence[Pair]) -> dict[Node, int]:
    """One step to the right along an edge, one to the left against it; the nearest way decides."""
    beside: defaultdict[Node, dict[Node, int]] = defaultdict(dict)
    for source, target in pairs:
        beside[target].setdefault(source, -1)
        beside[source][target] = 1  # where there is a way back, too, it is drawn to the right
    found = {nodes[0]: 0}
    level = [nodes[0]]
    while level:
        following = []
        for node in level:
            for other, step in sorted(beside[node].items(), key=lambda one: (-one[1], one[0])):
                if other not in found:
                    found[other] = found[node] + step
                    following.append(other)
        level = following
    return found | {node: 0 for node in nodes if node not in found}


def _untangle(columns: dict[int, list[Node]], pairs: Sequence[Pair]) -> None:
    """Order each column by the mean height of its neighbours, to and fro a few times."""
    near: defaultdict[Node, list[Node]] = defaultdict(list)
    for source, target in pairs:
        near[source].append(target)
        near[target].append(source)
    height: dict[Node, float] = {}
    for column in columns.values():
        _stack(column, height)
    in_order = sorted(columns)
    for sweep in range(SWEEPS):
        for at in in_order if sweep % 2 == 0 else reversed(in_order):
            wanted = {
                node: sum(height[other] for other in near[node]) / len(near[node])
                if near[node]
                else height[node]
                for node in columns[at]
            }
            columns[at].sort(key=lambda node: (wanted[node], height[node]))
            _stack(columns[at], height)


def _stack(column: Sequence[Node], height: dict[Node, float]) -> None:
    """Heights from the column's middle."""
    for row, node in enumerate(column):
        height[node] = row - (len(column) - 1) / 2
