"""The state of the index in words: what a source does, why something was kept out, how long. Pure.

Rule: a page says what ``getIndexStatus`` says and nothing more; the time comes from the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from atdata.protocol.status_views import IndexStatus, SourceStatus

BEHIND = 60  # seconds; a source whose last event was older when it came is behind
STILL = 15  # seconds; whoever has more to tell of what is past goes on within these
QUIET = 120  # seconds; a source of which nothing was heard for longer is quiet
_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

# One sentence for each reason that the indexer counts.
REASONS = {
    "oversized_frame": "A message longer than the protocol allows.",
    "invalid_framing": "A message that is not a header and a body.",
    "invalid_cbor": "A message that is not valid DAG-CBOR.",
    "unknown_op": "A kind of message that this version does not know.",
    "unknown_type": "A kind of event that this version does not know.",
    "invalid_seq": "An event without a proper sequence number.",
    "invalid_event": "An event with a missing or wrong field.",
    "invalid_car": "A commit whose archive of blocks cannot be read.",
    "block_hash_mismatch": "A block that is not what its identifier says.",
    "invalid_commit": "A commit that is not one of version 3.",
    "envelope_mismatch": "An event that says otherwise than the commit signed in it.",
    "invalid_key": "An account without a usable signing key.",
    "bad_signature": "A signature that is not the account’s.",
    "identity_not_found": "An account that the directory does not know.",
    "identity_unavailable": "The directory could not be asked; the commit is kept for later.",
    "inactive_account": "An account that is deactivated, suspended or deleted.",
    "not_its_pds": "Word of an account from a host that is not its own.",
    "oversized_repo": "More records of one account than this index takes.",
    "stale_account": "Word of an account after another source had told of something later.",
    "too_big": "A commit too big for one event; its repository is fetched instead.",
    "future_rev": "A commit dated in the future.",
    "stale_rev": "A commit that is not newer than what is known.",
    "forked_rev": "Two different commits of one revision: somebody signs two histories.",
    "invalid_op": "A change that contradicts itself.",
    "op_cid_mismatch": "A change that the signed tree does not have.",
    "missing_block": "A commit that lacks a block that its proof needs.",
    "invalid_mst": "A tree that breaks the rules.",
    "missing_prev_data": "A commit that does not say what came before; its repository is fetched.",
    "inversion_mismatch": "Changes that are not the whole difference; the repository is fetched.",
    "key_collision": "A record made to take the place of another one.",
    "invalid_record_cbor": "A record that is not valid DAG-CBOR.",
    "invalid_record": "A record that no known version of its lexicon explains.",
    "oversized_record": "A record longer than 1 MB.",
    "stream_error": "The source said that something is wrong, and closed.",
}


@dataclass(frozen=True, slots=True)
class State:
    """``kind`` is the colour of the words."""

    kind: Literal["good", "slow", "bad"]
    words: str


def source_state(source: SourceStatus, now: datetime) -> State:
    """What the source does, the worst first."""
    if source.halted_because is not None:
        return State("bad", "Halted")
    if source.last_seen_at is None:
        return State("slow", "Not heard of so far")
    if source.unhealed_gaps:
        return State("slow", "Followed, with a gap that is being closed")
    silence = (now - datetime.fromisoformat(source.last_seen_at)).total_seconds()
    if (source.lag_seconds or 0) > BEHIND:
        if silence <= STILL:
            return State("slow", f"Followed, {duration(source.lag_seconds or 0)} behind")
        age = duration(int(silence) + (source.lag_seconds or 0))
        return State("good", f"Followed, nothing new: its last event is {age} old")
    if silence > QUIET:
        return State("good", "Followed, nothing new")
    return State("good", "Followed")


def index_state(status: IndexStatus, now: datetime) -> State:
    """How the index is as a whole."""
    kinds = {source_state(source, now).kind for source in status.sources}
    if not kinds:
        return State("slow", "Nothing is followed so far.")
    if kinds == {"bad"}:
        return State("bad", "Every source is halted: what is published now is not seen.")
    if "bad" in kinds:
        return State("bad", "A source is halted: what only it tells of is not seen.")
    if "slow" in kinds or _waiting(status):
        return State("slow", "The index is catching up.")
    return State("good", "The index has all that its sources told.")


def _waiting(status: IndexStatus) -> bool:
    return bool(status.unsynced_repos) or status.text_changes < status.changes


def reason(name: str) -> str:
    """Why something was kept out; the bare name of a reason that is not known here."""
    return REASONS.get(name, name)


def duration(seconds: int) -> str:
    """In the two largest units: 21744 → ``6 h 2 min``."""
    for place, (unit, length) in enumerate(_UNITS):
        if seconds >= length:
            whole, rest = divmod(seconds, length)
            return " ".join([_counted(whole, unit), *_smaller(rest, _UNITS[place + 1 : place + 2])])
    return "0 s"


def _smaller(seconds: int, units: Sequence[tuple[str, int]]) -> list[str]:
    return [_counted(seconds // length, unit) for unit, length in units if seconds >= length]


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if unit == 'day' and number != 1 else ''}"


def utc(timestamp: str) -> str:
    """A timestamp of ours to the second: ``22 Nov 2026, 16:22:26 UTC``."""
    return f"{datetime.fromisoformat(timestamp):%-d %b %Y, %H:%M:%S} UTC"
