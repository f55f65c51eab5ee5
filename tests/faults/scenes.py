"""What happens on the network in the tests of faults: a scene with something of everything, and
what all tests need to look at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from indexer.pipeline import Indexer
from tests.faults.model import Model
from tests.indexer.network import (
    CREATED,
    DATASET,
    LENS,
    SCHEMA,
    SCHEMA_URI,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    settled,
)
from tests.indexer.repo_builder import Repo, account, create, delete, update

POST = "app.bsky.feed.post/3k2yihcrp2c2a"
LABEL = "science.alt.dataset.label"
ENTRY = "science.alt.dataset.entry"


def schema(name: str) -> dict[str, Any]:
    """A schema of two fields."""
    of = "ac.foundation.dataset.schemaType"
    fields = [
        {
            "name": "image",
            "fieldType": {"$type": f"{of}#ndarray", "dtype": "f4"},
            "optional": False,
        },
        {
            "name": "label",
            "fieldType": {"$type": f"{of}#primitive", "primitive": "str"},
            "optional": True,
        },
    ]
    body = {"$type": SCHEMA, "name": name, "version": "1.0.0", "fields": fields}
    return {**body, "createdAt": CREATED}


def lens(name: str) -> dict[str, Any]:
    ends = {"sourceSchema": SCHEMA_URI, "targetSchema": SCHEMA_URI.replace("image", "label")}
    return {"$type": LENS, "name": name, **ends, "createdAt": CREATED, "language": "python"}


def label(name: str, uri: str) -> dict[str, Any]:
    return {"$type": LABEL, "name": name, "datasetUri": uri, "createdAt": CREATED}


async def everything(net: Firehose) -> Model:
    """Three accounts that publish every kind of record, change, remove, and get some wrong; one is
    suspended afterwards."""
    repos = [new_repo(net, i, f"user{i}.test") for i in range(3)]
    await net.send(*(first_commit(repo, "cats", "dogs") for repo in repos))
    for i, repo in enumerate(repos):
        await net.send(repo.commit(update(f"{DATASET}/cats", dataset(f"cats of {i}"))))
        await net.send(repo.commit(create(POST, {"text": "hello"})))
    await net.send(repos[0].commit(delete(f"{DATASET}/dogs"), *_more_kinds(repos[0])))
    model = Model.of(net)
    await net.send(account(repos[1].did, active=False, status="suspended"))
    model.hide(repos[1].did, "suspended")
    await net.send(repos[2].commit(create(f"{DATASET}/mice", dataset(name=0))))
    await net.send(repos[2].commit(create(f"{DATASET}/newts", dataset("newts"))))
    return model


def _more_kinds(repo: Repo) -> list[Any]:
    size = {"samples": 10, "bytes": 2**40, "shards": 2}
    rich = dataset("corals", tags=["reef", "sea"], license="CC BY 4.0", size=size)
    uri = f"at://{repo.did}/{DATASET}/cats"
    return [
        create(f"{SCHEMA}/image:1.0.0", schema("Image")),
        create(f"{LENS}/to-label", lens("to-label")),
        create(f"{LABEL}/gold", label("gold", uri)),
        create(f"{DATASET}/corals", {**rich, "description": "of the Red Sea"}),
    ]


def names(db: Path) -> list[str]:
    """Of all datasets that are stored."""
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


def drops(db: Path) -> dict[str, int]:
    """How often what was dropped, in a closed index."""
    return dict(rows(db, "SELECT reason, count FROM drops"))


def states(db: Path) -> list[str]:
    """The sync states of all repos."""
    return [state for (state,) in rows(db, "SELECT sync_state FROM repos ORDER BY did")]


async def indexed(net: Firehose, db: Path, **config: Any) -> Indexer:
    """Run the indexer over all that ``net`` has, to the end. It is closed; its status remains."""
    async with running(net, db, **config) as indexer:
        await reached(indexer, net)
        await settled(indexer)
    return indexer


def asked(net: Firehose, what: str) -> int:
    """How often a path that holds ``what`` was asked for."""
    return sum(what in path for path in net.asked)
