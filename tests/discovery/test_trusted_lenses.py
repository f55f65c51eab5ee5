"""Code of published lenses: fetched at one commit, and run only after the caller has trusted it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata.lens_code import _raw_url
from atdata.protocol.errors import (
    FetchFailed,
    InvalidRecord,
    InvalidSample,
    NotFound,
    TypeMismatch,
    UntrustedCode,
)
from atdata.protocol.records import CodeRef
from tests.discovery.host import Host
from tests.library.shards import Feature, features, shard

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAMPLES = features(0, 4)


@atdata.packable
class Labelled:
    name: str


@atdata.packable
class Length:
    length: int


# As an author writes it: types of its own, annotations as text, the decorator.
CODE = """
from __future__ import annotations
import atdata
from numpy.typing import NDArray

@atdata.packable
class Source:
    features: NDArray
    label: int

@atdata.packable
class View:
    name: str

@atdata.lens
def label(src: Source) -> View:
    return View(name="x" * src.label)

@label.putter
def put(view: View, src: Source) -> Source:
    return Source(src.features, len(view.name))

class Tools:
    @staticmethod
    def measure(src):
        return {"length": len(src.name)}

def broken(src):
    return View(name=src.label)
"""


class World:
    """A dataset, three schemas, and a forge on loopback with one file."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.start = host.schema(Feature)
        self.middle = host.schema(Labelled, "labelled")
        self.end = host.schema(Length, "length")
        self.uri = host.dataset(self.start, [shard(SAMPLES)])
        self.repository = f"{host.server.url}/alice/lenses.git"
        self.raw = f"/alice/lenses/raw/commit/{COMMIT}/lenses/label.py"
        host.file(self.raw, CODE.encode())

    def code(self, function: str = "label", **changes: str) -> CodeRef:
        parts = {
            "repository": self.repository,
            "commit": COMMIT,
            "path": f"lenses/label.py:{function}",
        }
        return CodeRef(**(parts | changes))

    def lens(
        self, getter: CodeRef | None = None, putter: CodeRef | None = None, **more: Any
    ) -> str:
        return self.host.lens(
            "label",
            more.get("source", self.start),
            more.get("target", self.middle),
            more.get("rkey", "3klabel"),
            getter_code=getter or self.code(),
            putter_code=putter,
        )

    def fetched(self) -> int:
        return len(self.host.requests("/raw/"))


@pytest.fixture
def world(host: Host, library: Path) -> World:
    return World(host)


def test_a_trusted_lens_is_fetched_when_it_is_used_and_applied(world: World) -> None:
    trusted = atdata.trust(world.lens(), commit=COMMIT)
    assert world.fetched() == 0
    found = atdata.load_dataset(world.uri, Labelled, lens=trusted)
    assert found.sample_type is Labelled
    assert list(found) == [Labelled("x" * n) for n in range(4)]
    assert world.fetched() == 1
    assert [sample.name for sample in atdata.load_dataset(world.uri, lens=trusted)] == [
        "x" * n for n in range(4)
    ]


def test_several_trusted_lenses_are_a_path(world: World) -> None:
    first = atdata.trust(world.lens(), commit=COMMIT)
    onward = world.lens(
        world.code("Tools.measure"), source=world.middle, target=world.end, rkey="3kmeasure"
    )
    second = atdata.trust(onward, commit=COMMIT)
    found = atdata.load_dataset(world.uri, Length, lens=[first, second])
    assert list(found) == [Length(n) for n in range(4)]
    with pytest.raises(TypeMismatch, match="reads"):
        atdata.load_dataset(world.uri, Length, lens=[second, first])


def test_the_view_that_the_index_gave_can_be_trusted_while_it_is_the_published_one(
    world: World,
) -> None:
    view = world.host.lens_view(world.lens())
    assert atdata.trust(view, commit=COMMIT).record.name == "label"
    world.lens(world.code("put"))
    with pytest.raises(UntrustedCode, match="has changed"):
        atdata.trust(view, commit=COMMIT)


