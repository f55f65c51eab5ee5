"""Paths through the network's lenses: a graph in memory and the search over it. Pure.

Rule: a lens is two-way but not symmetric. Its getter turns any sample of its source into one of its
target; its putter puts a changed target back into a source that must be there already. So a path
that reads uses getters only, and a step by a putter says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

MAX_HOPS = 6
# What one question may cost; what was found till then is the answer.
MAX_VISITS = 5_000  # steps tried one by one
MAX_SCHEMAS = 200_000  # schemas passed as whole sets

Schema: TypeAlias = int  # key of a schema's URI
Lens: TypeAlias = int  # key of a lens's URI


@dataclass(frozen=True, slots=True)
class Edge:
    """A lens. ``gets`` and ``puts`` say which of its two functions are there."""

    lens: Lens
    source: Schema
    target: Schema
    verified: bool = False
    gets: bool = True
    puts: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One lens of a path; ``puts`` where it is passed from target to source, by its putter."""

    unverified: bool
    puts: bool
    lens: Lens
    to: Schema


Path: TypeAlias = tuple[Step, ...]
_Steps: TypeAlias = dict[Schema, dict[Schema, tuple[Step, ...]]]


@dataclass(slots=True)
class _Way:
    """Steps of one sort, by where they begin and then where they end; and the same reversed."""

    forth: _Steps = field(default_factory=dict)
    back: dict[Schema, dict[Schema, None]] = field(default_factory=dict)

    def add(self, start: Schema, step: Step) -> None:
        there = self.forth.setdefault(start, {})
        there[step.to] = tuple(sorted((*there.get(step.to, ()), step)))
        self.back.setdefault(step.to, {})[start] = None

    def remove(self, start: Schema, end: Schema, lens: Lens) -> None:
        left = tuple(step for step in self.forth[start][end] if step.lens != lens)
        if left:
            self.forth[start][end] = left
            return
        for steps, one, other in ((self.forth, start, end), (self.back, end, start)):
            del steps[one][other]
            if not steps[one]:
                del steps[one]


class LensGraph:
    """All lenses that may be shown. Not for several threads at once."""

    def __init__(self) -> None:
        self._edges: dict[Lens, Edge] = {}
        # What a question may use: getters or all steps, of all lenses or of verified ones.
        self._ways = {(puts, verified): _Way() for puts in (0, 1) for verified in (0, 1)}

    def __len__(self) -> int:
        return len(self._edges)

    def put(self, edge: Edge) -> None:
        """Add a lens, in place of what was known of it. One from a schema to itself leads
        nowhere and is left out."""
        self.remove(edge.lens)
        if edge.source == edge.target:
            return
        self._edges[edge.lens] = edge
        for way, start, step in self._steps(edge):
            way.add(start, step)

    def remove(self, lens: Lens) -> None:
        """Forget a lens, if it is known."""
        edge = self._edges.pop(lens, None)
        if edge is None:
            return
        for way, start, step in self._steps(edge):
            way.remove(start, step.to, lens)

    def _steps(self, edge: Edge) -> Iterator[tuple[_Way, Schema, Step]]:
        for verified in (0, 1) if edge.verified else (0,):
            if edge.gets:
                step = Step(not edge.verified, False, edge.lens, edge.target)
                yield self._ways[0, verified], edge.source, step
                yield self._ways[1, verified], edge.source, step
            if edge.puts:
                step = Step(not edge.verified, True, edge.lens, edge.source)
                yield self._ways[1, verified], edge.target, step

    def paths(
        self,
        sources: Iterable[Schema],
        targets: Iterable[Schema],
        *,
        limit: int,
        hops: int = MAX_HOPS,
        puts: bool = False,
        verified: bool = False,
    ) -> tuple[tuple[Schema, Path], ...]:
        """Up to ``limit`` paths, each with the schema at which it begins: fewest lenses first, then
        in the order of their steps, where verified lenses come before others, getters before
        putters, and then keys decide.

        None passes a schema twice or goes on beyond a target, and none has more than ``hops``
        lenses. A source that is a target is a path of no lenses. Work is bounded: see
        ``MAX_VISITS`` and ``MAX_SCHEMAS``.
        """
        search = _Search(self._ways[int(puts), int(verified)], set(sources), set(targets))
        found: list[tuple[Schema, Path]] = []
        for length in range(hops + 1):
            if not search.reaches(length):
                break
            found += islice(search.of_length(length), limit - len(found))
            if len(found) >= limit:
                break
        return tuple(found)

    def readers(
        self, targets: Iterable[Schema], *, limit: int, hops: int = MAX_HOPS, verified: bool = False
    ) -> dict[Schema, int]:
        """Up to ``limit`` schemas whose samples can be read as one of ``targets``, nearest first,
        with the number of lenses that it takes; the targets themselves with 0."""
        return _reach(self._ways[0, int(verified)].back, targets, limit, hops)

    def readable(
        self, sources: Iterable[Schema], *, limit: int, hops: int = MAX_HOPS, verified: bool = False
    ) -> dict[Schema, int]:
        """Up to ``limit`` schemas as which samples of ``sources`` can be read, like ``readers``."""
        return _reach(self._ways[0, int(verified)].forth, sources, limit, hops)

    def around(
        self, middle: Schema, *, schemas: int, lenses: int, hops: int
    ) -> tuple[dict[Schema, int], tuple[Edge, ...]]:
        """The neighbourhood of a schema: up to ``schemas`` schemas that lenses join with it in
        either direction, nearest first, with their distance; and up to ``lenses`` lenses between
        these, verified ones first, then those nearest to the middle."""
        way = self._ways[1, 0]  # every lens is a step one way or the other
        near, level = {middle: 0}, {middle}
        for distance in range(1, hops + 1):
            level = (_beyond(way.forth, level) | _beyond(way.back, level)).difference(near)
            near |= dict.fromkeys(sorted(level)[: schemas - len(near)], distance)
        found = {
            step.lens
            for start in near
            for end in way.forth.get(start, {}).keys() & near
            for step in way.forth[start][end]
        }
        edges = sorted((self._edges[lens] for lens in found), key=lambda e: _order(e, near))
        return near, tuple(edges[:lenses])


