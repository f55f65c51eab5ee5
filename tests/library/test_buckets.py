"""Where the shards of a bucket are, and what is no bucket at all."""

from __future__ import annotations

import pytest

from atdata.buckets import bucket_urls
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.records import S3Shard, S3Storage


def urls(*keys: str, **place: str) -> list[str]:
    return bucket_urls(
        S3Storage(**{"bucket": "shelf", "shards": tuple(map(S3Shard, keys)), **place})
    )


@pytest.mark.parametrize(
    ("place", "base"),
    [
        ({}, "https://s3.amazonaws.com/shelf/"),
        ({"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/shelf/"),
        ({"endpoint": "https://s3.example.org"}, "https://s3.example.org/shelf/"),
        ({"endpoint": "https://s3.example.org/"}, "https://s3.example.org/shelf/"),
        ({"endpoint": "https://x.org:9000/s3", "region": "auto"}, "https://x.org:9000/s3/shelf/"),
        ({"bucket": "my.shelf_2"}, "https://s3.amazonaws.com/my.shelf_2/"),
    ],
)
def test_shards_are_under_their_endpoint_and_bucket(place: dict[str, str], base: str) -> None:
    assert urls("v1/0.tar", "v1/1.tar", **place) == [base + "v1/0.tar", base + "v1/1.tar"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b.tar", "a%20b.tar"),
        ("a+b?c#d.tar", "a%2Bb%3Fc%23d.tar"),
        ("ä.tar", "%C3%A4.tar"),
        ("a%2Fb.tar", "a%252Fb.tar"),
        ("{0..9}.tar", "%7B0..9%7D.tar"),
        ("a\\b\r\n.tar", "a%5Cb%0D%0A.tar"),
        ("..a/b...tar", "..a/b...tar"),
    ],
)
def test_a_key_is_text_and_no_part_of_the_address(key: str, path: str) -> None:
    assert urls(key) == [f"https://s3.amazonaws.com/shelf/{path}"]


@pytest.mark.parametrize("key", ["../other/a.tar", "a/../../b", "./a", "a//b", "/a", "a/", ""])
def test_a_key_that_leads_elsewhere_is_refused(key: str) -> None:
    with pytest.raises(InvalidRecord, match="/storage/shards/1/key"):
        urls("fine.tar", key)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("bucket", value)
            for value in ("", ".", "..", "a/b", "a b", "a?b", "{0..9}", "ä", "a\n")
        ),
        *(("region", value) for value in ("", "eu/", "x.example.org/", "a@b", "EU", "a\n")),
        *(("endpoint", value) for value in ("", "s3.example.org", "https://", "https://[x/")),
        *(("endpoint", f"https://example.org/{end}") for end in ("?a=", "#", "{0..9}")),
    ],
)
def test_what_is_no_bucket_region_or_endpoint(name: str, value: str) -> None:
    with pytest.raises(InvalidRecord, match=f"/storage/{name}"):
        urls("a.tar", **{name: value})