@pytest.mark.parametrize("commit", ["", "main", COMMIT[:39], COMMIT[::-1], COMMIT.upper()])
def test_trust_names_the_commit_that_the_lens_names(world: World, commit: str) -> None:
    with pytest.raises(UntrustedCode, match="was to be trusted"):
        atdata.trust(world.lens(), commit=commit)
    with pytest.raises(UntrustedCode):
        atdata.trust(world.lens(world.code(commit=commit)), commit=COMMIT)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"repository": "https://example.com/alice/lenses"}, "repository"),
        ({"repository": "git@github.com:alice/lenses"}, "repository"),
        ({"repository": "https://github.com.example.com/alice/lenses"}, "repository"),
        ({"repository": "https://user@github.com/alice/lenses"}, "repository"),
        ({"repository": "https://github.com/alice/../lenses"}, "repository"),
        ({"repository": "https://github.com/alice/lenses?x=1"}, "repository"),
        ({"repository": "file:///etc"}, "repository"),
        ({"path": "lenses/label.py"}, "path"),
        ({"path": "../label.py:label"}, "path"),
        ({"path": "/label.py:label"}, "path"),
        ({"path": "label.sh:label"}, "path"),
        ({"path": "label.py:label()"}, "path"),
        ({"path": "label.py:outer.<locals>.label"}, "path"),
    ],
)
def test_only_files_at_known_forges_are_code(
    world: World, changes: dict[str, str], named: str
) -> None:
    with pytest.raises(InvalidRecord, match=named):
        atdata.trust(world.lens(world.code(**changes)), commit=COMMIT)
    assert world.fetched() == 0


def test_outside_of_development_a_forge_on_this_machine_is_no_forge(
    world: World,
) -> None:
    assert _raw_url(world.code()).endswith(world.raw)
    atdata.configure(dev=False)
    with pytest.raises(InvalidRecord, match="repository"):
        _raw_url(world.code())
    github = world.code(repository="https://github.com/alice/lenses.git")
    assert _raw_url(github) == (
        f"https://raw.githubusercontent.com/alice/lenses/{COMMIT}/lenses/label.py"
    )


def test_what_is_not_there_is_not_found(world: World) -> None:
    gone = atdata.trust(world.lens(world.code(path="gone.py:label")), commit=COMMIT)
    with pytest.raises(FetchFailed, match="404"):
        atdata.load_dataset(world.uri, Labelled, lens=gone)
    nothing = atdata.trust(world.lens(world.code("no_such")), commit=COMMIT)
    with pytest.raises(NotFound, match="no such function"):
        atdata.load_dataset(world.uri, Labelled, lens=nothing)
    with pytest.raises(NotFound, match="where its code is"):
        atdata.trust(world.host.lens("old", world.start, world.middle, "3kold"), commit=COMMIT)


def test_types_are_checked_before_code_is_fetched(world: World) -> None:
    trusted = atdata.trust(world.lens(), commit=COMMIT)
    with pytest.raises(TypeMismatch, match="does not fit what lens"):
        atdata.load_dataset(world.uri, Length, lens=trusted)
    assert world.fetched() == 0


def test_a_sample_of_the_code_that_does_not_fit_is_an_error(world: World) -> None:
    trusted = atdata.trust(world.lens(world.code("broken")), commit=COMMIT)
    with pytest.raises(InvalidSample, match="name"):
        list(atdata.load_dataset(world.uri, Labelled, lens=trusted))


def test_its_own_lenses_do_not_lead_anywhere_else(world: World) -> None:
    """Loading the code registers its lens between its own types; nobody's path goes over them."""
    trusted = atdata.trust(world.lens(), commit=COMMIT)
    atdata.load_dataset(world.uri, Labelled, lens=trusted)
    with pytest.raises(TypeMismatch):
        atdata.load_dataset(world.uri, Labelled)
