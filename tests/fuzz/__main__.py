"""``python -m tests.fuzz --seconds 600 --corpus FOLDER``: fuzz the frame path, coverage-guided.

What breaks a check is kept in ``tests/fuzz/found/``, where it is a test from then on; the run goes
on with the time that is left, and fails at its end.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from hashlib import sha1
from pathlib import Path

from tests.fuzz.seeds import MAX_BYTES, dictionary, seeds

FOUND = Path(__file__).parent / "found"
MAX_FOUND = 10  # in one run: whoever finds more should look at these first
_INPUT_SECONDS = 10
_MEMORY_MB = 2_048


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the path of a frame.")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it is among the development dependencies", file=sys.stderr)
        return 2
    plant(arguments.corpus)
    ends, found = time.monotonic() + arguments.seconds, 0
    while (left := int(ends - time.monotonic())) > 0 and found < MAX_FOUND:
        if fuzz(arguments.corpus, left) != 0:
            found += 1
    print(f"{found} inputs broke a check" if found else "no input broke a check")
    return 1 if found else 0


def plant(corpus: Path) -> None:
    """The seeds into ``corpus``, beside what earlier runs found worth keeping."""
    (corpus / "inputs").mkdir(parents=True, exist_ok=True)
    count = 0
    for seed in (*seeds(), *(path.read_bytes() for path in FOUND.iterdir())):
        name = sha1(seed, usedforsecurity=False).hexdigest()
        (corpus / "inputs" / name).write_bytes(seed)
        count += 1
    (corpus / "words.dict").write_text(dictionary(), encoding="ascii")
    print(f"{count} seeds, {len(list((corpus / 'inputs').iterdir()))} inputs in all", flush=True)


def fuzz(corpus: Path, seconds: int) -> int:
    """Ends early where an input breaks a check; its bytes are in ``found`` then."""
    options = {
        "max_total_time": seconds,
        "max_len": MAX_BYTES,
        "timeout": _INPUT_SECONDS,
        "rss_limit_mb": _MEMORY_MB,
        "dict": corpus / "words.dict",
        "artifact_prefix": f"{FOUND}/",
        "print_final_stats": 1,
    }
    given = [f"-{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.fuzz.fuzzer", *given, str(corpus / "inputs")]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
