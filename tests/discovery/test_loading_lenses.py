"""Another type than the schema's: lenses known here are applied, published ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from numpy.typing import NDArray

import atdata
from atdata import discovery
from atdata.lens import NETWORK, Lens
from atdata.protocol.errors import TypeMismatch, UntrustedCode
from tests.discovery.host import DID, Host
from tests.library.shards import Feature, features, shard

SAMPLES = features(0, 4)


@atdata.packable
class Labelled:
    """What the first lens gives."""

    name: str


@atdata.packable
class Length:
    """What two lenses give."""

    length: int


@atdata.packable
class Unreached:
    colour: str


@pytest.fixture(autouse=True)
def only_these_lenses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NETWORK, "_from", {})


@pytest.fixture
def uri(host: Host, library: Path) -> str:
    return host.dataset(host.schema(Feature), [shard(SAMPLES)])


def register_both() -> None:
    @atdata.lens
    def label(src: Feature) -> Labelled:
        return Labelled("x" * src.label)

    @atdata.lens
    def measure(src: Labelled) -> Length:
        return Length(len(src.name))


# --- known here ------------------------------------------------------------------------------


def test_a_registered_lens_is_applied(uri: str) -> None:
    register_both()
    found = atdata.load_dataset(uri, Labelled)
    assert found.sample_type is Labelled
    assert list(found) == [Labelled("x" * n) for n in range(4)]


def test_so_are_several_in_a_row(uri: str) -> None:
    register_both()
    assert list(atdata.load_dataset(uri, Length)) == [Length(n) for n in range(4)]
    (batch,) = atdata.load_dataset(uri, Length).ordered(batch_size=9)
    assert list(batch.length) == [0, 1, 2, 3]


def test_a_lens_from_the_decoded_type_is_applied(uri: str) -> None:
    decoded = atdata.load_dataset(uri).sample_type
    NETWORK.register(
        Lens(lambda src: Length(src.label), source_type=decoded, view_type=Length, name="own")
    )
    assert list(atdata.load_dataset(uri, Length)) == [Length(n) for n in range(4)]


def test_of_several_types_that_fit_the_fewest_lenses_win_then_the_name(uri: str) -> None:
    register_both()

    @atdata.packable
    class Lookalike:
        features: NDArray
        label: int

    NETWORK.register(
        Lens(lambda src: Labelled("lookalike"), source_type=Lookalike, view_type=Labelled)
    )
    assert next(iter(atdata.load_dataset(uri, Labelled))) == Labelled("")
    NETWORK.register(Lens(lambda src: Length(99), source_type=Lookalike, view_type=Length))
    assert next(iter(atdata.load_dataset(uri, Length))) == Length(99)


def test_a_lens_from_a_type_that_does_not_fit_is_not(uri: str) -> None:
    NETWORK.register(Lens(lambda s: Length(0), source_type=Unreached, view_type=Length))
    with pytest.raises(TypeMismatch, match="Length does not fit Feature"):
        atdata.load_dataset(uri, Length)


def test_a_lens_of_ones_own_may_be_named(uri: str) -> None:
    own = Lens(lambda src: Length(-src.label), source_type=Feature, view_type=Length, name="own")
    assert list(atdata.load_dataset(uri, lens=own)) == [Length(-n) for n in range(4)]
    assert list(atdata.load_dataset(uri, Length, lens=own)) == [Length(-n) for n in range(4)]
    wrong = Lens(lambda src: Length(0), source_type=Unreached, view_type=Length)
    with pytest.raises(TypeMismatch):
        atdata.load_dataset(uri, Length, lens=wrong)


# --- published -------------------------------------------------------------------------------


@pytest.fixture
def path_of_two(host: Host, uri: str) -> list[str]:
    """Feature → Labelled → Length, with a cycle and a dead end beside it."""
    start, middle = host.schema(Feature), host.schema(Labelled, "labelled")
    end, nowhere = host.schema(Length, "length"), f"at://{DID}/ac.foundation.dataset.schema/none"
    host.lens("dead-end", start, nowhere, "3ka")
    host.lens("back", middle, start, "3kb")
    return [host.lens("label", start, middle, "3kc"), host.lens("measure", middle, end, "3kd")]


def test_the_path_is_looked_up(host: Host, path_of_two: list[str]) -> None:
    start, end = host.schema(Feature), host.schema(Length, "length")
    for target in (Length, end):
        assert [lens.uri for lens in discovery.find_lens_path(start, target)] == path_of_two
    assert [lens.uri for lens in discovery.find_lens_path(start, Labelled)] == path_of_two[:1]
    assert discovery.find_lens_path(start, Unreached) == ()
    assert discovery.find_lens_path(end, Length) == ()


def test_the_search_for_a_path_is_bounded(host: Host, library: Path) -> None:
    """A network in which every schema leads to two others, for ever."""
    schema = f"at://{DID}/ac.foundation.dataset.schema/"
    for n in range(1, 200):
        for child in (2 * n, 2 * n + 1):
            host.lens("on", f"{schema}{n}", f"{schema}{child}", f"3k{child}")
    assert discovery.find_lens_path(f"{schema}1", f"{schema}17")[-1].target_schema.endswith("17")
    host.server.seen.clear()
    assert discovery.find_lens_path(f"{schema}1", f"{schema}399") == ()
    assert 0 < len(host.server.seen) <= 40


def test_the_error_names_the_path_and_says_how_to_trust_it(
    uri: str, path_of_two: list[str]
) -> None:
    with pytest.raises(TypeMismatch) as caught:
        atdata.load_dataset(uri, Length)
    said = str(caught.value)
    assert "Length does not fit Feature 1.0.0" in said
    assert "'label'" in said
    label, measure = path_of_two
    assert f"'label' ({label}), then 'measure' ({measure})" in said
    assert f"atdata.trust('{measure}', commit='" in said


@pytest.mark.parametrize("form", ["uri", "view", "list"])
def test_a_published_lens_that_is_not_trusted_is_not_run(
    host: Host, uri: str, path_of_two: list[str], form: str
) -> None:
    lens = path_of_two[0]
    given = {"uri": lens, "view": host.lens_view(lens), "list": [lens]}[form]
    with pytest.raises(UntrustedCode, match=r"atdata\.trust\('at://"):
        atdata.load_dataset(uri, Labelled, lens=given)


def test_trust_is_no_type_that_can_be_guessed(uri: str) -> None:
    for wrong in (True, [], [None], {"trust": True}):
        with pytest.raises(TypeError):
            atdata.load_dataset(uri, Labelled, lens=wrong)
