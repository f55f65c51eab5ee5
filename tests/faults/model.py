"""A slow, obvious model of the index: dicts, fed from what the network is.

It shares no code with the indexer: records are decoded by cbor2, judged by a few plain rules, and
laid out by hand. ``same_as`` holds every table of a DuckDB file against it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import duckdb

from tests.indexer.network import Firehose
from tests.indexer.repo_builder import Repo

Row = tuple[Any, ...]
Tables = dict[str, list[Row]]
Body = dict[str, Any]

KINDS = {
    "ac.foundation.dataset.sampleSchema": "schema",
    "ac.foundation.dataset.schema": "schema",
    "ac.foundation.dataset.record": "dataset",
    "ac.foundation.dataset.entry": "dataset",
    "ac.foundation.dataset.lens": "lens",
    "ac.foundation.dataset.label": "label",
    "science.alt.dataset.schema": "schema",
    "science.alt.dataset.entry": "dataset",
    "science.alt.dataset.lens": "lens",
    "science.alt.dataset.label": "label",
    "science.alt.dataset.lensVerification": "lensVerification",
}
LICENSES = {"MIT": "MIT", "CC BY 4.0": "CC-BY-4.0", "ask me": None}
"""The licences that the tests' authors write, and what they mean."""

# What is compared. Not compared: indexed_at (when this index stored a row) and the rev of a record,
# which is an upper bound where it came with a whole repo (docs/limits.md).
COLUMNS = {
    "records": "doc, repo, uri, did, kind, namespace, collection, rkey, cid, created_at, "
    "epoch_us(sort_at), record",
    "datasets": "doc, name, description, schema_uri, schema_doc, license, license_spdx, "
    "storage_kind, samples, bytes, shards",
    "dataset_tags": "doc, position, tag",
    "schemas": "doc, name, version, description, family",
    "schema_fields": "doc, position, name, kind, optional",
    "lenses": "doc, name, description, source_uri, target_uri, source_doc, target_doc, language",
    "labels": "doc, name, dataset_uri, dataset_doc, version, description",
    "lens_verifications": "doc, lens_uri, lens_doc, lens_commit, verification_method",
}
_REPOS = "did, active, status, rev, data_cid, sync_state, handle, handle_verified, pds"


@dataclass(frozen=True)
class Entry:
    """One valid record of the network."""

    uri: str
    collection: str
    cid: str
    body: Body


@dataclass
class Model:
    """``repos`` and ``documents`` are the network's own, looked at when the model is asked.

    Accounts are as the network has them once the test says so: ``hide``, ``show``, ``purge``.
    """

    repos: Mapping[str, Repo]
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    handles: Mapping[str, str] = field(default_factory=dict)
    hidden: dict[str, tuple[str | None, list[Entry]]] = field(default_factory=dict)
    purged: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, net: Firehose) -> Model:
        """Of the accounts whose PDS is ``net``."""
        return cls(net.repos, net.documents, net.handles)

    def hide(self, did: str, status: str | None) -> None:
        """The account is not active: its rows stay as they are now, and are not shown."""
        self.hidden[did] = status, entries_of(self.repos[did])

    def show(self, did: str) -> None:
        """The account is active again."""
        self.hidden.pop(did, None)
        self.purged.discard(did)

    def purge(self, did: str) -> None:
        """The account is deleted."""
        self.hidden.pop(did, None)
        self.purged.add(did)

    def entries(self) -> list[Entry]:
        """All records that the index holds, of hidden accounts, too."""
        found: list[Entry] = []
        for did, repo in self.repos.items():
            if did in self.hidden:
                found += self.hidden[did][1]
            elif did not in self.purged:
                found += entries_of(repo)
        return found

    def visible(self) -> list[Entry]:
        """What a reader may be shown."""
        return [entry for entry in self.entries() if _did_of(entry.uri) not in self.hidden]

    def search(self, word: str) -> set[str]:
        """URIs of the visible datasets with ``word`` in name, description or tags."""
        return {
            entry.uri
            for entry in self.visible()
            if KINDS[entry.collection] == "dataset" and word.lower() in _words(entry.body)
        }

    def tables(self) -> Tables:
        """The rows of every table of ``COLUMNS``, sorted."""
        tables: Tables = {name: [] for name in COLUMNS}
        for entry in self.entries():
            _lay_out(entry, tables)
        return {name: sorted(rows, key=repr) for name, rows in tables.items()}

    def repo_row(self, did: str) -> Row:
        """What the index must know of an account that it tracks, in the order of ``_REPOS``."""
        document, repo = self.documents.get(did, {}), self.repos[did]
        names = [name.removeprefix("at://") for name in document.get("alsoKnownAs", ())]
        handle = names[0] if names else None
        verified = handle is not None and self.handles.get(handle) == did
        pds = next((s["serviceEndpoint"] for s in document.get("service", ())), None)
        active = did not in self.hidden and did not in self.purged
        status = "deleted" if did in self.purged else self.hidden.get(did, (None,))[0]
        return did, active, status, repo.rev, str(repo.data), "synced", handle, verified, pds


