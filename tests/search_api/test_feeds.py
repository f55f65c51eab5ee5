"""A search as Atom, JSON Feed, CSV and JSON lines: its hits, and hostile text as text."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from search_api.feeds import results
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

A = "{http://www.w3.org/2005/Atom}"
HOSTILE = "<script>alert(1)</script> & \"x\" 'y' \x00\x1b\u202egnp.exe\ufffe ]]>"


def fetched(service: Service, path: str) -> str:
    service.text_index.catch_up()
    response = service.client.get(path)
    assert response.status_code == 200, response.text
    return bytes(response.content).decode()


def reef(index: IndexBuilder, count: int = 3) -> list[str]:
    did = index.account("alice")
    schema = index.schema(did)
    return [
        index.dataset(did, f"Reef {n}", schema, description=f"Corals {n}", tags=["reef", f"n{n}"])
        for n in range(count)
    ]


# --- feeds --------------------------------------------------------------------------------------


def test_atom_has_what_rfc_4287_asks_for(index: IndexBuilder, service: Service) -> None:
    uris = reef(index)
    feed = ElementTree.fromstring(fetched(service, "/feed.atom?q=reef&tags=n1"))
    assert feed.tag == A + "feed"
    for required in ("id", "title", "updated"):
        assert feed.findtext(A + required)
    links = {link.get("rel"): link.get("href") for link in feed.findall(A + "link")}
    assert links == {
        "self": "https://search.example.com/feed.atom?q=reef&tags=n1",
        "alternate": "https://search.example.com/?q=reef&tags=n1",
    }
    (entry,) = feed.findall(A + "entry")
    assert entry.findtext(A + "title") == "Reef 1"
    assert entry.findtext(A + "summary") == "Corals 1"
    assert [c.get("term") for c in entry.findall(A + "category")] == ["reef", "n1"]
    assert entry.findtext(f"{A}author/{A}name") == "@alice.test"
    page = entry.findtext(A + "id") or ""
    assert page.startswith("https://search.example.com/dataset?uri=at%3A%2F%2Fdid%3Aplc%3A")
    for moment in ("updated", "published"):
        assert (entry.findtext(A + moment) or "").startswith("20")
    path = page.removeprefix("https://search.example.com")
    assert uris[1] in fetched(service, path)


def test_json_feed_1_1(index: IndexBuilder, service: Service) -> None:
    uris = reef(index)
    response = service.client.get("/feed.json") if service.text_index.catch_up() else None
    assert response is not None
    assert response.headers["content-type"] == "application/feed+json"
    feed = response.json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert [item["title"] for item in feed["items"]] == ["Reef 2", "Reef 1", "Reef 0"]
    first = feed["items"][0]
    assert first["id"] == first["url"]
    assert first["authors"][0]["name"] == "@alice.test"
    assert first["content_text"] == "Corals 2"
    assert first["_atdata"]["uri"] == uris[2]


def test_the_next_page_of_a_feed_goes_on_where_this_one_ends(
    index: IndexBuilder, service: Service
) -> None:
    reef(index, 5)
    titles: list[str] = []
    url = "/feed.json?limit=2"
    while url:
        feed = json.loads(fetched(service, url))
        titles += [item["title"] for item in feed["items"]]
        url = feed.get("next_url", "").removeprefix("https://search.example.com")
    assert titles == [f"Reef {n}" for n in (4, 3, 2, 1, 0)]
    atom = ElementTree.fromstring(fetched(service, "/feed.atom?limit=2"))
    links = {link.get("rel"): link.get("href") or "" for link in atom.findall(A + "link")}
    following = fetched(service, links["next"].removeprefix("https://search.example.com"))
    names = [e.findtext(A + "title") for e in ElementTree.fromstring(following).iter(A + "entry")]
    assert names == ["Reef 2", "Reef 1"]


def test_hostile_text_stays_text(index: IndexBuilder, service: Service) -> None:
    did = index.account("mallory", verified=False)
    index.dataset(
        did,
        HOSTILE,
        index.schema(did),
        description=HOSTILE,
        tags=['"><x>'],
        license_as_written=HOSTILE,
    )
    text = fetched(service, "/feed.atom?q=" + "%3Cscript%3E")
    entry = ElementTree.fromstring(text).find(A + "entry")
    assert entry is not None
    for name in ("title", "summary", "rights"):
        shown = entry.findtext(A + name) or ""
        assert shown.startswith("<script>alert(1)</script> & \"x\" 'y'")
        assert not set(shown) & set("\x00\x1b\u202e\ufffe")
    assert [child.tag for child in entry.iter() if "script" in child.tag] == []
    category = entry.find(A + "category")
    assert category is not None
    assert category.get("term") == '"><x>'
    (item,) = json.loads(fetched(service, "/feed.json"))["items"]
    assert not set(item["title"] + item["content_text"]) & set("\x00\x1b\u202e")


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.json", "/search.csv", "/search.jsonl"])
def test_what_is_wrong_is_a_400_with_its_reason(service: Service, path: str) -> None:
    for query in ("limit=0", "limit=x", "author=..", "storage=moon", "q=" + "x" * 501):
        response = service.client.get(f"{path}?{query}")
        # A file has all hits, so that it takes neither page size nor cursor.
        fine = query.startswith("limit") and path.startswith("/search")
        assert response.status_code == (200 if fine else 400), query
    if path.startswith("/feed"):
        assert service.client.get(f"{path}?cursor=x").json()["error"] == "InvalidRequest"


# --- files --------------------------------------------------------------------------------------


def test_a_file_has_all_hits_of_the_search_in_its_order(
    index: IndexBuilder, service: Service
) -> None:
    reef(index, 230)
    wanted = [view["uri"] for view in service.every("searchDatasets", "datasets", q="reef")]
    assert len(wanted) == 230
    rows = list(csv.DictReader(io.StringIO(fetched(service, "/search.csv?q=reef&limit=3"))))
    assert [row["uri"] for row in rows] == wanted
    lines = [json.loads(line) for line in fetched(service, "/search.jsonl?q=reef").splitlines()]
    assert lines == service.every("searchDatasets", "datasets", q="reef")
    assert tuple(rows[0]) == results.COLUMNS
    assert (rows[0]["samples"], rows[0]["handle"]) == ("100", "alice.test")
    assert json.loads(rows[0]["tags"]) == ["reef", "n229"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\r=1", "\r'=1"),
        ("\n=1+1", "\n'=1+1"),
        (" \u00a0=1+1", " \u00a0'=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ('"=1"', '"\'=1"'),
        # Split at semicolons, tabs or line ends, these are several cells.
        ("x;=HYPERLINK(1)", "x;'=HYPERLINK(1)"),
        ("x\t=1", "x\t'=1"),
        ("x\n\uff0b1", "x\n'\uff0b1"),
        ('x; "=1";@2', "x; \"'=1\";'@2"),
        # None of these begins a cell.
        ("a=b; c-d, e @ f", "a=b; c-d, e @ f"),
    ],
)
def test_no_cell_is_a_formula(
    index: IndexBuilder, service: Service, name: str, written: str
) -> None:
    did = index.account("mallory")
    index.dataset(did, name, index.schema(did), description='a "quoted"\r\n,line')
    text = fetched(service, "/search.csv")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["name"] == written
    assert row["description"] == 'a "quoted"\r\n,line'
    (line,) = fetched(service, "/search.jsonl").splitlines()
    assert json.loads(line)["name"] == name


def test_a_file_names_itself(service: Service) -> None:
    for kind in ("csv", "jsonl"):
        response = service.client.get(f"/search.{kind}")
        assert response.headers["content-disposition"] == f'attachment; filename="datasets.{kind}"'
