"""SIGKILL at random points: over replays of the demo recording, and over live devnet traffic.

The long version of tests/flow/test_kill.py. A life of the node is ended at any moment from its
start on, so that opening, catching up and writing are all hit. After each one: the cursors have not
gone back, no record is older than its source's cursor says, and the change seqs are 1, 2, 3 ….
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from atdata.protocol.namespaces import COLLECTIONS
from deploy.devnet.devnet import Account, Devnet, xrpc
from indexer.recordings import Recording
from tests.flow.kills import arguments, as_left, receiving, rows
from tests.flow.node import Node, free_port, node, source_arguments, spawned
from tests.flow.replay import DEMO, demo_is_indexed, replaying
from tests.indexer.network import DATASET, dataset
from tests.soak.heard import hearing
from tests.soak.versions import Versions

_SHOWN = 10  # kills between two lines
_KILLS_IN_ROUND = 25  # then the round is brought to its end, and compared
_RATE = 10.0  # frames a second and source: a replay is to outlive the kills of its round
_AFTER_READY = 0.7  # seconds; at most so long does a killed node live once it answers, or a third
# of what it takes to get ready, on a machine where all is slow
_OF_RECEIVER = 0.3  # of the lives lose the process that receives, before they end
_WRITERS = 6
_PAUSE = 0.03  # seconds between two writes of one account


class File:
    """The index of one round, and what must hold of it after every kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cursors: dict[str, int] = {}
        self.held: dict[str, str] = {}
        self.changes = 0

    def look(self) -> None:
        with as_left(self.folder) as connection:
            cursors = dict(connection.execute("SELECT url, cursor FROM sources").fetchall())
            self.held = dict(connection.execute("SELECT uri, cid FROM records").fetchall())
            seqs = connection.execute("SELECT seq FROM changes ORDER BY seq").fetchall()
        assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1)), "a change seq twice"
        assert len(seqs) >= self.changes, "changes were taken back"
        for url, cursor in self.cursors.items():
            assert cursors.get(url, 0) >= cursor, f"the cursor of {url} went back"
        self.cursors, self.changes = cursors, len(seqs)


def kill(file: File, given: list[str], rng: Random, slow: float) -> None:
    """A life of the node, ended at some moment: half of them from its start on, ``slow`` being the
    seconds in which it gets ready, half while it works."""
    life = spawned(file.folder, *given)
    longest = max(_AFTER_READY, slow / 3)
    try:
        if rng.random() < _OF_RECEIVER:
            life.wait_until(life.answers, "the node answers")
            for process in receiving(life.process.pid):
                os.kill(process, signal.SIGKILL)  # another one takes its place
        if rng.random() < 0.5:
            time.sleep(rng.uniform(slow / 2, slow + longest))
        else:
            life.wait_until(life.answers, "the node answers")
            time.sleep(rng.uniform(0.0, longest))
        ended = life.process.poll()
        assert ended is None, f"the node ended by itself: {ended}\n{life.log.read_text()[-2000:]}"
    finally:
        life.process.kill()
        life.process.wait()
    file.look()


def ready_seconds(folder: Path, given: list[str]) -> float:
    began = time.monotonic()
    with node(folder, *given):
        return time.monotonic() - began


# --- replays ----------------------------------------------------------------------------------


def over_replays(kills: int, seed: int) -> None:
    """Raises ``AssertionError``."""
    rng, versions = Random(seed), Versions.of(Recording.open(DEMO))
    port, done, began = free_port(), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "undisturbed").mkdir()
        with replaying(port) as network:
            slow = ready_seconds(root / "undisturbed", arguments(network))
            with node(root / "undisturbed", *arguments(network)) as running:
                running.wait_until(lambda: demo_is_indexed(running), "the replay is indexed")
        expected = rows(root / "undisturbed")
        print(f"{kills:,} kills over replays; a node is ready after {slow:.1f} s", flush=True)
        while done < kills:
            file = File(root / f"round-{done}")
            file.folder.mkdir()
            with replaying(port, _RATE) as network:
                names = {url: name for name, url in network.sources.items()}
                for _ in range(min(_KILLS_IN_ROUND, kills - done)):
                    kill(file, arguments(network), rng, slow)
                    reached = {names[url]: cursor for url, cursor in file.cursors.items()}
                    behind = versions.behind(reached, file.held)
                    assert not behind, f"the cursor is ahead of {behind[:3]}"
                    done += 1
                    _show(began, done, file)
                with node(file.folder, *arguments(network)) as running:
                    running.wait_until(lambda: demo_is_indexed(running), "the replay is indexed")
            file.look()
            assert rows(file.folder) == expected, "other rows than undisturbed"
            print(f"  round ended: {file.changes:,} changes, rows as undisturbed", flush=True)


# --- live traffic -----------------------------------------------------------------------------


