"""The indexer's queues by name: all that waits for something, and how much of it may.

Pure. The rule protected here is invariant 8, that it can be watched: whoever holds a queue tells
its depth under a name of its own. A container of the code that is neither here nor known to be no
queue fails ``tests/indexer/test_queues.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Queue(StrEnum):
    """What the metrics call it."""

    # --- between the sources and the writer
    FRAMES = "frames"
    """Frames in memory, and runs of frames that do not matter."""
    FRAME_BYTES = "frame_bytes"
    """Bytes of the frames in memory."""
    SPILLED_FRAMES = "spilled_frames"
    """Frames of repos that flood, which wait in a file."""
    SPILL_BYTES = "spill_bytes"
    """What that file takes."""
    LANES = "lanes"
    """Repos of which a frame waits."""
    UNDER_WAY = "under_way"
    """Repos of which a frame was handed over that the writer is not done with."""

    # --- at the writer
    WRITER = "writer"
    """Pieces of work for the writer's thread, the one under way among them."""
    PROVING = "proving"
    """Repos whose events are being proved, since somebody must be asked for it."""

    # --- repos that are not synced
    RESYNC = "resync"
    """Repos that wait to be fetched."""
    HOSTS = "hosts"
    """Those of them that wait for a place at their PDS."""
    FETCHES = "fetches"
    """Repos that are being fetched."""
    AGAIN = "again"
    """Those of them that are fetched once more after it."""
    TURN_COMMITS = "turn_commits"
    """Verified commits that wait for the fetch of their repo to end."""
    TURN_BYTES = "turn_bytes"
    """Bytes of the records in them."""
    ANNOUNCED = "announced"
    """Repos of which a newer rev is known than any commit brought."""

    SWEEP = "sweep"
    """Repos that the sweep under way asks their PDSes about."""

    # --- what the directory could not be asked
    PARKED = "parked"
    """Events, in the quarantine, that wait for the directory to answer."""
    DOUBTFUL = "doubtful"
    """Identities that are asked for again, at the last look."""

    # --- what was not indexed
    QUARANTINE = "quarantine"
    """Drops that are kept with their bytes."""
    QUARANTINE_BYTES = "quarantine_bytes"
    INVALID = "invalid"
    """Records that are not valid, kept to be judged again."""
    INVALID_BYTES = "invalid_bytes"


Depths = Mapping[Queue, int]
