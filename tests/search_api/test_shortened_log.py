"""Whoever follows the log of changes is right whatever was removed from it (invariant 8): only what
a later change says as well is."""

from __future__ import annotations

from pathlib import Path

import pytest

from atdata.protocol.errors import XrpcError
from atdata.protocol.keys import key_of
from indexer.change_log import ChangeLog
from search_api.database import Database
from search_api.feeds.export import Exporter
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live
from tests.search_api.service import Service
from tests.search_api.test_changes import changes, message, subscribed
from tests.search_api.test_lens_graph import Shelf, steps
from tests.search_api.test_text_index import found


def shorten(index: IndexBuilder) -> list[int]:
    """As the indexer does it, with all but the newest change looked at. Returns the seqs left."""
    ChangeLog(index.connection.cursor(), 1).shorten()
    rows = index.connection.execute("SELECT seq FROM changes ORDER BY seq").fetchall()
    return [seq for (seq,) in rows]


def flap(index: IndexBuilder, did: str, times: int = 3) -> None:
    """The account vanishes and comes back, and vanishes in the end."""
    for number in range(2 * times + 1):
        index.set_active(did, number % 2 == 1)


@pytest.mark.parametrize("held_is_needless", [False, True])
def test_a_text_index_that_was_left_behind_catches_up_or_is_built_anew(
    index: IndexBuilder, tmp_path: Path, held_is_needless: bool
) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    hidden = index.dataset(alice, "Hidden", "at://x/y/z")
    gone = index.dataset(bob, "Gone", "at://x/y/z")
    stays = index.dataset(bob, "Stays", "at://x/y/z")
    before = TextIndex(tmp_path / "text", Database(index.connection))
    before.catch_up()
    assert found(before) == {key_of(uri) for uri in (hidden, gone, stays)}
    held = before.seq
    before.close()
    flap(index, alice)
    index.delete(gone)
    if held_is_needless:
        flap(index, bob)
        index.set_active(bob, True)
    assert (held in shorten(index)) != held_is_needless
    after = TextIndex(tmp_path / "text", Database(index.connection))
    brought = after.catch_up()
    assert found(after) == {key_of(stays)}
    assert after.seq == index.seq
    assert brought == (1 if held_is_needless else 2), "datasets of it anew, or changes"
    after.close()


def test_an_old_cursor_is_told_the_last_of_each_record(index: IndexBuilder, tmp_path: Path) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    uris = [index.dataset(alice, f"Set {number}", "at://x/y/z") for number in range(3)]
    gone = index.dataset(bob, "Gone", "at://x/y/z")
    index.delete(gone)
    flap(index, alice)
    index.set_active(alice, True)
    stays = index.dataset(bob, "Stays", "at://x/y/z")
    with live(index, tmp_path) as origin:
        told = []
        for _ in range(2):
            for cursor in (0, 2, 4, 11):
                with subscribed(origin, f"?cursor={cursor}") as client:
                    message(client)
                    heard = changes(client, index.seq)
                    assert [c["seq"] for c in heard] == sorted({c["seq"] for c in heard})
                    told.append({change["key"]: change["action"] for change in heard})
            left = shorten(index)
    assert len(left) == 3 + 1 + 1
    assert told[:4] == told[4:]
    shown = {f"{key_of(uri):016x}": "put" for uri in (*uris, stays)}
    assert told[0] == {**shown, f"{key_of(gone):016x}": "remove"}


def test_lens_paths_follow(index: IndexBuilder, service: Service) -> None:
    shelf = Shelf(index)
    asked = {"source": shelf.a, "target": shelf.c}
    assert steps(service.get("findLensPath", **asked)) == [["raw to photo", "photo to thumb"]]
    index.lens(shelf.did, "direct", shelf.a, shelf.c)
    flap(index, shelf.other)
    assert len(shorten(index)) < index.seq
    assert steps(service.get("findLensPath", **asked)) == [["direct"]]
    index.set_active(shelf.other, True)
    shorten(index)
    assert len(service.get("findLensPath", **asked)["paths"]) == 2


def test_export_files_show_nothing_that_was_hidden_since(
    index: IndexBuilder, tmp_path: Path
) -> None:
    """Also if the hidden record was written anew, which alone would take nothing away."""
    exporter = Exporter(Database(index.connection), tmp_path / "export")
    did = index.account("alice")
    uri = index.dataset(did, "Secret", "at://x/y/z")
    export = exporter.current()
    index.set_active(did, False)
    index._change(key_of(uri), "put")
    index._change(key_of(index.dataset(index.account("bob"), "Other", "at://x/y/z")), "put")
    assert 1 not in shorten(index)
    with pytest.raises(XrpcError) as stale:
        exporter.path(export.seq, "datasets.jsonl")
    assert stale.value.status == 410