# --- the comparison ---------------------------------------------------------------------------


def same_as(model: Model, db: Path | duckdb.DuckDBPyConnection) -> None:
    """Fail unless the index ``db`` (a closed file, or an open connection) is what ``model`` says:
    the same rows in every table and no others, the same accounts, a sound change log."""
    if isinstance(db, Path):
        with duckdb.connect(str(db), read_only=True) as connection:
            same_as(model, connection)
        return
    cursor = db.cursor()
    try:
        _same_tables(model, cursor)
        _same_invalid(model, cursor)
        _same_repos(model, cursor)
        _sound_revs(model, cursor)
        _sound_changes(cursor)
    finally:
        cursor.close()


def stored_tables(cursor: duckdb.DuckDBPyConnection) -> Tables:
    """The rows of every table of ``COLUMNS`` in a database, sorted."""
    tables = {}
    for name, columns in COLUMNS.items():
        rows = cursor.execute(f"SELECT {columns} FROM {name}").fetchall()
        if name == "records":
            rows = [(*row[:-1], _text(json.loads(row[-1]))) for row in rows]
        tables[name] = sorted(rows, key=repr)
    return tables


def _same_tables(model: Model, cursor: duckdb.DuckDBPyConnection) -> None:
    stored, wanted = stored_tables(cursor), model.tables()
    for name in COLUMNS:
        missing = [row for row in wanted[name] if row not in stored[name]]
        left_over = [row for row in stored[name] if row not in wanted[name]]
        assert not missing, f"missing from {name}: {missing[:3]}"
        assert not left_over, f"left over in {name}: {left_over[:3]}"
        assert len(stored[name]) == len(wanted[name]), f"rows of {name} that are there twice"


def _same_invalid(model: Model, cursor: duckdb.DuckDBPyConnection) -> None:
    """What is held apart is what the repos hold beside the valid records, to the CID."""
    columns = "did, collection || '/' || rkey, cid"
    stored = cursor.execute(f"SELECT {columns} FROM invalid_records").fetchall()
    wanted = {
        (did, path, str(cid))
        for did, repo in model.repos.items()
        if did not in model.purged and did not in model.hidden
        for path, cid in repo.paths.items()
        if path.partition("/")[0] in KINDS
    } - {(_did_of(entry.uri), entry.uri.split("/", 3)[3], entry.cid) for entry in model.entries()}
    found = {row for row in stored if row[0] not in model.hidden}
    assert found == wanted, f"not valid:\n  stored {found}\n  wanted {wanted}"
    assert len(found) == sum(row[0] not in model.hidden for row in stored)


