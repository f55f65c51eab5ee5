"""Users, passwords and tokens in addresses stay out of every repr, error and log line."""

from __future__ import annotations

import io
import logging
import pickle
from typing import Any

import pytest

import atdata
from atdata.load import check_url
from atdata.network.addresses import target_of
from atdata.protocol.errors import (
    AtdataError,
    BlockedAddress,
    InvalidSample,
    InvalidShard,
    names_user,
    shown_url,
)
from atdata.protocol.shard_patterns import expand
from atdata.settings import Settings
from atdata.sources import URLSource
from tests.library.shards import Feature, features, shard
from tests.network.local_server import LocalServer, content

TOKEN = "sekret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h.example/a/x.tar", "https://h.example/a/x.tar"),
        ("https://h.example/x.tar?token=sekret", "https://h.example/x.tar?…"),
        ("https://h.example/x.tar#sekret", "https://h.example/x.tar?…"),
        ("https://sekret@h.example/x.tar", "https://h.example/x.tar"),
        ("HTTPS://me:se@sekret@h.example:1/@x.tar?a", "HTTPS://h.example:1/@x.tar?…"),
        ("https://me:sekret@h.example?a/@b", "https://h.example?…"),
        ("ftp://me:sekret@h.example/{0..9}.tar", "ftp://h.example/{0..9}.tar"),
        ("https:\\\\me:sekret@h.example/x", "https:\\\\h.example/x"),
        ("at://did:plc:a/blob/b", "at://did:plc:a/blob/b"),
        ("data/who?@home#1.tar", "data/who?@home#1.tar"),
        ("C:\\data\\who@home.tar", "C:\\data\\who@home.tar"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(text: str, shown: str) -> None:
    assert shown_url(text) == shown
    assert names_user(text) == ("@h." in text)


def test_a_repr_holds_no_token() -> None:
    url = f"https://h.example/{{0..4}}.tar?token={TOKEN}"
    for made in (
        atdata.Dataset(url),
        atdata.Dataset([url, url]),
        atdata.Dataset[Feature](url).as_type(Feature),
        URLSource(url),
    ):
        assert TOKEN not in repr(made)
        assert "https://h.example/{0..4}.tar" in repr(made)
    assert atdata.Dataset(url).list_shards()[4].endswith(f"/4.tar?token={TOKEN}")


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{TOKEN}@h.example/x.tar",
        f"ftp://me:{TOKEN}@h.example/x.tar",
        f"https://h.example/{{0..9..0}}/{{0..999999}}.tar?{TOKEN}",
        f"https://h.example/{{0..999999}}.tar?{TOKEN}",
        f"https://h.example/{{0..99999}}/{{0..99999}}.tar?{TOKEN}",
        f"https://h.example/ x.tar?{TOKEN}",
        f"https:///x.tar?{TOKEN}",
        f"https://[h/x.tar?{TOKEN}",
    ],
)
def test_a_refused_address_is_named_without_its_secret(url: str) -> None:
    for use in (
        atdata.Dataset,
        URLSource,
        expand,
        check_url,
        lambda url: target_of(url, dev=False),
        lambda url: target_of("x" * 9000 + url, dev=False),
    ):
        try:
            use(url)
        except AtdataError as error:
            assert TOKEN not in str(error) + repr(error)  # noqa: PT017 - and if there is none
    with pytest.raises(AtdataError):
        target_of(url.replace("{", "\\"), dev=False)


def test_of_a_command_only_the_scheme_is_named() -> None:
    for use in (atdata.Dataset, URLSource):
        with pytest.raises(BlockedAddress, match="pipe:") as caught:
            use(f"pipe:curl -u me:{TOKEN} https://h.example/x.tar")
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_user_in_an_address_is_refused_where_it_is_given(scheme: str) -> None:
    url = f"{scheme}://me:{TOKEN}@h.example"
    with pytest.raises(BlockedAddress, match="user and password") as caught:
        atdata.Dataset(f"{url}/x.tar")
    assert TOKEN not in str(caught.value)
    for settings in ({"api": url}, {"plc": url}, {"handle_hosts": (url,)}):
        with pytest.raises(ValueError, match="user and password") as refused:
            Settings(**settings)
        assert TOKEN not in str(refused.value)


def test_errors_and_logs_of_a_shard_hold_no_token(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("atdata.settings._Holder.current", Settings(dev=True))
    data = shard(features(0, 2))
    sample: Any = features(0, 1)[0]
    broken = data.replace(sample.packed, b"\xc1" * len(sample.packed))
    assert broken != data
    with LocalServer({"/b.tar": content(broken), "/c.tar": content(data[:700])}) as server:
        urls = [f"{server.url}/{name}.tar?token={TOKEN}" for name in "bc"]
        for url, kind in zip(urls, (InvalidSample, InvalidShard), strict=True):
            with pytest.raises((InvalidSample, InvalidShard)) as caught:
                list(atdata.Dataset[Feature](url))
            again = pickle.loads(pickle.dumps(caught.value))
            for error in (caught.value, again):
                assert TOKEN not in str(error) + repr(error)
                assert ".tar?…" in str(error).encode("ascii").decode("unicode_escape")
            assert isinstance(caught.value, kind)
            assert vars(caught.value)["shard"] == url, "whoever asks for it has it"
        with caplog.at_level(logging.DEBUG):
            list(atdata.Dataset[Feature](urls, on_error="skip"))
            with pytest.raises(AtdataError):
                list(atdata.Dataset[Feature](f"{server.url}/gone.tar?token={TOKEN}"))
    text = io.StringIO("\n".join(record.getMessage() for record in caplog.records)).getvalue()
    assert "skipped" in text
    assert TOKEN not in text
