"""Identifiers against the protocol's own lists of valid and invalid ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atdata.protocol import syntax
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.string_formats import FORMATS
from tests.protocol.interop_fixtures import INTEROP, accepted, lines, needs_interop

pytestmark = needs_interop("identifier syntax")

# The file's first word, how it is read, and the number of valid and invalid cases.
KINDS: list[tuple[str, Callable[[str], object], int, int]] = [
    ("atidentifier", syntax.parse_at_identifier, 11, 22),
    ("aturi", syntax.AtUri.parse, 23, 72),
    ("cid", FORMATS["cid"], 8, 10),
    ("datetime", syntax.parse_datetime, 35, 45),
    ("did", syntax.Did.parse, 24, 18),
    ("handle", syntax.Handle.parse, 71, 48),
    ("language", FORMATS["language"], 18, 7),
    ("nsid", syntax.Nsid.parse, 25, 27),
    ("recordkey", syntax.RecordKey.parse, 16, 11),
    ("tid", syntax.Tid.parse, 4, 9),
    ("uri", FORMATS["uri"], 9, 12),
]
PARSED: list[tuple[str, Callable[[str], object], int]] = [
    ("datetime", syntax.parse_datetime, 7),
    ("language", FORMATS["language"], 4),
]
NAMES = [kind[0] for kind in KINDS]


@pytest.mark.parametrize(("name", "check", "valid", "invalid"), KINDS, ids=NAMES)
def test_valid_is_accepted(
    name: str, check: Callable[[str], object], valid: int, invalid: int
) -> None:
    texts = lines(f"{name}_syntax_valid.txt", valid)
    assert accepted(check, InvalidSyntax, texts) == texts


@pytest.mark.parametrize(("name", "check", "valid", "invalid"), KINDS, ids=NAMES)
def test_invalid_is_refused(
    name: str, check: Callable[[str], object], valid: int, invalid: int
) -> None:
    assert accepted(check, InvalidSyntax, lines(f"{name}_syntax_invalid.txt", invalid)) == []


@pytest.mark.parametrize(("name", "check", "count"), PARSED, ids=["datetime", "language"])
def test_well_formed_but_meaningless_is_refused(
    name: str, check: Callable[[str], object], count: int
) -> None:
    assert accepted(check, InvalidSyntax, lines(f"{name}_parse_invalid.txt", count)) == []


def test_every_file_is_read() -> None:
    expected = {f"{name}_syntax_{how}.txt" for name in NAMES for how in ("valid", "invalid")}
    expected |= {f"{name}_parse_invalid.txt" for name, _, _ in PARSED}
    assert {path.name for path in (INTEROP / "syntax").iterdir()} == expected