def _same_repos(model: Model, cursor: duckdb.DuckDBPyConnection) -> None:
    rows = {row[0]: row for row in cursor.execute(f"SELECT {_REPOS} FROM repos").fetchall()}
    for did in {_did_of(entry.uri) for entry in model.entries()}:
        assert did in rows, f"{did} has records, and is not tracked"
    for did, row in rows.items():
        wanted = model.repo_row(did)
        if wanted[1]:
            assert row == wanted, f"account:\n  stored {row}\n  wanted {wanted}"
        else:  # what a hidden account did since is not known
            assert row[:3] == wanted[:3], f"hidden account: stored {row}, wanted {wanted}"


def _sound_revs(model: Model, cursor: duckdb.DuckDBPyConnection) -> None:
    for did, rev in cursor.execute("SELECT did, max(rev) FROM records GROUP BY did").fetchall():
        assert rev <= (model.repos[did].rev or ""), f"a record of {did} is newer than its repo"


def _sound_changes(cursor: duckdb.DuckDBPyConnection) -> None:
    """One change after the other, and the last word on each record is the truth."""
    changes = cursor.execute("SELECT seq, doc, action FROM changes ORDER BY seq").fetchall()
    assert [seq for seq, _, _ in changes] == list(range(1, len(changes) + 1))
    last = {doc: action for _, doc, action in changes if action != "visibility"}
    there = {doc for (doc,) in cursor.execute("SELECT doc FROM records").fetchall()}
    assert {doc for doc, action in last.items() if action == "put"} == there


# --- records ------------------------------------------------------------------------------------


def entries_of(repo: Repo) -> list[Entry]:
    """The valid records of our collections in a repo, as it is now."""
    found = []
    for path, cid in repo.paths.items():
        collection, _, _ = path.partition("/")
        body = body_of(repo.blocks[cid.raw]) if collection in KINDS else None
        if body is not None and _is_valid(KINDS[collection], body):
            found.append(Entry(f"at://{repo.did}/{path}", collection, str(cid), body))
    return found


def body_of(block: bytes) -> Body | None:
    """A block as AT Protocol JSON, or None if it is no record of the data model."""
    if len(block) > 1_000_000:
        return None
    try:
        value = cbor2.load(stream := io.BytesIO(block))
        if stream.read() or cbor2.dumps(value, canonical=True) != block:
            return None  # more than one value, or not the canonical form
        body = _json(value)
    except (cbor2.CBORDecodeError, RecursionError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _json(value: object, depth: int = 0) -> Any:
    """``ValueError`` for what the data model does not have."""
    if depth > 100:
        raise ValueError("too deep")
    match value:
        case None | bool():
            return value
        case str():
            return value.encode() and value
        case int() if -(2**63) <= value < 2**63:
            return value
        case bytes():
            return {"$bytes": base64.b64encode(value).decode().rstrip("=")}
        case cbor2.CBORTag(tag=42, value=bytes() as raw):
            return {"$link": "b" + base64.b32encode(raw[1:]).decode().lower().rstrip("=")}
        case list() | tuple():
            return [_json(item, depth + 1) for item in value]
        case Mapping() if all(isinstance(name, str) for name in value):
            return {name: _json(item, depth + 1) for name, item in value.items()}
    raise ValueError(f"{type(value).__name__} is not in the data model")


def _is_valid(kind: str, body: Body) -> bool:
    """The lexicons in so far as the tests' authors break them."""
    if KINDS.get(body.get("$type", "")) != kind:
        return False
    rules: dict[str, dict[str, Callable[[Any], bool]]] = {
        "dataset": {
            "name": _is_name,
            "schemaRef": _is_uri,
            "storage": _is_storage,
            "createdAt": _is_time,
        },
        "schema": {
            "name": _is_name,
            "version": _is_name,
            "fields": _is_list,
            "createdAt": _is_time,
        },
        "lens": {
            "name": _is_name,
            "sourceSchema": _is_uri,
            "targetSchema": _is_uri,
            "createdAt": _is_time,
        },
        "label": {"name": _is_name, "datasetUri": _is_uri, "createdAt": _is_time},
        "lensVerification": {"lens": _is_uri, "lensCommit": _is_name},
    }
    maybe: dict[str, Callable[[Any], bool]] = {
        "description": lambda text: isinstance(text, str) and len(text) <= 5_000,
        "tags": lambda tags: _is_list(tags) and all(isinstance(tag, str) for tag in tags),
        "license": lambda text: isinstance(text, str) and len(text) <= 200,
        "size": lambda size: isinstance(size, dict) and all(map(_is_count, size.values())),
    }
    required = all(name in body and check(body[name]) for name, check in rules[kind].items())
    return required and all(name not in body or check(body[name]) for name, check in maybe.items())


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) <= 200


