"""CIDs: one text form, one binary form, and no way to make one that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.cid import DAG_CBOR, RAW, Cid
from atdata.protocol.errors import InvalidCid

RAW_ABC = "bafkreif2pall7dybz7vecqka3zo24irdwabwdi4wc55jznaq75q7eaavvu"
EMPTY_MAP = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"


def test_known_cids() -> None:
    assert str(Cid.of(b"abc", RAW)) == RAW_ABC
    assert str(Cid.of(b"\xa0")) == EMPTY_MAP


def test_parts() -> None:
    cid = Cid.parse(RAW_ABC)
    assert cid.codec == RAW
    assert cid.raw == bytes.fromhex("01551220") + cid.digest
    assert cid.digest.hex().startswith("ba7816bf8f01cfea")


@given(st.binary(), st.sampled_from([DAG_CBOR, RAW]))
def test_round_trip(data: bytes, codec: int) -> None:
    cid = Cid.of(data, codec)
    assert Cid.parse(str(cid)) == cid == Cid.from_bytes(cid.raw)
    assert hash(Cid.parse(str(cid))) == hash(cid)


@given(st.binary(), st.integers(0, 57))
def test_every_digit_counts(data: bytes, place: int) -> None:
    text = str(Cid.of(data))
    for digit in "a7":
        changed = text[: place + 1] + digit + text[place + 2 :]
        try:
            assert (Cid.parse(changed) == Cid.parse(text)) == (changed == text)
        except InvalidCid:
            assert changed != text


WRONG_TEXT: list[object] = [
    "",
    RAW_ABC[:-1],
    RAW_ABC + "a",
    RAW_ABC + "\n",
    RAW_ABC.upper(),
    "z" + RAW_ABC[1:],
    RAW_ABC[:-1] + "v",  # the last digit's spare bits are not zero
    "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR",
    "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",  # codec dag-pb
    "b" * 10_000_000,
    RAW_ABC.encode(),
    None,
]


@pytest.mark.parametrize("text", WRONG_TEXT, ids=range(len(WRONG_TEXT)))
def test_wrong_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidCid) as caught:
        Cid.parse(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("head", ["01711320", "01711221", "02711220", "01701220", "00711220"])
def test_other_versions_codecs_and_hashes_are_refused(head: str) -> None:
    with pytest.raises(InvalidCid):
        Cid.from_bytes(bytes.fromhex(head) + bytes(32))


@pytest.mark.parametrize("raw", [b"", bytes(36), bytes(10**7), "text", None])
def test_wrong_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidCid) as caught:
        Cid(raw)
    assert len(str(caught.value)) < 300


def test_unknown_codec_is_refused() -> None:
    with pytest.raises(InvalidCid, match="codec 0x70"):
        Cid.of(b"", 0x70)
