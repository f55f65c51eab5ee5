"""``python -m tests.soak --kills 1000 --frames 1000000``: the long versions of two tests.

Prints its progress, and fails with the first thing that is not as it should be.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import structlog

from tests.soak import kills, malformed


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill the indexer, and feed it malformed frames.")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    # Each dropped frame is a warning, and here there are a million.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {arguments.seed}", flush=True)
    if arguments.frames:
        over_socket = max(1, arguments.frames // malformed.OVER_SOCKET)
        print(f"{arguments.frames:,} malformed frames, in process", flush=True)
        malformed.in_process(arguments.frames, arguments.seed)
        print(f"{over_socket:,} malformed frames, over a socket", flush=True)
        malformed.over_a_socket(over_socket, arguments.seed)
    if arguments.kills:
        # Short lives must make headway: the cursor is written often, also while only noise passes.
        os.environ["ATDATA_INDEXER_FLUSH_SECONDS"] = "0.05"
        kills.over_replays(arguments.kills - arguments.kills // 2, arguments.seed)
        kills.over_devnet_traffic(arguments.kills // 2, arguments.seed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        malformed.serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