def _is_uri(value: object) -> bool:
    printable = isinstance(value, str) and value.isprintable() and " " not in value
    return printable and str(value).startswith("at://")


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_storage(value: object) -> bool:
    return isinstance(value, dict) and bool(value.get("urls") or value.get("blobs"))


# --- rows ---------------------------------------------------------------------------------------


def key(text: str) -> int:
    """``doc`` of an AT URI, ``repo`` of a DID."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) >> 1


def _did_of(uri: str) -> str:
    return uri.split("/")[2]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _clean(value: Any) -> Any:
    """NUL is no character of the database's text."""
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _words(body: Body) -> set[str]:
    texts: Iterable[str] = (body["name"], body.get("description", ""), *body.get("tags", ()))
    return {word for text in texts for word in text.lower().split()}


def _lay_out(entry: Entry, tables: Tables) -> None:
    """Sort times are the author's: the tests' authors do not write dates in the future."""
    body, doc, did = entry.body, key(entry.uri), _did_of(entry.uri)
    kind, rkey = KINDS[entry.collection], entry.uri.split("/")[4]
    namespace = entry.collection.rpartition(".")[0]
    made = datetime.fromisoformat(body["createdAt"])
    sort_at = int((made - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    place = doc, key(did), entry.uri, did, kind, namespace, entry.collection, rkey, entry.cid
    tables["records"].append((*place, body["createdAt"], sort_at, _text(body)))
    text = {name: _clean(value) for name, value in body.items()}
    description = text.get("description")
    match kind:
        case "dataset":
            _lay_out_dataset(doc, text, tables)
        case "schema":
            family = f"{did}/{text['name']}"
            tables["schemas"].append((doc, text["name"], text["version"], description, family))
            for i, of in enumerate(body["fields"]):
                name, optional = of["fieldType"]["$type"].rpartition("#")[2], of["optional"]
                spelled = of["fieldType"].get("primitive", name)
                tables["schema_fields"].append((doc, i, of["name"], spelled, optional))
        case "lens":
            ends = body["sourceSchema"], body["targetSchema"]
            language = text.get("language")
            row = (doc, text["name"], description, *ends, *map(key, ends), language)
            tables["lenses"].append(row)
        case "label":
            uri = body["datasetUri"]
            row = (doc, text["name"], uri, key(uri), text.get("version"), description)
            tables["labels"].append(row)
        case "lensVerification":
            uri, method = body["lens"], text["verificationMethod"]
            tables["lens_verifications"].append((doc, uri, key(uri), text["lensCommit"], method))


def _lay_out_dataset(doc: int, text: Body, tables: Tables) -> None:
    uri, size, license_ = text["schemaRef"], text.get("size", {}), text.get("license")
    storage = "blobs" if "blobs" in text["storage"] else "external"
    counts = [size.get(name) for name in ("samples", "bytes", "shards")]
    spdx = None if license_ is None else LICENSES[license_]
    about = text["name"], text.get("description"), uri, key(uri), license_, spdx
    tables["datasets"].append((doc, *about, storage, *counts))
    tables["dataset_tags"] += [(doc, i, tag) for i, tag in enumerate(text.get("tags", ()))]
