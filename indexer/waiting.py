"""What happens to a repo while it is being fetched: kept, to be laid over the snapshot.

Pure. The rule protected here is invariant 4: a repo counts as synced only if every commit that we
know of is in the snapshot or follows it without a gap. What does not fit here (a flood of commits)
makes the repo count as not synced; it is fetched again.
"""

from __future__ import annotations

from dataclasses import dataclass

from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Tid
from indexer.verify import Head, VerifiedCommit

MAX_COMMITS = 2_000
MAX_BYTES = 16_000_000  # of records, in the commits of one repo


@dataclass(frozen=True, slots=True)
class Continuation:
    """What follows a snapshot. ``commits`` by rev, each once; ``head`` is the repo's after them;
    ``complete``: nothing that we know of is missing."""

    commits: tuple[VerifiedCommit, ...]
    head: Head
    complete: bool


class Waiting:
    """Of one repo, from the moment at which its fetch begins."""

    def __init__(self, *, max_commits: int = MAX_COMMITS, max_bytes: int = MAX_BYTES) -> None:
        self._max_commits, self._max_bytes = max_commits, max_bytes
        self._commits: list[VerifiedCommit] = []
        self._bytes = 0
        self._announced: Tid | None = None
        self.moved = False
        """The identity or the account changed: what is being fetched may be of the PDS before."""

    @property
    def commits(self) -> int:
        """How many are kept."""
        return len(self._commits)

    @property
    def bytes(self) -> int:
        """Of the records in them."""
        return self._bytes

    def add(self, commit: VerifiedCommit) -> None:
        """A verified commit arrived. Beyond the limits only its rev is remembered."""
        size = sum(len(op.record or b"") for op in commit.ops)
        if len(self._commits) < self._max_commits and self._bytes + size <= self._max_bytes:
            self._commits.append(commit)
            self._bytes += size
        self.announce(commit.rev)

    def announce(self, rev: Tid) -> None:
        """A signature vouches for ``rev``, whether or not we know what it changed."""
        if self._announced is None or rev > self._announced:
            self._announced = rev

    def after(self, snapshot: Head) -> Continuation:
        """The commits above the snapshot. One that follows a gap is among them: the signed tree
        proves its ops, but not that they are all."""
        rev: Tid = snapshot.rev
        data: Cid = snapshot.data
        following: list[VerifiedCommit] = []
        complete = True
        for commit in sorted(self._commits, key=lambda commit: commit.rev):
            if commit.rev > rev:
                complete = complete and (commit.since, commit.prev_data) == (rev, data)
                following.append(commit)
                rev, data = commit.rev, commit.data
        complete = complete and (self._announced is None or self._announced <= rev)
        return Continuation(tuple(following), Head(snapshot.did, rev, data), complete)
