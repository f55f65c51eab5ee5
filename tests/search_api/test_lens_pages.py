"""The pages of lenses and schemas: both ends, who vouches, the ways that lead on, in links."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from atdata.protocol.views import FieldView, SchemaView
from search_api.snippet import type_snippet
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import HOSTILE, opened


@pytest.fixture
def shelf(index: IndexBuilder) -> dict[str, str]:
    """A dataset of photos; Photo → Label, verified → Class; and another photo type that fits."""
    did = index.account("alice")
    photo = index.schema(did, "Photo", fields=[("image", "ndarray"), ("label", "str")])
    index.schema(did, "Photo", version="1.10.0", fields=[("image", "ndarray")])
    label = index.schema(did, "Label", fields=[("label", "str")])
    kind = index.schema(did, "Kind", fields=[("kind", "int")])
    first = index.lens(did, "photo-label", photo, label)
    second = index.lens(index.account("bob"), "label-kind", label, kind)
    index.lens_verification(index.account("carol"), second)
    dataset = index.dataset(did, "Corals", photo, tags=["reef", "images"])
    index.dataset(did, "Corals again", photo, tags=["reef", "images"])
    index.label(did, "corals", dataset, "2.0.0")
    return {
        "photo": photo,
        "label": label,
        "kind": kind,
        "first": first,
        "second": second,
        "dataset": dataset,
    }


def test_a_dataset_page_says_what_else_it_can_be_read_as(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/dataset", uri=shelf["dataset"])
    assert "Read it as another type" in page.text
    assert html.count('class="chain"') == 2
    assert "photo-label" in page.text
    assert "Kind 1.0.0" in page.text
    assert "verified" in page.text
    for said in ("Similar datasets", "Corals again", "corals", "2.0.0", "signed repository"):
        assert said in page.text
    alternate = [
        attrs for tag, attrs in page.elements if attrs.get("type") == "application/ld+json"
    ]
    assert alternate[0]["href"] in page.links()


def test_a_dataset_whose_schema_is_none_has_a_page(index: IndexBuilder, service: Service) -> None:
    uri = index.dataset(index.account("alice"), "Odd", "at://nobody")
    page, _ = opened(service, "/dataset", uri=uri)
    assert "The index does not have its schema" in page.text


def test_a_lens_has_a_page_with_both_ends_code_and_who_verified_it(
    shelf: dict[str, str], service: Service
) -> None:
    page, _ = opened(service, "/lens", uri=shelf["second"])
    for said in ("label-kind", "Label 1.0.0", "Kind 1.0.0", "a.py:get", "abc123", "codeReview"):
        assert said in page.text
    assert "@carol.test" in page.text
    page, _ = opened(service, "/lens", uri=shelf["first"])
    assert "Nobody has, at this version." in page.text
    opened(service, "/lens", 404, uri=shelf["photo"])


def test_lenses_are_narrowed_down_by_both_ends_and_author(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/lenses", author="bob.test")
    assert "label-kind" in page.text
    assert "photo-label" not in page.text
    page, html = opened(service, "/lenses", source=shelf["photo"], author="bob.test")
    assert "Nothing here" in page.text
    page, html = opened(service, page.link('<span class="what">by', html))
    assert "photo-label" in page.text


def test_a_path_is_found_from_a_dataset_and_from_a_schema(
    shelf: dict[str, str], service: Service
) -> None:
    for start in ("dataset", "photo"):
        asked: dict[str, Any] = {"from": shelf[start], "target": shelf["kind"]}
        page, _ = opened(service, "/lens-path", **asked)
        assert "1 path" in page.text
        assert "2 lenses" in page.text
        assert "2 datasets can be read as it" in page.text
        page, _ = opened(service, "/lens-path", **asked, verified="true")
        assert "0 paths" in page.text


@pytest.mark.parametrize("start", ["dataset", "photo"])
def test_without_an_end_a_path_leads_to_every_type_within_reach(
    shelf: dict[str, str], service: Service, start: str
) -> None:
    asked: dict[str, Any] = {"from": shelf[start]}
    page, html = opened(service, "/lens-path", **asked)
    assert html.count('class="chain"') == 2
    for said in ("photo-label", "label-kind", "Kind 1.0.0", "1 lens", "2 lenses"):
        assert said in page.text
    page, html = opened(service, "/lens-path", **asked, verified="true")
    assert "No lens that somebody has verified leads away from it" in page.text
    page, html = opened(service, page.link("Any lens", html))
    assert html.count('class="chain"') == 2


def test_the_links_to_paths_from_a_record_lead_to_some(
    shelf: dict[str, str], service: Service
) -> None:
    for path, record, label in (
        ("/dataset", "dataset", "Find a path to another schema"),
        ("/schema", "photo", "paths from it"),
    ):
        page, html = opened(service, path, uri=shelf[record])
        page, html = opened(service, page.link(label, html))
        assert html.count('class="chain"') == 2


def test_the_ends_of_a_path_are_picked_by_name(shelf: dict[str, str], service: Service) -> None:
    page, html = opened(service, "/lens-path", fromName=" corals ", toName="kind 1.0.0")
    assert "1 path" in page.text
    assert "label-kind" in page.text
    for name, uri in (("from", shelf["dataset"]), ("target", shelf["kind"])):
        assert f'<input type="hidden" name="{name}" value="{uri}">' in html
    page, html = opened(service, page.link("Change", html))
    assert "1 path" not in page.text
    assert 'name="fromName"' in html
    page, html = opened(service, "/lens-path", fromName=shelf["label"])
    assert html.count('class="chain"') == 1


def test_who_types_a_name_that_several_have_chooses(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/lens-path", fromName="Photo", toName="Kind")
    assert "Which “Photo” do you mean?" in page.text
    assert html.count('<li><a href="/lens-path?') == 2  # one of each version
    assert 'value="Photo"' in html
    page, html = opened(service, page.link("Photo</bdi> <span[^>]*><bdi>1.0.0", html))
    assert "1 path" in page.text
    # What is called only like it is for whoever typed it to choose, too.
    page, html = opened(service, "/lens-path", fromName="Corals ag")
    assert "Corals again" in page.text
    assert 'type="hidden"' not in html
    start: dict[str, Any] = {"from": shelf["photo"]}
    page, html = opened(service, "/lens-path", **start, toName="nobody's")
    assert "Nothing is called “nobody's”" in page.text
    assert 'class="chain"' not in html
    opened(service, "/lens-path", 400, toName="at://")
    opened(service, "/lens-path", 400, toName="x" * 501)


def test_schemas_from_and_to_which_lenses_lead_are_offered_by_name(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/lens-path")
    lists = [part.split("</datalist>")[0] for part in html.split("<datalist ")[1:]]
    offered = [re.findall(r'<option value="([^"]*)"', part) for part in lists]
    assert offered == [["Label 1.0.0", "Photo 1.0.0"], ["Kind 1.0.0", "Label 1.0.0"]]
    for name in offered[0]:
        page, html = opened(service, "/lens-path", fromName=name)
        assert 'class="chain"' in html
    page, html = opened(service, "/lens-path")
    page, html = opened(service, page.link("Photo 1.0.0", html))  # an example
    assert "1 path" in page.text


def test_paths_from_where_no_lens_begins(
    index: IndexBuilder, shelf: dict[str, str], service: Service
) -> None:
    odd = index.dataset(index.account("dave"), "Odd", "at://nobody")
    for start in (shelf["kind"], odd):
        asked: dict[str, Any] = {"from": start}
        page, _ = opened(service, "/lens-path", **asked)
        assert "No lens leads away from it" in page.text
    gone: dict[str, Any] = {"from": odd + "x"}
    opened(service, "/lens-path", 404, **gone)


def test_a_path_is_found_to_any_schema_with_the_fields_that_are_needed(
    shelf: dict[str, str], service: Service
) -> None:
    start: dict[str, Any] = {"from": shelf["dataset"]}
    page, _ = opened(service, "/lens-path", **start, needs="kind:int")
    assert "1 path" in page.text
    page, _ = opened(service, "/lens-path", needs="kind:int")
    assert "2 datasets can be read as it" in page.text
    opened(service, "/lens-path", 400, needs="kind:nonsense")
    nonsense: dict[str, Any] = {"from": "nonsense"}
    opened(service, "/lens-path", 400, **nonsense, needs="kind:int")


def test_a_schema_page_has_versions_lenses_both_ways_and_what_fits(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/schema", uri=shelf["photo"])
    for said in ("1.10.0", "Lenses from it", "photo-label", "2 datasets of this type"):
        assert said in page.text
    assert html.index("1.10.0") < html.index('<strong aria-current="true"><bdi>1.0.0')
    page, _ = opened(service, "/schema", uri=shelf["label"])
    assert "Lenses to it" in page.text
    assert "Can be read as it" in page.text
    assert "Photo" in page.text


def test_a_schema_without_datasets_leads_to_those_that_may_do_instead(
    shelf: dict[str, str], index: IndexBuilder, service: Service
) -> None:
    newer = shelf["photo"].replace("1.0.0", "1.10.0")
    for uri, label, total in (
        (newer, "Datasets of its other version", 2),
        (newer, "Datasets of types that have all of its fields", 2),
        (shelf["label"], "Datasets of types that have all of its fields", 2),
    ):
        page, html = opened(service, "/schema", uri=uri)
        assert "0 datasets of this type" in page.text
        page, html = opened(service, page.link(label, html))
        assert f"{total} datasets" in page.text
    page, html = opened(service, "/schema", uri=shelf["label"])
    page, html = opened(service, page.link("Datasets that lenses read as it", html))
    assert "2 datasets can be read as it" in page.text
    alone = index.schema(index.account("dave"), "Alone", fields=[("alone", "int")])
    page, html = opened(service, "/schema", uri=alone)
    assert "Nobody has published one so far." in page.text
    assert "instead" not in page.text
    page, html = opened(service, "/schema", uri=shelf["photo"])
    assert "instead" not in page.text


def test_schemas_are_found_by_their_fields(shelf: dict[str, str], service: Service) -> None:
    page, html = opened(service, "/schemas", fields="image:ndarray label:str")
    assert html.count('<article class="card">') == 1
    assert 'value="image:ndarray label:str"' in html
    page, html = opened(service, "/schemas", needs="label:str")
    assert html.count('<article class="card">') == 2
    page, html = opened(service, "/schemas", compatible=shelf["label"])
    assert html.count('<article class="card">') == 2
    assert "can be read as" in page.text
    opened(service, "/schemas", 400, fields="a:nonsense")


def test_hostile_lenses_stay_text(index: IndexBuilder, service: Service) -> None:
    did = index.account("mallory")
    one, other = index.schema(did, HOSTILE, rkey="a"), index.schema(did, "Fine", rkey="b")
    lens = index.lens(did, HOSTILE, one, other)
    index.lens_verification(did, lens)
    index.connection.execute("UPDATE lens_verifications SET verification_method = ?", [HOSTILE])
    dataset = index.dataset(did, HOSTILE, one)
    index.label(did, HOSTILE, dataset, HOSTILE)
    pages: list[tuple[str, dict[str, Any]]] = [
        ("/lens", {"uri": lens}),
        ("/lens-map", {"uri": one}),
        ("/lens-path", {"from": dataset, "target": other}),
        ("/schema", {"uri": one}),
        ("/dataset", {"uri": dataset}),
    ]
    for path, params in pages:
        page, html = opened(service, path, **params)
        assert "\u202e" not in html
        tags = {tag for tag, _ in page.elements}
        assert tags.isdisjoint({"b", "i", "iframe", "style", "img"})
        assert all("script>" not in (attrs.get("src") or "") for _, attrs in page.elements)


# --- the type as code -----------------------------------------------------------------------------


def view(name: str, *fields: FieldView) -> SchemaView:
    return SchemaView("at://x/y/z", "c", "did:plc:x", "t", name, "1.0.0", "t", fields)


def test_a_type_is_written_out_as_a_class() -> None:
    schema = view(
        "Photo",
        FieldView("image", "ndarray", False, dtype="uint8"),
        FieldView("depth", "ndarray", True, dtype="float32"),
        FieldView("words", "array", False, items="list[str]"),
        FieldView("label", "str", True),
    )
    code = type_snippet(schema, "https://s.example", dev=False)
    assert "class Photo:\n    image: NDArray[np.uint8]\n    depth: NDArray | None\n" in code
    assert "    words: list[list[str]]\n    label: str | None\n" in code
    assert 'atdata.configure(api="https://s.example")' in code
    ast.parse(code)


@pytest.mark.parametrize(
    "schema",
    [
        view(HOSTILE, FieldView("a", "str", False)),
        view("class", FieldView("a", "str", False)),
        view("Fine", FieldView('x: int\nimport os; os.system("id")', "str", False)),
        view("Fine", FieldView("a", "ndarray", False, dtype="uint8]; exec('x')")),
        view("Fine", FieldView("a", "array", False, items="str]; exec('x')")),
        view("Fine", FieldView("packed", "str", False)),
        view("atdata", FieldView("a", "str", False)),
        view("Fine"),
        view("Fine", *(FieldView(f"f{n}", "int", False) for n in range(500))),
        view("Fine", FieldView("a", "unknown", False)),
    ],
)
def test_no_schema_writes_code_of_its_own(schema: SchemaView) -> None:
    tree = ast.parse(type_snippet(schema, "https://s.example", dev=True))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert calls == {"atdata.configure", "atdata.search", "hit.load", "print"}
    named = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert named <= {"Fine"}
