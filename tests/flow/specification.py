"""The specification's code blocks, as written there: only hosts and logins are put in.

The one block that the flow test needs is kept here word for word, so that it runs wherever the
project is; where the specification itself is at hand, the copy is held against it.
"""

from __future__ import annotations

from pathlib import Path

SPECIFICATION = Path(__file__).resolve().parents[3] / "shared" / "spec" / "atmosphere.txt"
COMPLETE_EXAMPLE = Path(__file__).with_name("complete_example.txt")


def complete_example() -> str:
    """The block under "Complete Example"."""
    return COMPLETE_EXAMPLE.read_text(encoding="utf-8")


def for_account(block: str, *, pds: str, handle: str, password: str) -> str:
    """The block with another host and login; every replacement must find its place."""
    for written, real in (
        ("AtmosphereClient()", f"AtmosphereClient(base_url={pds!r})"),
        (
            'client.login("myhandle.bsky.social", "app-password")',
            f"client.login({handle!r}, {password!r})",
        ),
    ):
        assert block.count(written) == 1, written
        block = block.replace(written, real)
    return block
