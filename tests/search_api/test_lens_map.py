"""The map of lenses: places without overlap, arrows the right way, a list of the same; bounds."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.lens_paths import Edge, LensGraph
from search_api.lens_reach import MAX_LENSES, MAX_SCHEMAS, LensMap, MapSchema
from search_api.web.lens_map import BOX_HEIGHT, BOX_WIDTH, fitted, picture
from search_api.web.lens_map_layout import places
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import opened

graphs = st.integers(1, 30).flatmap(
    lambda size: st.tuples(
        st.just(list(range(size))),
        st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=80),
    )
)


@given(graphs)
def test_every_schema_has_a_place_of_its_own(
    graph: tuple[list[int], list[tuple[int, int]]],
) -> None:
    nodes, edges = graph
    at = places(nodes, edges)
    assert set(at) == set(nodes)
    assert min(place.column for place in at.values()) == 0
    for one, other in combinations(at.values(), 2):
        assert one.column != other.column or abs(one.row - other.row) >= 1


@given(graphs)
def test_boxes_do_not_overlap_and_lie_in_the_picture(
    graph: tuple[list[int], list[tuple[int, int]]],
) -> None:
    nodes, _ = graph
    schemas = tuple(MapSchema(node, f"at://x/{node}", 0, f"S{node}", "1.0.0") for node in nodes)
    made = picture(LensMap(schemas, (), cut=False))
    for box in made.boxes:
        assert 0 <= box.x <= made.width - BOX_WIDTH
        assert 0 <= box.y <= made.height - BOX_HEIGHT
    for one, other in combinations(made.boxes, 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT


def test_what_can_be_read_stands_right_of_what_it_is_read_from() -> None:
    at = places([0, 1, 2, 3, 4], [(0, 1), (1, 2), (3, 0), (4, 3)])
    assert [at[node].column for node in (4, 3, 0, 1, 2)] == [0, 1, 2, 3, 4]


def test_a_way_there_and_back_is_drawn_to_the_right() -> None:
    at = places([0, 1], [(1, 0), (0, 1)])
    assert at[1].column > at[0].column


def test_neighbours_stand_beside_each_other_where_that_is_possible() -> None:
    """Two rows that would cross are untangled."""
    at = places([0, 1, 2, 4, 3], [(0, 1), (0, 2), (1, 3), (2, 4)])
    assert (at[1].row < at[2].row) == (at[3].row < at[4].row)


def test_the_same_graph_gives_the_same_picture() -> None:
    edges = [(a, b) for a in range(12) for b in range(12) if (a * 7 + b) % 5 == 0]
    assert places(range(12), edges) == places(range(12), list(reversed(edges)))


@given(st.text(max_size=60), st.integers(2, 30))
def test_a_name_is_cut_to_its_room(name: str, letters: int) -> None:
    assert len(fitted(name, letters)) <= letters


def test_names_of_wide_letters_are_cut_sooner() -> None:
    assert fitted("データセットの名前", 8) == "データ…"
    assert fitted("\u202eevil", 20) == "\ufffdevil"


# --- the graph around a schema --------------------------------------------------------------------


def graph(*edges: tuple[int, int], verified: bool = False) -> LensGraph:
    made = LensGraph()
    for lens, (source, target) in enumerate(edges):
        made.put(Edge(1000 + lens, source, target, verified, puts=False))
    return made


def test_a_neighbourhood_goes_in_both_directions_as_far_as_it_is_asked() -> None:
    made = graph((1, 2), (2, 3), (4, 1), (5, 4), (9, 8))
    near, edges = made.around(1, schemas=10, lenses=10, hops=1)
    assert near == {1: 0, 2: 1, 4: 1}
    assert [(edge.source, edge.target) for edge in edges] == [(1, 2), (4, 1)]
    near, _ = made.around(1, schemas=10, lenses=10, hops=4)
    assert near == {1: 0, 2: 1, 4: 1, 3: 2, 5: 2}


def test_a_neighbourhood_has_the_nearest_and_verified_lenses_first() -> None:
    made = graph(*((1, n) for n in range(2, 50)))
    made.put(Edge(5000, 2, 3, verified=True))
    near, edges = made.around(1, schemas=10, lenses=5, hops=4)
    assert list(near.items()) == [(1, 0), *((n, 1) for n in range(2, 11))]
    assert [edge.lens for edge in edges] == [5000, 1000, 1001, 1002, 1003]


def test_a_schema_without_lenses_is_alone() -> None:
    assert graph((1, 2)).around(7, schemas=10, lenses=5, hops=4) == ({7: 0}, ())


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture
def chain(index: IndexBuilder) -> dict[str, str]:
    """Left → Middle → Right, and Middle → Far by way of a verified lens."""
    did = index.account("alice")
    uris = {name: index.schema(did, name) for name in ("Left", "Middle", "Right", "Far")}
    index.lens(did, "to-middle", uris["Left"], uris["Middle"])
    index.lens(did, "to-right", uris["Middle"], uris["Right"])
    index.lens(did, "to-right-too", uris["Middle"], uris["Right"])
    far = index.lens(did, "to-far", uris["Right"], uris["Far"])
    index.lens_verification(index.account("bob"), far)
    return {**uris, "far": far, "did": did}


def test_the_map_has_a_link_for_each_schema_and_lens(
    chain: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/lens-map", uri=chain["Middle"])
    assert "Lenses around Middle" in page.text
    nodes = re.findall(r'<a href="(/lens-map[^"]*)" class="node([^"]*)"', html)
    assert sorted(kind for _, kind in nodes) == ["", "", "", " middle"]
    edges = re.findall(r'<a href="([^"]*)" class="edge([^"]*)" aria-label="([^"]*)"', html)
    assert len(edges) == 3
    (verified,) = (title for _, kind, title in edges if kind == " verified")
    assert verified == "to-far: Right 1.0.0 → Far 1.0.0 (verified)"
    (both,) = (url for url, _, title in edges if "too" in title)
    assert both.startswith("/lenses?source=")
    for name in ("to-middle", "to-right", "to-right-too", "to-far"):
        assert f"<bdi>{name}</bdi>" in html, "in the list, too"
    assert " style=" not in html


def test_how_far_the_map_goes_is_in_its_url(chain: dict[str, str], service: Service) -> None:
    page, _ = opened(service, "/lens-map", uri=chain["Middle"], hops="1")
    assert "Far" not in page.text
    assert any(f"hops={hops}" in link for link in page.links() for hops in (2, 3, 4))
    for wrong in ("0", "5", "x", "-1"):
        opened(service, "/lens-map", 400, uri=chain["Middle"], hops=wrong)


def test_a_lens_of_a_hidden_account_is_not_on_the_map(
    chain: dict[str, str], index: IndexBuilder, service: Service
) -> None:
    index.set_active(chain["did"], False)
    page, _ = opened(service, "/lens-map", uri=chain["Middle"])
    assert "No lens begins or ends at it" in page.text
    assert "Left" not in page.text


def test_a_schema_that_is_not_indexed_stands_there_by_its_key(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    here, other = index.schema(did, "Here"), f"at://{did}/ac.foundation.dataset.sampleSchema/gone:1"
    index.lens(did, "away", here, other)
    page, html = opened(service, "/lens-map", uri=here)
    assert "gone:1" in page.text
    assert 'class="node unknown"' in html
    page, _ = opened(service, "/lens-map", uri=other)
    assert "Lenses around gone:1" in page.text


def test_without_a_schema_the_map_begins_somewhere(chain: dict[str, str], service: Service) -> None:
    page, _ = opened(service, "/lens-map")
    assert "Lenses around" in page.text


def test_a_map_of_nothing(service: Service) -> None:
    page, _ = opened(service, "/lens-map")
    assert "There are no lenses yet" in page.text


def test_a_crowd_is_cut_and_it_is_said(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    hub = index.schema(did, "Hub")
    for number in range(MAX_SCHEMAS + 5):
        index.lens(did, f"l{number}", hub, index.schema(did, f"Spoke{number}"))
    page, html = opened(service, "/lens-map", uri=hub)
    assert html.count('class="node') == MAX_SCHEMAS
    assert html.count('class="edge') == MAX_SCHEMAS - 1 < MAX_LENSES
    assert "There is more than fits" in page.text
