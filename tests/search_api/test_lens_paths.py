"""Paths through lenses: direction, order, bounds, and the same answer as trying everything."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from search_api.lens_paths import MAX_VISITS, Edge, LensGraph, Path

A, B, C, D, E = range(1, 6)


def graph_of(*edges: Edge) -> LensGraph:
    graph = LensGraph()
    for edge in edges:
        graph.put(edge)
    return graph


def lenses(found: tuple[tuple[int, Path], ...]) -> list[list[int]]:
    return [[step.lens for step in path] for _, path in found]


def test_a_getter_leads_from_source_to_target_and_not_back() -> None:
    graph = graph_of(Edge(10, A, B), Edge(11, B, C))
    assert lenses(graph.paths([A], [C], limit=5)) == [[10, 11]]
    assert graph.paths([C], [A], limit=5) == ()


def test_a_putter_leads_back_and_is_marked() -> None:
    graph = graph_of(Edge(10, A, B), Edge(11, B, C), Edge(12, C, D, puts=False))
    ((start, path),) = graph.paths([C], [A], limit=5, puts=True)
    assert start == C
    assert [(step.lens, step.to, step.puts) for step in path] == [(11, B, True), (10, A, True)]
    assert graph.paths([D], [C], limit=5, puts=True) == ()


def test_a_lens_without_a_getter_cannot_be_read_through() -> None:
    graph = graph_of(Edge(10, A, B, gets=False))
    assert graph.paths([A], [B], limit=5) == ()
    assert lenses(graph.paths([B], [A], limit=5, puts=True)) == [[10]]


def test_short_paths_come_first_and_verified_lenses_before_others() -> None:
    graph = graph_of(
        Edge(10, A, B), Edge(11, A, B, verified=True), Edge(12, A, C), Edge(13, C, B), Edge(9, A, B)
    )
    assert lenses(graph.paths([A], [B], limit=9)) == [[11], [9], [10], [12, 13]]
    assert lenses(graph.paths([A], [B], limit=2)) == [[11], [9]]
    assert lenses(graph.paths([A], [B], limit=9, verified=True)) == [[11]]


def test_a_lens_that_changes_or_goes_takes_its_paths_along() -> None:
    graph = graph_of(Edge(10, A, B), Edge(11, B, C))
    graph.put(Edge(11, B, D))
    assert graph.paths([A], [C], limit=5) == ()
    assert lenses(graph.paths([A], [D], limit=5)) == [[10, 11]]
    graph.remove(10)
    graph.remove(10)
    assert graph.paths([A], [D], limit=5) == ()
    assert len(graph) == 1


def test_a_path_has_at_most_six_lenses() -> None:
    graph = graph_of(*(Edge(100 + i, i, i + 1) for i in range(10)))
    assert lenses(graph.paths([0], [6], limit=5)) == [[100, 101, 102, 103, 104, 105]]
    assert graph.paths([0], [7], limit=5) == ()
    assert graph.paths([0], [3], limit=5, hops=2) == ()


def test_what_is_there_already_needs_no_lens() -> None:
    graph = graph_of(Edge(10, A, B))
    assert graph.paths([A], [A], limit=5) == ((A, ()),)
    assert graph.paths([A], [A, B], limit=5) == ((A, ()),)


def test_what_becomes_readable_with_its_distance() -> None:
    graph = graph_of(Edge(10, A, B), Edge(11, B, C), Edge(12, D, C), Edge(13, C, E))
    assert graph.readers([C], limit=9) == {C: 0, B: 1, D: 1, A: 2}
    assert graph.readers([C], limit=2) == {C: 0, B: 1}
    assert graph.readers([C], limit=9, hops=1) == {C: 0, B: 1, D: 1}
    assert graph.readable([A], limit=9) == {A: 0, B: 1, C: 2, E: 3}


def test_a_maze_costs_no_more_than_its_bound() -> None:
    """All schemas lead to all others, and the way to the target is one step too long."""
    nodes = range(60)
    edges = [
        Edge(a * 100 + b, a, b) for a in nodes for b in nodes if a != b and (b > 50 or a <= 50)
    ]
    graph = graph_of(*edges, Edge(99_999, 0, 1_000), Edge(99_998, 2_000, 3_000))
    assert len(graph.paths([0], [59], limit=100)) == 100
    assert graph.paths([0], [3_000], limit=100) == ()
    assert len(graph.paths([0], [1], limit=1_000_000)) < MAX_VISITS


# --- against trying everything --------------------------------------------------------------------

schemas = st.integers(0, 7)
edges = st.builds(
    Edge,
    st.integers(100, 130),
    schemas,
    schemas,
    verified=st.booleans(),
    gets=st.booleans(),
    puts=st.booleans(),
)


def every_path(
    edges: list[Edge], sources: set[int], targets: set[int], puts: bool, verified: bool
) -> list[tuple[int, int, tuple[tuple[bool, bool, int, int], ...]]]:
    """Length, start and steps of all paths, in order, by trying them all."""

    def steps(at: int) -> Iterator[tuple[bool, bool, int, int]]:
        for edge in edges:
            if edge.verified or not verified:
                if edge.gets and edge.source == at:
                    yield not edge.verified, False, edge.lens, edge.target
                if edge.puts and puts and edge.target == at:
                    yield not edge.verified, True, edge.lens, edge.source

    def walks(at: int, passed: list[int]) -> Iterator[tuple[tuple[bool, bool, int, int], ...]]:
        if at in targets:
            yield ()
        elif len(passed) <= 6:
            for step in steps(at):
                if step[3] not in passed and (step[3] not in sources or step[3] in targets):
                    for rest in walks(step[3], [*passed, step[3]]):
                        yield (step, *rest)

    return sorted((len(walk), start, walk) for start in sources for walk in walks(start, [start]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(edges, max_size=14),
    st.lists(st.integers(100, 130), max_size=4),
    st.sets(schemas, min_size=1, max_size=2),
    st.sets(schemas, min_size=1, max_size=2),
    st.booleans(),
    st.booleans(),
    st.integers(1, 40),
)
def test_the_same_paths_as_by_trying_everything(
    added: list[Edge],
    removed: list[int],
    sources: set[int],
    targets: set[int],
    puts: bool,
    verified: bool,
    limit: int,
) -> None:
    graph, left = LensGraph(), dict[int, Edge]()
    for edge in added:
        graph.put(edge)
        left[edge.lens] = edge
    for lens in removed:
        graph.remove(lens)
        left.pop(lens, None)
    usable = [edge for edge in left.values() if edge.source != edge.target]
    expected = every_path(usable, sources, targets, puts, verified)[:limit]
    found = graph.paths(sources, targets, limit=limit, puts=puts, verified=verified)
    assert [
        (len(path), start, tuple((s.unverified, s.puts, s.lens, s.to) for s in path))
        for start, path in found
    ] == expected
