"""Identifiers: what they mean beyond being valid, and what hostile text does to them (nothing)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol import syntax
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.string_formats import FORMATS
from atdata.protocol.syntax import AtUri, BlobUri, Did, Handle, Nsid, RecordKey, Tid

PARSERS: list[Callable[[str], object]] = [BlobUri.parse, *FORMATS.values()]

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
handles = st.lists(labels, min_size=2, max_size=4).map(".".join)
dids = st.from_regex(r"did:[a-z]{1,8}:[a-zA-Z0-9._:%-]{0,40}[a-zA-Z0-9._-]", fullmatch=True)
nsids = st.builds(
    lambda domain, name: f"{domain}.{name}", handles, st.from_regex("[a-zA-Z]{1,9}", fullmatch=True)
)
record_keys = st.from_regex(r"[a-zA-Z0-9_~.:-]{1,40}", fullmatch=True).filter(
    lambda key: key not in {".", ".."}
)


# --- hostile input -------------------------------------------------------------------------------

HOSTILE: list[object] = [
    "",
    "\0",
    "did:plc:abc\n",
    "example.com\n",
    "3jzfcijpj2z2a\n",
    "2024-01-01T00:00:00Z\n",
    "a" * 10_000_000,
    "at://" + "a." * 5000 + "com",
    "did:plc:" + "%" * 2000 + "\x7f",
    "a-" * 126 + "!",
    "\ud800.example.com",
    "２０２４-01-01T00:00:00Z",
    b"did:plc:abc",
    10**5000,
    None,
    ["did:plc:abc"],
]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_input_is_refused_and_the_message_is_short(
    parser: Callable[[object], object], value: object
) -> None:
    with pytest.raises(InvalidSyntax) as caught:
        parser(value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@given(st.text(max_size=60) | handles | dids | nsids)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parser in PARSERS:
        with contextlib.suppress(InvalidSyntax):
            parser(text)


# --- names ---------------------------------------------------------------------------------------


def test_did_method() -> None:
    assert Did.parse("did:web:example.com%3A8080").method == "web"


def test_handle_is_lower_cased() -> None:
    assert Handle.parse("Alice.Example.COM") == "alice.example.com"


def test_nsid_authority_is_the_domain() -> None:
    nsid = Nsid.parse("Ac.foundation.dataset.sampleSchema")
    assert nsid.authority == "dataset.foundation.ac"
    assert nsid.name == "sampleSchema"


def test_at_identifier_is_a_did_or_a_handle() -> None:
    assert type(syntax.parse_at_identifier("did:plc:abc")) is Did
    assert type(syntax.parse_at_identifier("alice.test")) is Handle


# --- TIDs ----------------------------------------------------------------------------------------

times = st.integers(0, 2**53 - 1)
clock_ids = st.integers(0, 1023)


def test_tid_is_a_number_in_sortable_base32() -> None:
    tid = Tid.parse("3jzfcijpj2z2a")
    digits = str.maketrans("234567abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghijklmnopqrstuv")
    assert tid.timestamp_us << 10 | tid.clock_id == int(tid.translate(digits), 32)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=tid.timestamp_us)
    assert moment.year == 2023


@given(times, clock_ids)
def test_tid_round_trip(us: int, clock_id: int) -> None:
    tid = Tid.from_parts(us, clock_id)
    assert Tid.parse(tid) == tid
    assert (tid.timestamp_us, tid.clock_id) == (us, clock_id)


@given(st.tuples(times, clock_ids), st.tuples(times, clock_ids))
def test_tids_sort_as_text_like_their_numbers(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (Tid.from_parts(*one) < Tid.from_parts(*other)) == (one < other)


@pytest.mark.parametrize(("us", "clock_id"), [(-1, 0), (2**53, 0), (0, -1), (0, 1024)])
def test_tid_parts_out_of_range(us: int, clock_id: int) -> None:
    with pytest.raises(InvalidSyntax, match="out of range"):
        Tid.from_parts(us, clock_id)


# --- AT URIs -------------------------------------------------------------------------------------


def test_at_uri_as_the_library_documents_it() -> None:
    text = "at://did:plc:abc123/ac.foundation.dataset.sampleSchema/xyz"
    uri = AtUri.parse(text)
    assert uri.authority == "did:plc:abc123"
    assert uri.collection == "ac.foundation.dataset.sampleSchema"
    assert uri.rkey == "xyz"
    assert str(uri) == text
    assert (type(uri.authority), type(uri.collection), type(uri.rkey)) == (Did, Nsid, RecordKey)


def test_at_uri_may_end_early() -> None:
    assert AtUri.parse("at://Alice.test") == AtUri(Handle("alice.test"))
    assert AtUri.parse("at://did:plc:a/a.b.c") == AtUri(Did("did:plc:a"), Nsid("a.b.c"))


def test_at_uri_of_parts_checks_them() -> None:
    assert str(AtUri.of("did:plc:a", "a.b.c", "k")) == "at://did:plc:a/a.b.c/k"
    with pytest.raises(InvalidSyntax):
        AtUri.of("did:plc:a", "a.b.c", "k/l")


@given(handles | dids, nsids, record_keys)
def test_at_uri_round_trip(authority: str, collection: str, rkey: str) -> None:
    text = f"at://{authority}/{collection}/{rkey}"
    assert str(AtUri.parse(text)) == text


def test_at_uri_names_itself_and_the_part_that_is_wrong() -> None:
    with pytest.raises(InvalidSyntax, match=r"not a valid AT URI: 'blob' is not a valid NSID"):
        AtUri.parse("at://did:plc:abc/blob/bafk")


# --- blob URIs -----------------------------------------------------------------------------------


@given(dids, st.binary())
def test_blob_uri_round_trip(did: str, blob: bytes) -> None:
    uri = BlobUri(Did(did), Cid.of(blob, RAW))
    assert BlobUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "at://did:plc:abc/blob",
        "at://did:plc:abc/blob/bafk",
        "at://alice.test/blob/bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity",
        "at://did:plc:abc/blobs/bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity",
        "at://did:plc:abc/blob/bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity/",
    ],
)
def test_not_a_blob_uri(text: str) -> None:
    with pytest.raises(InvalidSyntax):
        BlobUri.parse(text)


# --- datetimes -----------------------------------------------------------------------------------


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001
    st.integers(-23 * 60 - 59, 23 * 60 + 59).filter(bool),
)
def test_datetime_means_what_python_means(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert syntax.parse_datetime(moment.isoformat()) == moment
    assert syntax.parse_datetime(moment.isoformat()).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1985-04-12T23:20:50.1235678912345Z", "1985-04-12T23:20:50.123567+00:00"),
        ("1985-04-12T23:20:50.1Z", "1985-04-12T23:20:50.100000+00:00"),
        ("1985-04-12T23:20:50+01:45", "1985-04-12T21:35:50+00:00"),
        # Python's years are 1…9999 and its UTC has to stay inside them.
        ("0000-02-29T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_datetime_in_utc(text: str, expected: str) -> None:
    assert syntax.parse_datetime(text).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29T00:00:00Z",
        "1985-04-12T24:00:00Z",
        "1985-04-12T23:20:50+24:00",
        "1985-04-12T23:20:50+01:60",
        "1985-04-12T23:20:50-00:00",
        "1985-04-12T23:20:50." + "1" * 21 + "Z",
    ],
)
def test_datetime_that_is_none(text: str) -> None:
    with pytest.raises(InvalidSyntax):
        syntax.parse_datetime(text)


# --- languages and URIs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["x", "en-x", "en-a", "en-u-x-y", "en-a-b-foo", "i", "en--us", "en-toolongsub"]
)
def test_language_that_is_not_well_formed(text: str) -> None:
    assert not syntax.is_language(text)


@pytest.mark.parametrize(
    "text", ["x-a-a", "en-x-a-a", "en-a-extended-extended", "de-1901-a-1901-b-1901"]
)
def test_language_where_repeating_is_allowed(text: str) -> None:
    assert syntax.is_language(text)


@pytest.mark.parametrize("text", ["s3://bucket/key", "git+ssh://host/path", "urn:x:y"])
def test_uri_schemes_may_have_digits_and_plus(text: str) -> None:
    assert syntax.is_uri(text)
