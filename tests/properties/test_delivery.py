"""Invariant 3: state is a function of the network, not of its delivery.

Whatever order the repos are interleaved in, whatever is sent twice or again, from one source or
two, in whatever runs: the rows are those of the delivery in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.received import Received
from tests.properties.networks import Network, delivered, in_order
from tests.properties.offline import offline_index

RELAYS = ("wss://one.invalid", "wss://two.invalid")

# ``sources``, ``drops``, ``quarantine`` and ``changes`` tell of the delivery itself; so do the time
# at which a row was stored, and the seqs of the sources that an account was heard of from.
TABLES = {
    "repos": "* EXCLUDE (account_seq)",
    "records": "* EXCLUDE (indexed_at)",
    "datasets": "*",
    "dataset_tags": "*",
    "schemas": "*",
    "schema_fields": "*",
    "lenses": "*",
    "labels": "*",
    "lens_verifications": "*",
}


def state_after(runs: Iterable[list[Received]]) -> dict[str, list[Any]]:
    """The rows after these runs of frames; the change seqs are one each, without a gap."""
    with offline_index() as (processor, _, connection):
        for run in runs:
            processor.process(run)
        processor.flush()
        seqs = [s for (s,) in connection.execute("SELECT seq FROM changes ORDER BY seq").fetchall()]
        assert seqs == list(range(1, len(seqs) + 1))
        return {
            table: sorted(
                map(
                    repr,
                    connection.execute(
                        f"SELECT COLUMNS({columns})::VARCHAR FROM {table}"
                    ).fetchall(),
                )
            )
            for table, columns in TABLES.items()
        }


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([5, 15, 30]))
def test_any_delivery_that_keeps_each_repos_order_gives_the_same_rows(
    seed: int, authors: int, steps: int
) -> None:
    rng = Random(seed)
    network = Network(rng, authors, steps)
    expected = state_after(in_order(network, RELAYS[0], at_once=3))
    for sources in (RELAYS[:1], RELAYS):
        assert state_after(delivered(rng, network, sources)) == expected


def test_the_networks_of_this_test_hold_some_of_everything() -> None:
    """Or else the property would say little."""
    network = Network(Random(1), 4, 300)
    state = state_after(in_order(network, RELAYS[0], at_once=50))
    for table in ("repos", "records", "datasets", "dataset_tags", "schemas", "schema_fields"):
        assert state[table], table
    assert {message.t for message in network.events} == {
        "#commit",
        "#sync",
        "#identity",
        "#account",
    }
    assert any(message.body.get("status") == "deleted" for message in network.events)
    assert any(message.body.get("tooBig") for message in network.events)
