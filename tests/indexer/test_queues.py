"""Every queue of the indexer is in its metrics, with its bound: from the real commands.

The code itself is gone through for containers: one that is new has to be named here, as a queue or
with the reason why it is none.
"""

from __future__ import annotations

import ast
import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import indexer
from indexer.config import IndexerConfig
from indexer.intake import LocalIntake
from indexer.queues import Queue
from indexer.received import Passed, Received
from indexer.tracked import Tracked
from indexer.turns import Result
from tests.flow.node import free_port
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    running,
    until,
)
from tests.indexer.repo_builder import DID, NOW_US, create
from tests.indexer.test_replacement import fetching, snapshot

_PASSING = "of one batch, gone with it"
_CACHE = "a cache with a bound"
_TRACKED = "state of what is tracked or followed, not work that waits"

# Module, class and name of each container that outlives a function.
CONTAINERS: dict[str, Queue | str] = {
    "change_log.ChangeLog._pieces": "of a table of a bounded length, made when it is gone through",
    "frame_queue.FrameQueue._sources": Queue.FRAMES,
    "holders.Holders._dids": _TRACKED,
    "isolated.IsolatedIntake._answers": "one at most: the next is asked for when it was taken",
    "isolated.IsolatedIntake._halted": _TRACKED,
    "lag.Lags._level_at": "of the configured sources",
    "lanes.Lanes._segments": Queue.LANES,
    "lanes._Segment.lanes": Queue.LANES,
    "lanes._Segment.runs": Queue.FRAMES,
    "pipeline.Indexer._provers": Queue.PROVING,
    "pipeline.Indexer._writer": Queue.WRITER,
    "processor.Processor._bad_frames": _CACHE,
    "processor.Processor._streams": _TRACKED,
    "renewals.Renewals._asked": Queue.DOUBTFUL,
    "resync.Resyncer._attempts": "of those that are queued",
    "resync.Resyncer._due": Queue.RESYNC,
    "resync.Resyncer._host_of": "of those that are queued",
    "resync.Resyncer._hosts": Queue.HOSTS,
    "resync.Resyncer._queued": Queue.RESYNC,
    "resync.Resyncer._repeat": Queue.AGAIN,
    "resync.Resyncer._running": Queue.FETCHES,
    "resync._Host.waiting": Queue.HOSTS,
    "screen.Everything._taken": "of one read from the socket",
    "screen.Screen._taken": "of one read from the socket",
    "screen.Screen._under_way": Queue.UNDER_WAY,
    "speakers.Speakers._known": _CACHE,
    "speakers.Speakers._pdses": "one for each source",
    "speakers.Speakers._silent": "one for each source",
    "store.Store._drops": "counts by reason",
    "store.Store._meta": _TRACKED,
    "stream.Stream._noted": _PASSING,
    "sweep.Sweeper._counts": "of the sweep under way, by kind",
    "sweep.Sweeper._left_out": "of the configured sources",
    "sweep.Sweeper._without": _CACHE,
    "tracked.Tracked._dids": _TRACKED,
    "tracked.Tracked._order": _TRACKED,
    "turns.Turns._announced": Queue.ANNOUNCED,
    "turns.Turns._turns": Queue.FETCHES,
    "waiting.Waiting._commits": Queue.TURN_COMMITS,
    "watermark.Watermark._outstanding": _PASSING,
}
ELSEWHERE = {
    Queue.FRAME_BYTES: "bytes of FRAMES",
    Queue.SPILLED_FRAMES: "places in lanes, frames in a file",
    Queue.SPILL_BYTES: "the file",
    Queue.SWEEP: "hosts and repos of `heads.ask_heads`",
    Queue.TURN_BYTES: "bytes of TURN_COMMITS",
    Queue.PARKED: "rows of the database",
    Queue.QUARANTINE: "rows of the database",
    Queue.QUARANTINE_BYTES: "rows of the database",
    Queue.INVALID: "rows of the database",
    Queue.INVALID_BYTES: "rows of the database",
}
# Values that one call makes, fills and gives back, and modules without queues: what is read from
# files, and the metrics themselves.
_VALUES = {"batch.Batch", "batch.RepoState", "processor.Outcome", "mst._Loader"}
_OTHERS = {"metrics", "recorder", "recorded_repos", "recording_files", "replay"}
_MAKERS = {
    *("deque", "dict", "list", "set", "Counter", "OrderedDict", "defaultdict"),
    *("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "ThreadPoolExecutor", "Answers"),
}


# --- the code -----------------------------------------------------------------------------------


def containers() -> Iterator[str]:
    for path in sorted(Path(str(indexer.__file__)).parent.glob("*.py")):
        classes = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef))
        for cls in classes:
            if path.stem not in _OTHERS and f"{path.stem}.{cls.name}" not in _VALUES:
                yield from (f"{path.stem}.{cls.name}.{name}" for name in attributes(cls))


def attributes(cls: ast.ClassDef) -> Iterator[str]:
    """The names under which its instances hold a container that is made empty."""
    for node in ast.walk(cls):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                held = isinstance(target, ast.Attribute) or node in cls.body
                if held and is_container(node.value):
                    yield ast.unparse(target).removeprefix("self.")


def is_container(made: ast.expr) -> bool:
    if isinstance(made, ast.Dict | ast.List):
        return not ast.dump(made).count("Constant")
    if not isinstance(made, ast.Call):
        return False
    if ast.unparse(made.func) == "field":
        return any(
            keyword.arg == "default_factory" and ast.unparse(keyword.value) in _MAKERS
            for keyword in made.keywords
        )
    return ast.unparse(made.func).partition("[")[0].rpartition(".")[2] in _MAKERS


