"""Keys are a function of the text alone, and fit a signed 64-bit column."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.keys import key_of


def test_a_key_is_the_first_63_bits_of_sha256() -> None:
    uri = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/ac.foundation.dataset.record/3jzfcijpj2z2a"
    bits = bin(int(hashlib.sha256(uri.encode()).hexdigest(), 16))[2:].zfill(256)
    assert key_of(uri) == int(bits[:63], 2)


@given(st.text())
def test_keys_are_never_negative_and_fit_63_bits(text: str) -> None:
    assert 0 <= key_of(text) < 2**63


def test_text_that_is_no_unicode_has_a_key_too() -> None:
    assert key_of("\ud800") != key_of("\ud801")
