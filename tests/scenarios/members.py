"""Accounts that write all the time: creates, updates and deletes of our records, and noise."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any

import urllib3

from deploy.devnet.devnet import Devnet, DevnetError, xrpc
from tests.indexer.network import CREATED, DATASET, LENS, SCHEMA, dataset

NOISE = "org.example.scenario.note"
_KINDS = (DATASET, DATASET, SCHEMA, LENS, NOISE)
PAUSE = 0.5  # seconds between two writes of one account
_MOST_RECORDS = 60  # of one account; above it deletes are likelier than creates


@dataclass(frozen=True)
class Home:
    """Where an account lives, and its key to it."""

    url: str
    token: str


class Member:
    """One account. ``home`` may change while it writes, under ``lock``; ``written`` counts what its
    PDS took, ``failed`` what it did not."""

    def __init__(self, did: str, handle: str, home: Home, seed: int) -> None:
        self.did, self.handle, self.home = did, handle, home
        self.lock = threading.Lock()
        self.written = self.failed = 0
        self._rng = random.Random(seed)
        self._paths: set[tuple[str, str]] = set()
        self._count = 0

    def write_until(self, stop: threading.Event, pause: float = PAUSE) -> None:
        """One write after the other, ``pause`` seconds apart. An outage is waited out."""
        while not stop.wait(pause * self._rng.uniform(0.5, 1.5)):
            with self.lock:
                try:
                    self._write()
                    self.written += 1
                except (DevnetError, urllib3.exceptions.HTTPError):
                    self.failed += 1

    def put(self, collection: str, rkey: str, record: dict[str, Any]) -> None:
        """One record, new or in place of the one that is there."""
        path = {"repo": self.did, "collection": collection, "rkey": rkey}
        self._call("com.atproto.repo.putRecord", {**path, "record": record, "validate": False})

    def _write(self) -> None:
        if self._rng.random() < 0.1:
            self._write_several()
            return
        collection, rkey = path = self._path()
        if path in self._paths and self._rng.random() < 0.5:
            body = {"repo": self.did, "collection": collection, "rkey": rkey}
            self._call("com.atproto.repo.deleteRecord", body)
            self._paths.discard(path)
        else:
            self.put(collection, rkey, self._record(collection))
            self._paths.add(path)

    def _path(self) -> tuple[str, str]:
        """One that is there, or a new one."""
        full = len(self._paths) >= _MOST_RECORDS
        if self._paths and self._rng.random() < (0.9 if full else 0.4):
            return self._rng.choice(sorted(self._paths))
        self._count += 1
        return self._rng.choice(_KINDS), f"r{self._count}"

    def _write_several(self) -> None:
        """One commit with several ops: new records, and the end of one."""
        writes: list[dict[str, Any]] = []
        fresh: set[tuple[str, str]] = set()
        for _ in range(self._rng.randint(2, 6)):
            self._count += 1
            collection, rkey = path = self._rng.choice(_KINDS), f"r{self._count}"
            value = self._record(collection)
            writes.append({**_op("create", collection, rkey), "value": value})
            fresh.add(path)
        gone = set(self._rng.sample(sorted(self._paths), min(1, len(self._paths))))
        writes += [_op("delete", *path) for path in gone]
        body = {"repo": self.did, "validate": False, "writes": writes}
        self._paths -= gone  # also if the answer is lost: the next delete must not be refused
        self._call("com.atproto.repo.applyWrites", body)
        self._paths |= fresh

    def _record(self, collection: str) -> dict[str, Any]:
        """Never the same twice: the PDS drops the block of equal records when one is deleted."""
        name = f"{self.handle} {self._count} {self._rng.randrange(10**9)}"
        return record(collection, name)

    def _call(self, method: str, body: dict[str, Any]) -> None:
        xrpc(self.home.url, method, body=body, token=self.home.token)


def _op(action: str, collection: str, rkey: str) -> dict[str, Any]:
    kind = f"com.atproto.repo.applyWrites#{action}"
    return {"$type": kind, "collection": collection, "rkey": rkey}


def record(collection: str, name: str) -> dict[str, Any]:
    """A valid record of that name."""
    common = {"$type": collection, "name": name[:100], "createdAt": CREATED}
    if collection == DATASET:
        return dataset(name, tags=["scenario"])
    if collection == SCHEMA:
        body = {
            "$type": f"{SCHEMA}#jsonSchemaFormat",
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"label": {"type": "string"}},
        }
        return {**common, "version": "1.0.0", "schemaType": "jsonSchema", "schema": body}
    if collection == LENS:
        code = {"repository": "https://git.example.org/lenses", "commit": "0" * 40, "path": "l.py"}
        uris = {
            side: f"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/{SCHEMA}/{side}@1.0.0"
            for side in ("sourceSchema", "targetSchema")
        }
        return {**common, **uris, "getterCode": code, "putterCode": code}
    return {"$type": collection, "text": name}


def joined(net: Devnet, pds_index: int, name: str, seed: int, **options: str) -> Member:
    """A new account ``<name>.pds<index>.test``; ``options`` are more members of createAccount."""
    pds = net.pdses[pds_index]
    handle = f"{name}{pds.domain}"
    body = {"handle": handle, "email": f"{name}@mail.test", "password": "secret", **options}
    created = xrpc(pds.url, "com.atproto.server.createAccount", body=body)
    return Member(created["did"], handle, Home(pds.url, created["accessJwt"]), seed)