def _order(edge: Edge, near: Mapping[Schema, int]) -> tuple[bool, int, Lens]:
    return not edge.verified, near[edge.source] + near[edge.target], edge.lens


def _reach(
    steps: Mapping[Schema, Iterable[Schema]], start: Iterable[Schema], limit: int, hops: int
) -> dict[Schema, int]:
    level = set(start)
    seen: dict[Schema, int] = {}
    for distance in range(hops + 1):
        for schema in sorted(level)[: limit - len(seen)]:
            seen[schema] = distance
        if len(seen) >= limit:
            break
        level = _beyond(steps, level).difference(seen)
    return seen


def _beyond(steps: Mapping[Schema, Iterable[Schema]], level: Iterable[Schema]) -> set[Schema]:
    """Everything one step beyond ``level``. Sets are joined in C: that is what keeps this fast."""
    return set().union(*[steps[schema] for schema in level if schema in steps])


class _Search:
    """One question. Paths of one length are walks through layers: the schemas that lie so many
    steps behind a source and so many before a target. Layers grow from both ends, on the side
    where there is less, and are joined as whole sets; only what is left is walked step by step."""

    def __init__(self, way: _Way, sources: set[Schema], targets: set[Schema]) -> None:
        self._way, self._sources, self._targets = way, sources, targets
        self._ends = sources | targets  # no path goes through one of these
        self._behind: list[set[Schema]] = [sources - targets]  # i steps behind a source
        self._before: list[set[Schema]] = [targets]  # i steps before a target
        self._visits, self._schemas = 0, 0

    def reaches(self, length: int) -> bool:
        """Whether there may be paths of ``length`` or more."""
        while length > 1 and not self._overlaps(length) and self._may_go_on():
            forward = len(self._behind) == 1 or (
                len(self._before) > 1 and len(self._behind[-1]) <= len(self._before[-1])
            )
            levels, steps = (
                (self._behind, self._way.forth) if forward else (self._before, self._way.back)
            )
            level = _beyond(steps, levels[-1]).difference(self._ends)
            self._schemas += len(level)
            levels.append(level)
        return length <= 1 or (self._may_go_on() and self._overlaps(length))

    def _overlaps(self, length: int) -> bool:
        behind, before = len(self._behind) - 1, len(self._before) - 1
        return min(behind, before) > 0 and behind + before >= length

    def _may_go_on(self) -> bool:
        return bool(
            self._behind[-1]
            and self._before[-1]
            and self._visits < MAX_VISITS
            and self._schemas < MAX_SCHEMAS
        )

    def of_length(self, length: int) -> Iterator[tuple[Schema, Path]]:
        """All paths of ``length``, in order."""
        if length == 0:
            yield from ((schema, ()) for schema in sorted(self._sources & self._targets))
            return
        layers = self._layers(length)
        for start in sorted(self._behind[0]):
            for path in self._walk(start, layers, (), frozenset([start])):
                yield start, path

    def _layers(self, length: int) -> list[set[Schema]]:
        """The schemas that a walk of ``length`` may have reached after 1, 2 … steps."""
        if length == 1:
            return [self._targets]
        meeting = max(1, length - len(self._before) + 1)
        layers = [self._before[length - at] for at in range(meeting, length + 1)]
        layers[0] = layers[0] & self._behind[meeting]
        for at in range(meeting - 1, 0, -1):
            layers.insert(0, _beyond(self._way.back, layers[0]) & self._behind[at])
        return layers

    def _walk(
        self, at: Schema, layers: list[set[Schema]], path: Path, passed: frozenset[Schema]
    ) -> Iterator[Path]:
        there = self._way.forth.get(at, {})
        layer = layers[len(path)]
        steps = [step for to in there.keys() & layer if to not in passed for step in there[to]]
        for step in sorted(steps):
            self._visits += 1
            if self._visits > MAX_VISITS:
                return
            if len(path) + 1 == len(layers):
                yield (*path, step)
            else:
                yield from self._walk(step.to, layers, (*path, step), passed | {step.to})
