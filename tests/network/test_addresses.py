"""Invariant 9, the decisions: which URLs, addresses and redirects the guarded client refuses."""

from __future__ import annotations

import pytest

from atdata.network.addresses import Params, redirected, refusal, target_of
from atdata.protocol.errors import BlockedAddress

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]
PRIVATE = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
    *("192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *(
        "255.255.255.255",
        "192.88.99.1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "fec0::1",
    ),
    *("2001:db8::1", "3fff::1", "100::1", "5f00::1", "64:ff9b:1::1"),
    # an IPv4 address inside: mapped, compatible, NAT64, 6to4, Teredo
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::a00:1"),
    *("2002:a00:1::1", "2002:7f00:1::1", "2001:0:a00:1::f5ff:fffe"),
    *("", "localhost", "10.0.0.1/8", "1.2.3", "fe80::1%eth0", "0x7f.1"),
]


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("dev", [False, True])
def test_public_addresses_may_be_fetched(address: str, dev: bool) -> None:
    assert refusal(address, dev=dev) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_only_in_development(address: str) -> None:
    assert refusal(address, dev=False) is not None
    assert refusal(address, dev=True) is None


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("dev", [False, True])
def test_other_addresses_never(address: str, dev: bool) -> None:
    assert refusal(address, dev=dev) is not None


def test_a_url_is_taken_apart_once() -> None:
    target = target_of("https://EXAMPLE.com:8443/a%20b?x=1#frag", dev=False, params={"y": "ü&"})
    assert (target.scheme, target.host, target.port) == ("https", "example.com", 8443)
    assert target.path == "/a%20b?x=1&y=%C3%BC%26"
    assert target.origin == "https://example.com:8443"


def test_parameters_of_every_type() -> None:
    params: Params = {"s": "a", "n": 5, "flag": True, "list": ["p", "q"], "none": None}
    assert target_of("https://a.com", dev=False, params=params).path == (
        "/?s=a&n=5&flag=true&list=p&list=q"
    )


def test_an_ipv6_host_keeps_its_brackets_in_the_url() -> None:
    target = target_of("https://[2606:4700::1111]/x", dev=False)
    assert target.host == "2606:4700::1111"
    assert target.url == "https://[2606:4700::1111]/x"


def test_messages_show_no_query() -> None:
    assert "secret" not in str(target_of("https://a.com/p?token=secret", dev=False))


REFUSED_URLS = [
    *("ftp://a.com/", "file:///etc/passwd", "pipe:cat", "gopher://a.com", "data:,x", "//a.com/x"),
    *("a.com", "", "https://", "https:///x", "https://user@a.com/", "https://u:p@a.com/"),
    *("https://a.com:0/", "https://a.com:99999/", "https://a.com:port/", "https://[::1/"),
    *(
        "https://a.com/a b",
        "https://a.com/\r\nHost: b",
        "https://a.com\\@b.com/",
        "https://a\x00.com",
    ),
    *(" https://a.com/", "https://a.com/" + "x" * 9000, "javascript:alert(1)"),
]


@pytest.mark.parametrize("url", REFUSED_URLS)
@pytest.mark.parametrize("dev", [False, True])
def test_refused_urls(url: str, dev: bool) -> None:
    with pytest.raises(BlockedAddress):
        target_of(url, dev=dev)


def test_http_only_in_development() -> None:
    with pytest.raises(BlockedAddress, match="only https"):
        target_of("http://a.com/", dev=False)
    assert target_of("http://a.com/", dev=True).port == 80


def test_refusals_do_not_repeat_passwords_or_queries() -> None:
    with pytest.raises(BlockedAddress) as refused:
        target_of("https://user:hunter2@a.com/?q=hunter2", dev=False)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(BlockedAddress) as refused:
        target_of("http://a.com/?q=hunter2", dev=False)
    assert "hunter2" not in str(refused.value)


def test_redirects_are_relative_to_where_they_came_from() -> None:
    start = target_of("https://a.com/x/y?q=1", dev=False)
    assert redirected(start, "../z", dev=False).url == "https://a.com/z"
    assert redirected(start, "//b.com/z", dev=False).url == "https://b.com/z"
    assert redirected(start, "https://c.com", dev=False).url == "https://c.com/"


@pytest.mark.parametrize(
    "location", ["http://a.com/", "file:///x", "https://u@b.com", "https://[x/"]
)
def test_redirects_that_are_refused(location: str) -> None:
    with pytest.raises(BlockedAddress):
        redirected(target_of("https://a.com/", dev=True), location, dev=True)
