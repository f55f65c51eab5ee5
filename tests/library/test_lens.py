"""Lenses: found by their types, composed where one alone does not lead there."""

from __future__ import annotations

import sys

import pytest

import atdata
from atdata.lens import Lens, LensNetwork, lens
from atdata.protocol.errors import NotFound, TypeMismatch, UnsupportedType


@atdata.packable
class Full:
    label: str
    confidence: float


@atdata.packable
class Simple:
    label: str


@atdata.packable
class Length:
    length: int


@lens
def simplify(src: Full) -> Simple:
    """Only the label."""
    return Simple(label=src.label)


@simplify.putter
def relabel(view: Simple, source: Full) -> Full:
    return Full(view.label, source.confidence)


@atdata.lens
def measure(src: Simple) -> Length:
    return Length(len(src.label))


def test_the_decorator_and_its_module_share_a_name() -> None:
    assert atdata.lens is lens
    assert sys.modules["atdata.lens"].lens is lens


def test_getting_calling_and_putting() -> None:
    full = Full("cat", 0.5)
    assert simplify.get(full) == simplify(full) == Simple("cat")
    assert simplify.put(Simple("dog"), full) == Full("dog", 0.5)
    assert (simplify.source_type, simplify.view_type) == (Full, Simple)
    assert simplify.name == "simplify"
    assert simplify.__doc__ == "Only the label."


def test_a_well_behaved_lens_obeys_its_laws() -> None:
    full, view = Full("cat", 0.5), Simple("dog")
    assert simplify.get(simplify.put(view, full)) == view
    assert simplify.put(simplify.get(full), full) == full


def test_without_a_putter_there_is_no_way_back() -> None:
    with pytest.raises(NotFound, match="measure has no putter"):
        measure.put(Length(1), Simple("a"))


def network(*lenses: Lens) -> LensNetwork:
    made = LensNetwork()
    for one in lenses:
        made.register(one)
    return made


def test_the_shortest_path_is_composed() -> None:
    found = network(simplify, measure).find(Full, Length)
    assert found.get(Full("four", 1.0)) == Length(4)
    assert (found.source_type, found.view_type) == (Full, Length)


def test_a_composed_lens_puts_through_all_of_its_parts() -> None:
    pad = Lens(
        lambda simple: Length(len(simple.label)),
        source_type=Simple,
        view_type=Length,
        putter=lambda view, simple: Simple(simple.label[: view.length]),
        name="pad",
    )
    found = network(simplify, pad).find(Full, Length)
    assert found.put(Length(2), Full("four", 0.5)) == Full("fo", 0.5)


def test_a_direct_lens_is_preferred_and_a_later_one_replaces_it() -> None:
    direct = Lens(lambda full: Length(0), source_type=Full, view_type=Length, name="direct")
    later = Lens(lambda full: Length(9), source_type=Full, view_type=Length, name="later")
    assert network(simplify, measure, direct).find(Full, Length) is direct
    assert network(direct, later).find(Full, Length) is later


def test_cycles_end() -> None:
    back = Lens(lambda simple: Full(simple.label, 0), source_type=Simple, view_type=Full)
    assert network(simplify, back).path(Full, Length) is None


def test_where_no_lens_leads_the_error_names_those_there_are() -> None:
    with pytest.raises(TypeMismatch, match=r"from Length to Full .*none"):
        network(simplify, measure).find(Length, Full)
    with pytest.raises(TypeMismatch, match=r"simplify: Full → Simple"):
        network(simplify).find(Full, Length)


def test_annotations_must_name_both_types() -> None:
    with pytest.raises(UnsupportedType, match="annotate it"):

        @lens
        def untyped(src):  # type: ignore[no-untyped-def]
            return src

    with pytest.raises(UnsupportedType, match="Missing"):

        @lens
        def unresolved(src: Full) -> Missing:  # noqa: F821
            return src


def test_types_of_a_function_are_resolved_where_the_decorator_stands() -> None:
    @atdata.packable
    class Local:
        label: str

    @lens
    def localise(src: Full) -> Local:
        return Local(src.label)

    assert localise.view_type is Local
