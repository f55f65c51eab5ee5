"""Semantic versions sort as https://semver.org says, and never as text."""

from __future__ import annotations

from itertools import pairwise

import pytest

from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.versions import schema_family, semver_key

ORDERED = [
    *("0.9.0", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"),
    *("1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0"),
]


def test_versions_in_order() -> None:
    for lower, higher in pairwise(ORDERED):
        assert semver_key(lower) < semver_key(higher), (lower, higher)


def test_build_metadata_does_not_count() -> None:
    assert semver_key("1.0.0+a") == semver_key("1.0.0+b")


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0\n", "1.0.0-" + "a" * 95]
)
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(InvalidSyntax):
        semver_key(version)


def test_a_family_is_an_author_and_a_name() -> None:
    assert schema_family("did:plc:abc", "Image") == "did:plc:abc/Image"
