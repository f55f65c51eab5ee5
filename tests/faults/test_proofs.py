"""Faults of proofs: commits that are forged, of a rotated key, or that nobody can vouch for now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Tid
from indexer.database import open_database
from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as, stored_tables
from tests.faults.scenes import asked, drops, states
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import (
    NOW_US,
    P256,
    Message,
    Repo,
    SigningKey,
    create,
    delete,
    identity,
    unchecked_car,
    update,
)

CATS, DOGS, NEWTS = (f"{DATASET}/{name}" for name in ("cats", "dogs", "newts"))
OTHER = Cid.of(b"other")
Forge = Callable[[Repo, Message], list[Message]]


def refused(db: Path, *forges: Forge, proves_newer: bool) -> int:
    """Let each of ``forges`` make bad messages of the second commit of a repo of its own, and see
    that they change no row and cause no fetch but of the key. If they are not signed, the genuine
    commits then go through as if nothing had been; if they prove that the repos moved on, these are
    marked, and fetched once their PDS can be had. Returns how many were refused."""
    sent: list[Message] = []

    async def main() -> None:
        with open_database(db) as connection:
            async with Firehose() as net:
                repos = [new_repo(net, number) for number in range(len(forges))]
                new_repo(net, 99)
                await net.send(*(first_commit(repo, "cats", "dogs", "mice") for repo in repos))
                async with running(net, db, connection=connection) as indexer:
                    await reached(indexer, net)
                    before = stored_tables(connection)
                    net.asked.clear()
                    net.pds_is_down = True
                    genuine = [
                        repo.commit(
                            update(CATS, dataset("lions")),
                            delete(DOGS),
                            create(NEWTS, dataset("newts")),
                        )
                        for repo in repos
                    ]
                    for forge, repo, message in zip(forges, repos, genuine, strict=True):
                        sent.extend(forge(repo, message))
                    await net.send(*sent)
                    await reached(indexer, net)
                    assert stored_tables(connection) == before
                    query = "SELECT sync_state FROM repos"
                    state = "desynchronized" if proves_newer else "synced"
                    assert connection.cursor().execute(query).fetchall() == [(state,)] * len(repos)
                    net.pds_is_down = False
                    if not proves_newer:
                        assert not any("xrpc" in path for path in net.asked)
                        await net.send(*genuine)
                        await reached(indexer, net)
                        assert asked(net, "getRepo") == 0
                    await settled(indexer)
                same_as(Model.of(net), connection)

    asyncio.run(main())
    return len(sent)


def signed_again(repo: Repo, message: Message, **signed: Any) -> Message:
    """The same commit with another commit object."""
    root, block = repo.signed_commit(**signed)
    blocks = message.blocks
    del blocks[message.body["commit"].raw]
    blocks[root.raw] = block
    return message.having(commit=root, blocks=unchecked_car([root], blocks.items()))


def with_op(message: Message, i: int, **fields: Any) -> Message:
    ops = [dict(op) for op in message.body["ops"]]
    ops[i].update(fields)
    return message.having(ops=ops)


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.fault(11)
def test_what_is_not_signed_by_the_account_changes_nothing(fault: Fault, db: Path) -> None:
    def forge(repo: Repo, message: Message) -> list[Message]:
        unsigned = signed_again(repo, message, sig=b"")
        strangers = [signed_again(repo, message, key=SigningKey(c, 99)) for c in ("k256", "p256")]
        return [unsigned, signed_again(repo, message, sig=bytes(64)), *strangers]

    count = refused(db, forge, proves_newer=False)
    assert drops(db) == {"bad_signature": count}
    fault.fired(count)


@pytest.mark.fault(11)
def test_a_bad_signature_makes_us_ask_for_the_key_once(fault: Fault, db: Path) -> None:
    """Of a repo whose key is known: one refresh, however many forgeries come at once."""
    seconds = [0.0]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db, seconds=lambda: seconds[0]) as indexer:
                await reached(indexer, net)
                net.asked.clear()
                seconds[0] += 10
                genuine = repo.commit(create(DOGS, dataset("dogs")))
                forged = signed_again(repo, genuine, key=P256)
                await net.send(forged, forged, forged)
                await reached(indexer, net)
                assert net.asked == [f"/{repo.did}"]
                await net.send(genuine)
                await reached(indexer, net)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"bad_signature": 3}
    fault.fired(3)


@pytest.mark.fault(12)
@pytest.mark.parametrize("late", [True, False], ids=["no #identity yet", "#identity later"])
def test_a_key_that_was_rotated_is_found_before_the_identity_event(
    fault: Fault, db: Path, late: bool
) -> None:
    seconds = [0.0]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db, seconds=lambda: seconds[0]) as indexer:
                await reached(indexer, net)
                net.asked.clear()
                seconds[0] += 10
                repo.key = P256
                net.knows(repo.did, P256)
                await net.send(repo.commit(create(DOGS, dataset("dogs"))))
                if not late:
                    await net.send(identity(repo.did))
                await net.send(repo.commit(create(NEWTS, dataset("newts"))))
                await reached(indexer, net)
            assert drops(db) == {}
            assert asked(net, "getRepo") == 0, "accepted as it came"
            same_as(Model.of(net), db)
            fault.fired(asked(net, f"/{repo.did}"))

    asyncio.run(main())


@pytest.mark.fault(13)
def test_what_came_while_the_directory_was_down_is_applied_when_it_is_back(
    fault: Fault, db: Path
) -> None:
    """Also when we were started anew meanwhile: of an account that we know and of one that we
    don't. Until then nothing of it is believed, and nothing but the directory is asked."""

    async def main() -> None:
        async with Firehose() as net:
            known, unknown = new_repo(net, 1), new_repo(net, 2)
            await net.send(first_commit(known, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            same_as(Model.of(net), db)
            net.plc_is_down = True
            net.asked.clear()
            await net.send(known.commit(create(DOGS, dataset("dogs"))))
            await net.send(first_commit(unknown, "mice"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await until(lambda: indexer.status().quarantined == 2, lambda: "parked")
            assert {path for path in net.asked if "xrpc" in path} == set()
            assert rows(db, "SELECT did FROM repos") == [(known.did,)]
            kept = rows(db, "SELECT frame FROM quarantine ORDER BY seq")
            assert [frame for (frame,) in kept] == [frame for _, frame in net.sent[1:]]
            fault.fired(drops(db)["identity_unavailable"])
            net.plc_is_down = False
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().repos == 2, lambda: "applied")
                await settled(indexer)
                await until(lambda: indexer.status().quarantined == 0, lambda: "let go")
            same_as(Model.of(net), db)

    asyncio.run(main())


# --- what it says -----------------------------------------------------------------------------


@pytest.mark.fault(14)
def test_an_envelope_must_say_what_was_signed(fault: Fault, db: Path) -> None:
    def forge(repo: Repo, message: Message) -> list[Message]:
        return [
            message.having(repo=plc_did(99)),
            message.having(rev=Tid.from_parts(NOW_US, 0)),
            message.having(commit=OTHER),
            signed_again(repo, message, did=plc_did(99)),
            signed_again(repo, message, rev=Tid.from_parts(NOW_US, 0)),
        ]

    count = refused(db, forge, proves_newer=False)
    assert drops(db) == {"envelope_mismatch": count}
    fault.fired(count)


@pytest.mark.fault(15)
def test_a_block_with_one_byte_flipped_is_noticed(fault: Fault, db: Path) -> None:
    """In each block, in turn: commit object, tree nodes, records; first, middle and last byte."""

    def forge(repo: Repo, message: Message) -> list[Message]:
        flipped = []
        for raw, block in message.blocks.items():
            for i in {0, len(block) // 2, len(block) - 1}:
                wrong = block[:i] + bytes((block[i] ^ 1,)) + block[i + 1 :]
                flipped.append(message.with_blocks({**message.blocks, raw: wrong}))
        return flipped

    count = refused(db, forge, proves_newer=False)
    assert drops(db) == {"block_hash_mismatch": count}
    fault.fired(count)


ADDED = {"action": "create", "path": f"{DATASET}/more", "cid": OTHER}
WRONG_OPS: tuple[tuple[str, Callable[[Message], Message], str], ...] = (
    ("first left out", lambda m: m.having(ops=m.body["ops"][1:]), "inversion_mismatch"),
    ("last left out", lambda m: m.having(ops=m.body["ops"][:-1]), "inversion_mismatch"),
    ("all left out", lambda m: m.having(ops=[]), "inversion_mismatch"),
    ("one added", lambda m: m.having(ops=[*m.body["ops"], ADDED]), "op_cid_mismatch"),
    ("one twice", lambda m: m.having(ops=[*m.body["ops"], m.body["ops"][0]]), "invalid_op"),
    ("an update of another", lambda m: with_op(m, 0, prev=OTHER), "inversion_mismatch"),
    ("a delete of another", lambda m: with_op(m, 1, prev=OTHER), "inversion_mismatch"),
    ("a create of what was there", lambda m: with_op(m, 2, prev=OTHER), "invalid_op"),
    ("a create of another", lambda m: with_op(m, 2, cid=OTHER), "op_cid_mismatch"),
)


@pytest.mark.fault(16)
def test_ops_that_are_not_the_difference_are_refused(fault: Fault, db: Path) -> None:
    """Each of them; and the repos, which have provably moved on, are fetched."""
    forges = [lambda _, message, forge=forge: [forge(message)] for _, forge, _ in WRONG_OPS]
    fault.fired(refused(db, *forges, proves_newer=True))
    assert drops(db) == Counter(reason for _, _, reason in WRONG_OPS)


@pytest.mark.fault(17)
def test_a_prev_data_that_is_made_to_match_ours_does_not_pass(fault: Fault, db: Path) -> None:
    """The commit between was swallowed; the next one claims to follow the one that we hold."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            rev, data = repo.rev, repo.data
            repo.commit(delete(DOGS))
            later = repo.commit(create(NEWTS, dataset("newts")))
            assert later.body["prevData"] != data
            await net.send(later.having(prevData=data, since=rev))
            net.pds_is_down = True
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert states(db) == ["desynchronized"]
            assert rows(db, "SELECT rkey FROM records ORDER BY 1") == [("cats",), ("dogs",)]
            net.pds_is_down = False
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"inversion_mismatch": 1}
    fault.fired(drops(db)["inversion_mismatch"])


@pytest.mark.fault(19)
def test_without_prev_data_nothing_is_applied_and_the_repo_is_fetched(
    fault: Fault, db: Path
) -> None:
    def forge(repo: Repo, message: Message) -> list[Message]:
        return [message.without("prevData"), message.having(prevData=None)]

    count = refused(db, forge, proves_newer=True)
    assert drops(db) == {"missing_prev_data": count}
    fault.fired(count)


@pytest.mark.fault(21)
def test_a_rev_ahead_of_the_clock_is_refused_until_its_time_comes(fault: Fault, db: Path) -> None:
    clock = [NOW_US]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            ahead = Tid.from_parts(NOW_US + 301_000_000, 0)
            message = repo.commit(create(DOGS, dataset("dogs")), rev=ahead)
            async with running(net, db, clock=lambda: clock[0]) as indexer:
                await net.send(message)
                await reached(indexer, net)
                assert asked(net, "getRepo") == 0
                assert (indexer.status().resyncing, indexer.status().changes) == (0, 1)
                clock[0] += 2_000_000
                await net.send(message)
                await reached(indexer, net)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"future_rev": 1}
    fault.fired(drops(db)["future_rev"])


@pytest.mark.fault(21)
def test_two_datas_under_one_rev_are_refused_with_an_alarm(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            fork = Repo(did=repo.did)
            await net.send(fork.commit(create(DOGS, dataset("dogs")), rev=repo.rev))
            with capture_logs() as logs:
                async with running(net, db) as indexer:
                    await reached(indexer, net)
            alarms = [entry for entry in logs if entry["log_level"] == "error"]
            assert [alarm["did"] for alarm in alarms] == [repo.did]
            assert asked(net, "getRepo") == 0
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"forked_rev": 1}
    fault.fired(drops(db)["forked_rev"])
