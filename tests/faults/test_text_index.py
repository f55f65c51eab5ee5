"""Faults of the text index: gone, torn, behind, ahead, of another version or another database."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import tantivy

from atdata.protocol.keys import key_of
from indexer.database import open_database
from search_api.database import Database
from search_api.text_document import build_schema
from search_api.text_index import TextIndex
from search_api.text_query import DatasetQuery
from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import everything, indexed
from tests.indexer.network import DATASET, Firehose, dataset
from tests.indexer.repo_builder import account, create, delete, update

WORDS = ("", "cats", "dogs", "newts", "corals", "reef", "sea", "lions", "nothing")
Damage = Callable[[Path], int]


def hits(text_index: TextIndex, word: str) -> set[int]:
    return {rank.doc for rank in text_index.search(DatasetQuery(q=word), 1_000).ranks}


def searched(
    folder: Path, connection: duckdb.DuckDBPyConnection
) -> tuple[int, dict[str, set[int]]]:
    """What a new process over the text index in ``folder`` has to bring in, and finds then."""
    text_index = TextIndex(folder, Database(connection))
    try:
        brought = text_index.catch_up()
        return brought, {word: hits(text_index, word) for word in WORDS}
    finally:
        text_index.close()


def expected(model: Model) -> dict[str, set[int]]:
    everything = {entry.uri for entry in model.visible() if entry.body["$type"] == DATASET}
    found = {word: model.search(word) if word else everything for word in WORDS}
    return {word: set(map(key_of, uris)) for word, uris in found.items()}


def deleted(folder: Path) -> int:
    files = [*folder.iterdir()]
    shutil.rmtree(folder)
    return len(files)


def files_deleted(folder: Path) -> int:
    files = [file for file in folder.iterdir() if file.is_file()]
    for file in files:
        file.unlink()
    return len(files)


def emptied(folder: Path) -> int:
    files = [file for file in folder.iterdir() if file.is_file()]
    for file in files:
        file.write_bytes(b"")
    return len(files)


def cut_short(folder: Path) -> int:
    files = [f for f in folder.iterdir() if re.fullmatch(r"[0-9a-f]{32}\..*", f.name)]
    for file in files:
        file.write_bytes(file.read_bytes()[:-3])
    return len(files)


def overwritten(folder: Path) -> int:
    (folder / "meta.json").write_bytes(b"\x00garbage")
    return 1


def of_another_version(folder: Path) -> int:
    """It vouches for the same change, but was laid out otherwise: none of its documents is ours."""
    index = tantivy.Index(build_schema(), path=str(folder))
    held = tantivy.Query.term_query(index.schema, "marker", "held")
    ((_, address),) = index.searcher().search(held).hits
    before = index.searcher().doc(address)
    marker = tantivy.Document()
    marker.add_text("marker", "held")
    marker.add_text("version", "another")
    for name in ("seq", "last"):
        marker.add_integer(name, int(before.get_first(name) or 0))
    writer = index.writer(15_000_000, 1)
    writer.delete_all_documents()
    writer.add_document(marker)
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index.searcher().num_docs


DAMAGES = (deleted, files_deleted, emptied, cut_short, overwritten, of_another_version)


@pytest.mark.fault(38)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_text_index_that_is_damaged_is_built_anew(
    fault: Fault, db: Path, tmp_path: Path, damage: Damage
) -> None:
    async def main() -> None:
        async with Firehose() as net:
            model = await everything(net)
            await indexed(net, db)
            same_as(model, db)
            with open_database(db) as connection:
                folder = tmp_path / "text"
                assert searched(folder, connection)[1] == expected(model)
                assert searched(folder, connection)[0] == 0, "nothing to do until it is damaged"
                happened = damage(folder)
                brought, found = searched(folder, connection)
                assert found == expected(model)
                assert brought > 0
                fault.fired(happened)

    asyncio.run(main())


@pytest.mark.fault(38)
def test_a_text_index_that_is_behind_catches_up_with_every_kind_of_change(
    fault: Fault, db: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with Firehose() as net:
            model = await everything(net)
            folder = tmp_path / "text"
            first, second, third = net.repos.values()
            await indexed(net, db)
            with open_database(db) as connection:
                assert searched(folder, connection)[1] == expected(model)
            await net.send(
                first.commit(
                    delete(f"{DATASET}/corals"),
                    update(f"{DATASET}/cats", dataset("lions", tags=["sea"])),
                ),
                account(second.did, active=True),
                third.commit(create(f"{DATASET}/more", dataset("reef dogs"))),
                account(third.did, active=False, status="takendown"),
            )
            model.show(second.did)
            model.hide(third.did, "takendown")
            await indexed(net, db)
            same_as(model, db)
            with open_database(db) as connection:
                brought, found = searched(folder, connection)
                assert found == expected(model)
                fault.fired(brought)

    asyncio.run(main())


@pytest.mark.fault(38)
def test_files_of_a_commit_that_never_was_are_in_nobodys_way(
    fault: Fault, db: Path, tmp_path: Path
) -> None:
    """Killed when the files of a commit were there and its ``meta.json`` was not: the next process
    makes the same commit again, under the same names."""

    async def main() -> None:
        async with Firehose() as net:
            model = await everything(net)
            folder, before = tmp_path / "text", tmp_path / "before"
            repo = next(iter(net.repos.values()))
            await indexed(net, db)
            with open_database(db) as connection:
                searched(folder, connection)
            shutil.copytree(folder, before)
            await net.send(repo.commit(update(f"{DATASET}/cats", dataset("lions", tags=["sea"]))))
            await indexed(net, db)
            with open_database(db) as connection:
                searched(folder, connection)
                left = [file for file in folder.iterdir() if not (before / file.name).exists()]
                for file in (*left, folder / ".managed.json"):
                    shutil.copy(file, before / file.name)
                brought, found = searched(before, connection)
                assert found == expected(model)
                assert brought == 1, "it caught up"
                fault.fired(len(left))

    asyncio.run(main())


@pytest.mark.fault(38)
def test_a_text_index_that_is_ahead_of_its_database_is_built_anew(
    fault: Fault, db: Path, tmp_path: Path
) -> None:
    """As after the database was set back to an older copy, and went another way since."""

    async def main() -> None:
        async with Firehose() as net:
            model = await everything(net)
            folder, older = tmp_path / "text", tmp_path / "older.duckdb"
            await indexed(net, db)
            shutil.copy(db, older)
            repo = next(iter(net.repos.values()))
            await net.send(repo.commit(update(f"{DATASET}/cats", dataset("lions"))))
            await net.send(repo.commit(create(f"{DATASET}/x", dataset("reef"))))
            await indexed(net, db)
            with open_database(db) as connection:
                assert searched(folder, connection)[1] == expected(model)
            net.sent = net.sent[:-2]
            repo.commit(delete(f"{DATASET}/x"))
            await net.send(repo.commit(update(f"{DATASET}/cats", dataset("dogs"))))
            await indexed(net, older)
            same_as(model, older)
            with open_database(older) as connection:
                brought, found = searched(folder, connection)
                assert found == expected(model)
                fault.fired(brought)

    asyncio.run(main())
