"""Two PDSes under constant writes, an outage, cut sockets, a move: the index equals the PDSes."""

from __future__ import annotations

import pytest

from tests.scenarios.two_pdses import ACCOUNTS, Outcome, run

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]

SECONDS = 12.0


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("scenario"), SECONDS)


def test_the_trouble_was_real(outcome: Outcome) -> None:
    assert outcome.cuts >= 4
    assert outcome.connections >= 2 + 4
    assert outcome.failed > 0
    assert min(outcome.written) > 5
    assert len(outcome.network) == ACCOUNTS
    assert min(len(held.records) for held in outcome.network.values()) > 1


def test_the_index_equals_what_the_pdses_list_record_for_record(outcome: Outcome) -> None:
    assert outcome.index.keys() == outcome.network.keys()
    for did, held in outcome.network.items():
        assert outcome.index[did] == held


def test_the_account_that_moved_is_found_at_its_new_home(outcome: Outcome) -> None:
    """Its old PDS said that it is deactivated, and then that it is deleted."""
    assert outcome.index[outcome.moved].handle.endswith(".pds1.test")
    assert outcome.found == outcome.network.keys()
    assert outcome.drops["not_its_pds"] >= 2


def test_nothing_was_refused_that_a_real_pds_sent(outcome: Outcome) -> None:
    """What replays bring twice is stale. And once, after a move: of a repo that was imported the
    reference PDS announces a rev of its own, with the commit that the old PDS signed."""
    assert outcome.drops.keys() <= {"not_its_pds", "stale_rev", "envelope_mismatch"}
    assert outcome.drops.get("envelope_mismatch", 0) <= 1
