"""From a name to a dataset: by way of the index, the author's PDS, or what was pulled."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import atdata
from atdata.library import Library
from atdata.protocol.errors import NetworkError, NotFound
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import FacetValue
from atdata.settings import _library
from tests.discovery.conftest import Configure
from tests.discovery.host import DID, HANDLE, XRPC, Host
from tests.flow.node import Node
from tests.library.shards import Feature, features, shard
from tests.network.local_server import status

ONE, TWO = shard(features(0, 2)), shard(features(2, 2))


@pytest.fixture
def named(host: Host, library: Path) -> Host:
    schema = host.schema(Feature)
    host.dataset(schema, [ONE], "3kone", name="one")
    host.dataset(schema, [TWO], "3ktwo", name="two")
    return host


def test_handle_and_name_go_to_the_index(named: Host, configure: Configure) -> None:
    configure(api=named.server.url)  # no directory
    assert list(atdata.load_dataset(f"@{HANDLE}/two", Feature)) == features(2, 2)
    assert list(atdata.load_dataset(f"@{HANDLE.upper()}/one", Feature)) == features(0, 2)
    assert named.requests("listRecords") == []


def test_what_the_index_does_not_know_is_asked_of_the_author(named: Host) -> None:
    del named.server.routes[XRPC + "getDataset"]
    empty = b'{"datasets":[],"hitsTotal":0}'
    named.server.routes[XRPC + "searchDatasets"] = status(200, empty)
    named.server.routes[XRPC + "getDataset"] = status(
        404, b'{"error":"RecordNotFound","message":"no"}'
    )
    assert list(atdata.load_dataset(f"@{HANDLE}/two", Feature)) == features(2, 2)
    assert list(atdata.load_dataset(f"at://{HANDLE}/ac.foundation.dataset.record/3kone")) != []
    with pytest.raises(NotFound, match="published no dataset called 'three'"):
        atdata.load_dataset(f"@{HANDLE}/three")


def test_without_an_index_the_authors_pds_is_asked(named: Host, configure: Configure) -> None:
    configure(plc=named.server.url)
    assert list(atdata.load_dataset(f"@{HANDLE}/two", Feature)) == features(2, 2)
    assert named.requests("/xrpc/ac.foundation") == []


def test_a_pulled_dataset_has_its_name_offline(
    named: Host, library: Path, configure: Configure
) -> None:
    (hit, _) = atdata.search()
    hit.pull()
    configure(library=library)
    assert list(atdata.load_dataset(f"@{HANDLE}/one", Feature)) == features(0, 2)
    assert list(atdata.load_dataset(hit, Feature)) == features(0, 2)
    assert hit.type.__name__ == "Feature"
    assert hit.entry.name == "one"
    for missing in (f"@{HANDLE}/two", f"at://{DID}/ac.foundation.dataset.record/3ktwo"):
        with pytest.raises(NetworkError):
            atdata.load_dataset(missing)


FORMS = {
    "at://did": f"at://{DID}/ac.foundation.dataset.record/3kone",
    "at://handle": f"at://{HANDLE}/ac.foundation.dataset.record/3kone",
    "@handle": f"@{HANDLE}/one",
    "@did": f"@{DID}/one",
}


@pytest.mark.parametrize("pulled_as", FORMS)
@pytest.mark.parametrize("api", [True, False])
def test_what_was_pulled_under_one_form_is_there_under_all(
    named: Host, library: Path, configure: Configure, tmp_path: Path, pulled_as: str, api: bool
) -> None:
    configure(api=named.server.url if api else None, plc=named.server.url, library=library)
    atdata.pull(FORMS[pulled_as], tmp_path / "elsewhere" if api else None)
    named.server.seen.clear()
    for form in (*FORMS.values(), f"@{HANDLE.upper()}/one"):
        assert list(atdata.load_dataset(form, Feature)) == features(0, 2)
    assert named.server.seen == [], "not even a name is asked for"


def test_a_library_that_does_not_know_the_handle_is_looked_into_once_it_is_resolved(
    named: Host, library: Path
) -> None:
    manifest = atdata.pull(FORMS["at://did"])[0].with_name("dataset.json")
    text = manifest.read_text()
    assert f'"handle": "{HANDLE}"' in text
    manifest.write_text(text.replace(f'"{HANDLE}"', "null"))
    for form in FORMS.values():
        assert list(atdata.load_dataset(form, Feature)) == features(0, 2)
    assert len(named.requests("getBlob")) == 1, "that of the pull"


def test_a_handle_that_its_author_only_claims_is_not_remembered(
    named: Host, library: Path, configure: Configure
) -> None:
    configure(plc=named.server.url, library=library)
    answer = status(200, b'{"did":"did:plc:' + b"b" * 24 + b'"}')
    named.server.routes["/xrpc/com.atproto.identity.resolveHandle"] = answer
    manifest = atdata.pull(FORMS["at://did"])[0].with_name("dataset.json")
    assert HANDLE not in manifest.read_text()


def test_a_handle_that_two_accounts_had_is_asked_for(
    named: Host, library: Path, configure: Configure
) -> None:
    folder = atdata.pull(FORMS["at://did"])[0].parent
    another = f"did:plc:{'b' * 24}"
    other = library / another.replace(":", "%3A") / folder.parent.name / folder.name
    shutil.copytree(folder, other)
    manifest = (other / "dataset.json").read_text()
    for uri in (FORMS["at://did"], f"at://{DID}/blob/"):
        manifest = manifest.replace(uri, uri.replace(DID, another))
    (other / "dataset.json").write_text(manifest)
    assert Library(library).find_named(HANDLE, "one") == AtUri.parse(
        FORMS["at://did"].replace(DID, another)
    )
    named.server.seen.clear()
    assert list(atdata.load_dataset(FORMS["at://handle"], Feature)) == features(0, 2)
    assert len(named.requests("resolveHandle")) == 1
    assert named.requests("getBlob") == []


def test_the_default_library_is_where_the_platform_keeps_such_things() -> None:
    assert _library({"ATDATA_LIBRARY": "/data/sets"}) == Path("/data/sets")
    if sys.platform == "linux":
        assert _library({"XDG_DATA_HOME": "/data"}) == Path("/data/atdata/library")
        assert _library({}) == Path.home() / ".local/share/atdata/library"


# --- against a node ------------------------------------------------------------------------------


@pytest.fixture
def demo(demo_node: Node, tmp_path: Path, configure: Configure) -> Node:
    configure(api=demo_node.url, library=tmp_path)
    return demo_node


def test_facets_count_all_hits_and_hits_stay_cheap(demo: Node) -> None:
    results = atdata.search("julia")
    facets = results.facets
    assert facets.tags is not None
    assert facets.tags[0].count == max(tag.count for tag in facets.tags) <= results.total
    assert FacetValue("images", results.total) in facets.tags
    for tag in facets.tags:
        assert atdata.search("julia", tags=[tag.value]).total == tag.count
    for schema in facets.schemas or ():
        assert atdata.search("julia", schema=schema.value).total == schema.count
    for author in facets.authors or ():
        assert atdata.search("julia", author=author.value).total == author.count
        assert atdata.search("julia", author=author.label).total == author.count
    everything = atdata.search()
    assert sum(kind.count for kind in everything.facets.storage or ()) == everything.total
    assert atdata.search("no-such-word-anywhere").facets.tags == ()


def test_facets_of_a_type_are_those_of_all_its_schemas(demo: Node) -> None:
    (hit, *_) = atdata.search("drawn-digits")
    of_type = atdata.search(schema=hit.type)
    assert sum(kind.count for kind in of_type.facets.storage or ()) == of_type.total > 0
    # A facet's own filter does not shrink it: the other schemas are there to be chosen.
    assert of_type.facets.schemas == atdata.search().facets.schemas
    assert hit.schema_uri in {schema.value for schema in of_type.facets.schemas or ()}


def test_pull_then_load_from_a_node(demo: Node, tmp_path: Path, configure: Configure) -> None:
    (hit, *_) = atdata.search("drawn-digits")
    streamed = list(hit.load())
    paths = hit.pull()
    configure(library=tmp_path)  # the network is away
    assert list(atdata.load_dataset(hit.uri)) == streamed
    assert list(atdata.load_dataset(f"@{hit.handle}/drawn-digits")) == streamed
    assert list(atdata.Dataset[hit.type](list(map(str, paths)))) == streamed


def test_the_error_for_another_type_names_a_path_that_a_node_knows(demo: Node) -> None:
    segmented = next(hit for hit in atdata.search() if hit.schema_name == "SegmentedSample")
    lens = next(
        lens
        for lens in atdata.discovery.find_lenses(source=segmented.schema_uri)
        if lens.name == "drop-the-mask"
    )
    target = next(hit for hit in atdata.search(schema=lens.target_schema))
    with pytest.raises(TypeError, match=r"drop-the-mask.*atdata\.trust\('at://"):
        segmented.load(target.type)