def test_no_container_of_the_code_is_left_out() -> None:
    assert set(containers()) == set(CONTAINERS)


def test_every_queue_is_something_in_the_code() -> None:
    held = {queue for queue in CONTAINERS.values() if isinstance(queue, Queue)}
    assert held.isdisjoint(ELSEWHERE)
    assert held | set(ELSEWHERE) == set(Queue)


# --- the commands -------------------------------------------------------------------------------


def gauges(text: str, name: str, label: str = "queue") -> Mapping[str, float]:
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"atdata_indexer_{name}"
    }


def of(registry: CollectorRegistry, name: str, label: str = "queue") -> Mapping[str, float]:
    return gauges(generate_latest(registry).decode(), name, label)


@pytest.mark.parametrize("command", ["index run", "serve"])
def test_a_command_shows_every_queue_with_its_bound(tmp_path: Path, command: str) -> None:
    port = free_port()
    place = ["--metrics-port", str(port)] if command == "index run" else ["--port", str(port)]
    address = f"http://127.0.0.1:{port}/metrics"

    def look() -> str:
        try:
            with urlopen(address, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    async def main() -> str:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "atdata.cli", *command.split(), *place, "--dev"),
                *("--db", str(tmp_path / "i.duckdb"), "--source", net.url, "--plc", net.plc),
                stderr=DEVNULL,
                stdout=DEVNULL,
            )
            try:
                async with asyncio.timeout(60):
                    while "atdata_indexer_changes_total 1.0" not in (
                        text := await asyncio.to_thread(look)
                    ):
                        assert process.returncode is None
                        await asyncio.sleep(0.05)
                return text
            finally:
                process.terminate()
                await process.wait()

    text = asyncio.run(main())
    assert set(gauges(text, "queue_depth")) == set(Queue)
    assert gauges(text, "queue_limit") == IndexerConfig().queue_limits


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async def main() -> tuple[int | None, str]:
        async with Firehose() as net:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "atdata.cli", "index", "run", "--source", net.url, "--dev"),
                *("--db", str(tmp_path / "i.duckdb"), "--metrics-port", str(net.port)),
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
            return process.returncode, said.decode()

    status, said = asyncio.run(main())
    assert status == 1
    assert "--metrics-port takes another" in said
    assert len(said.splitlines()) == 1


# --- what they say ------------------------------------------------------------------------------


def test_frames_of_a_repo_that_floods_wait_in_a_file(tmp_path: Path) -> None:
    async def main() -> Mapping[Queue, int]:
        settings = IndexerConfig(sources=("wss://a.test",), db=tmp_path / "i.duckdb").intake
        intake = LocalIntake(settings, lambda _: None, Tracked(), lambda: 0)
        flood = [Received("a", 1, b"123", 0, did=b"did:a", seq=seq) for seq in range(1, 451)]
        other = Received("a", 1, b"1234", 0, did=b"did:b", seq=451)
        await intake._queue.put(*flood, other, Passed("a", 1, 0, 9, 900, 460, None, 0))
        depths = intake.waiting.depths
        intake._queue.close()
        return depths

    assert asyncio.run(main()) == {
        Queue.FRAMES: 402,  # 400 of the one, one of the other, one run
        Queue.FRAME_BYTES: 400 * 3 + 4,
        Queue.SPILLED_FRAMES: 50,
        Queue.SPILL_BYTES: 50 * 3,
        Queue.LANES: 2,
        Queue.UNDER_WAY: 0,
    }


def test_commits_wait_for_the_fetch_of_their_repo() -> None:
    index, author = fetching("a")
    index.live(author.write("b", remove=False))
    depths = index.turns.depths
    assert depths[Queue.TURN_COMMITS] == 1
    assert depths[Queue.TURN_BYTES] > 100
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert set(index.turns.depths.values()) == {0}


def test_what_the_directory_can_not_be_asked_about_is_parked(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            await net.send(first_commit(new_repo(net), "cats"))
            db = tmp_path / "index.duckdb"
            async with running(net, db, registry=registry) as indexer:
                await reached(indexer, net)
                depths = of(registry, "queue_depth")
                assert (depths["parked"], depths["quarantine"]) == (1, 1)
                assert depths["quarantine_bytes"] == len(net.sent[0][1])
                assert of(registry, "quarantined", "reason") == {"identity_unavailable": 1}
                net.plc_is_down = False
                await until(lambda: indexer.status().quarantined == 0, lambda: "let in")
                assert of(registry, "quarantined", "reason") == {}
                assert of(registry, "queue_depth")["parked"] == 0

    asyncio.run(main())


def test_repos_whose_pds_is_down_wait_to_be_fetched(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            net.pds_is_down = True
            for number in range(3):
                repo = new_repo(net, number)
                first_commit(repo, "before")
                await net.send(repo.commit(create(f"{DATASET}/live", dataset("live"))))
            db = tmp_path / "index.duckdb"
            async with running(
                net,
                db,
                registry=registry,
                resync_backoff_seconds=60.0,
                resync_backoff_max_seconds=60.0,
            ) as indexer:
                await reached(indexer, net)

                def waiting() -> bool:
                    depths = of(registry, "queue_depth")
                    return (depths["resync"], depths["fetches"]) == (3, 0)

                await until(waiting, lambda: str(of(registry, "queue_depth")))
                assert of(registry, "queue_depth")["announced"] == 0

    asyncio.run(main())