def over_devnet_traffic(kills: int, seed: int) -> None:
    """Raises ``AssertionError``. At the end of each round the index equals the PDSes."""
    rng, done, began = Random(seed), 0, time.monotonic()
    with (
        Devnet(pds_count=2) as net,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
    ):
        root = Path(folder)
        accounts = [net.create_account(n % 2, f"soak{n}") for n in range(_WRITERS)]
        urls = [pds.url.replace("http", "ws", 1) for pds in net.pdses]
        given = ["--plc", net.plc, *source_arguments(urls)]
        (root / "measured").mkdir()
        slow = ready_seconds(root / "measured", given)
        print(f"{kills:,} kills over live traffic of {_WRITERS} accounts", flush=True)
        heard = stack.enter_context(hearing(urls))
        while done < kills:
            file = File(root / f"round-{done}")
            file.folder.mkdir()
            with writing(accounts, rng.randrange(2**32)):
                for _ in range(min(_KILLS_IN_ROUND, kills - done)):
                    kill(file, given, rng, slow)
                    behind = heard.behind(file.cursors, file.held)
                    assert not behind, f"the cursor is ahead of {behind[:3]}"
                    done += 1
                    _show(began, done, file)
            marker = f"marker{done}"
            for account in accounts:
                _write(account, token_of(account), "create", marker, marker)
            with node(file.folder, *given) as running:
                running.wait_until(lambda: _all_is_here(running, marker), "all is indexed", 120.0)  # noqa: B023
            file.look()
            for account in accounts:
                prefix = f"at://{account.did}/"
                held = {uri: cid for uri, cid in file.held.items() if uri.startswith(prefix)}
                differing = sorted(held.items() ^ listed(account).items())
                assert not differing, f"{account.did} differs from its PDS: {differing[:4]}"
            print(
                f"  round ended: {file.changes:,} changes, the index equals the PDSes", flush=True
            )


def _all_is_here(running: Node, marker: str) -> bool:
    """The last write of every account is, and no repo waits to be fetched. A search that finds
    little shows other spellings, too, and so the markers of earlier rounds."""
    answer = running.get(f"/xrpc/ac.foundation.dataset.searchDatasets?q={marker}&limit=100")
    found = sum(hit["uri"].endswith(f"/{marker}") for hit in answer["datasets"])
    return found == _WRITERS and running.metric("atdata_indexer_resyncing") == 0


@contextmanager
def writing(accounts: list[Account], seed: int) -> Iterator[None]:
    """Every account creates, updates and deletes datasets until the block ends."""
    ended = threading.Event()
    failures: list[BaseException] = []
    threads = [
        threading.Thread(
            target=_write_until, args=(account, Random(f"{seed} {n}"), ended, failures)
        )
        for n, account in enumerate(accounts)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def _write_until(
    account: Account, rng: Random, ended: threading.Event, failures: list[BaseException]
) -> None:
    try:
        token = token_of(account)
        mine = {uri.rpartition("/")[2] for uri in listed(account) if f"/{DATASET}/" in uri}
        while not ended.wait(_PAUSE):
            name = f"d{rng.randrange(40)}"
            action = "create" if name not in mine else rng.choice(("put", "delete"))
            _write(account, token, action, name, f"version {rng.random()}")
            mine = mine - {name} if action == "delete" else mine | {name}
    except Exception as error:  # noqa: BLE001 - told to whoever started the thread
        failures.append(error)


def _write(account: Account, token: str, action: str, name: str, title: str) -> None:
    body: dict[str, Any] = {"repo": account.did, "collection": DATASET, "rkey": name}
    if action != "delete":
        body |= {"record": dataset(title), "validate": False}
    xrpc(account.pds_url, f"com.atproto.repo.{action}Record", body=body, token=token)


def token_of(account: Account) -> str:
    body = {"identifier": account.handle, "password": account.password}
    return str(xrpc(account.pds_url, "com.atproto.server.createSession", body=body)["accessJwt"])


def listed(account: Account) -> dict[str, str]:
    """URI → CID of all that the PDS lists in our collections."""
    found: dict[str, str] = {}
    for collection in COLLECTIONS:
        params = {"repo": account.did, "collection": collection, "limit": "100"}
        while True:
            answer = xrpc(account.pds_url, "com.atproto.repo.listRecords", params=params)
            found.update({record["uri"]: record["cid"] for record in answer["records"]})
            if not answer.get("cursor") or not answer["records"]:
                break
            params = {**params, "cursor": answer["cursor"]}
    return found


def _show(began: float, done: int, file: File) -> None:
    if done % _SHOWN:
        return
    print(
        f"  {time.monotonic() - began:6.0f} s  {done:>5,} kills, {file.changes:,} changes, "
        f"cursors {', '.join(f'{cursor:,}' for cursor in file.cursors.values())}",
        flush=True,
    )
