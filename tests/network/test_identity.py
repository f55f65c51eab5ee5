"""DIDs and handles, resolved against a directory and hosts that answer what each test says.

The servers are real ones on loopback; only the names and ports of the public hosts lead there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from atdata.network.addresses import Params
from atdata.network.http import MAX_BYTES, SECONDS, HttpClient, Policy
from atdata.network.identity import Identity, Resolver
from atdata.protocol.errors import IdentityNotFound, IdentityUnavailable, InvalidSyntax
from tests.network.local_server import Answer, LocalServer, content, in_turn, redirect, status

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
KEY = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"
WELL_KNOWN = "/.well-known/atproto-did"


class Hosts(HttpClient):
    """Leads ``https://<any host>`` to one local server, which sees ``/<host><path>``."""

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__(Policy(dev=True), sleep=lambda _seconds: None)

    def get_bytes(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = SECONDS,
    ) -> bytes:
        local = url.replace("https://", f"{self._url}/", 1)
        return super().get_bytes(
            local, params=params, headers=headers, max_bytes=max_bytes, timeout=timeout
        )


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer({}) as running:
        yield running


@pytest.fixture
def names() -> dict[str, Sequence[str]]:
    """What the name server knows: TXT records by name."""
    return {}


@pytest.fixture
def resolver(server: LocalServer, names: dict[str, Sequence[str]]) -> Resolver:
    plc, pds = f"{server.url}/plc", f"{server.url}/pds"
    return Resolver(
        Hosts(server.url), plc=plc, handle_hosts=(pds,), txt=lambda name: names.get(name, ())
    )


def document(did: str, handle: str = "alice.example.org") -> Answer:
    body: dict[str, Any] = {
        "id": did,
        "alsoKnownAs": [f"at://{handle}"],
        "verificationMethod": [
            {
                "id": f"{did}#atproto",
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": KEY,
            }
        ],
        "service": [
            {
                "id": "#atproto_pds",
                "type": "AtprotoPersonalDataServer",
                "serviceEndpoint": "https://pds.example.org",
            }
        ],
    }
    return content(json.dumps(body).encode())


# --- did:plc ------------------------------------------------------------------------------------


def test_plc(server: LocalServer, resolver: Resolver) -> None:
    server.routes[f"/plc/{ALICE}"] = document(ALICE)
    assert resolver.resolve(ALICE) == Identity(
        ALICE, "https://pds.example.org", KEY, "alice.example.org"
    )
    resolver.resolve(ALICE)
    assert server.paths() == [f"/plc/{ALICE}"]


@pytest.mark.parametrize("code", [404, 410], ids=["never registered", "tombstone"])
def test_plc_knows_no_such_did(server: LocalServer, resolver: Resolver, code: int) -> None:
    server.routes[f"/plc/{ALICE}"] = status(code, b'{"message":"DID not registered"}')
    with pytest.raises(IdentityNotFound, match=ALICE):
        resolver.resolve(ALICE)


@pytest.mark.parametrize(
    "answer",
    [
        status(500),
        status(503),
        status(400, b'{"error":"Bad","message":"x"}'),
        content(b"<html>a login page</html>"),
        document("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"),
        content(b'"' + b"x" * 1_000_000 + b'"'),
        redirect("ftp://elsewhere.example.org"),
    ],
)
def test_whatever_else_the_directory_answers_is_an_outage(
    server: LocalServer, resolver: Resolver, answer: Answer
) -> None:
    server.routes[f"/plc/{ALICE}"] = answer
    with pytest.raises(IdentityUnavailable):
        resolver.resolve(ALICE)


def test_a_directory_that_is_down(server: LocalServer) -> None:
    with LocalServer({}) as gone:
        url = gone.url
    with pytest.raises(IdentityUnavailable):
        Resolver(Hosts(server.url), plc=url).resolve(ALICE)


def test_a_directory_on_loopback_outside_development_is_refused_as_an_outage(
    server: LocalServer,
) -> None:
    with pytest.raises(IdentityUnavailable):
        Resolver(HttpClient(), plc=server.url).resolve(ALICE)
    assert server.seen == []


def test_forget_and_refresh(server: LocalServer) -> None:
    now = [0.0]
    resolver = Resolver(Hosts(server.url), plc=f"{server.url}/plc", clock=lambda: now[0])
    names = ("one.example.org", "two.example.org", "three.example.org")
    server.routes[f"/plc/{ALICE}"] = in_turn(*(document(ALICE, name) for name in names))
    assert resolver.refresh(ALICE).handle == "one.example.org"
    assert resolver.refresh(ALICE).handle == "one.example.org"
    now[0] = 10.0
    assert resolver.resolve(ALICE).handle == "one.example.org"
    assert resolver.refresh(ALICE).handle == "two.example.org"
    resolver.forget(ALICE)
    assert resolver.resolve(ALICE).handle == "three.example.org"


# --- did:web ------------------------------------------------------------------------------------


def test_web(server: LocalServer, resolver: Resolver) -> None:
    server.routes["/alice.example.org/.well-known/did.json"] = document("did:web:alice.example.org")
    assert resolver.resolve("did:web:alice.example.org").signing_key == KEY


def test_web_on_localhost_in_development(server: LocalServer, resolver: Resolver) -> None:
    did = f"did:web:localhost%3A{server.port}"
    server.routes["/.well-known/did.json"] = document(did)
    assert resolver.resolve(did).did == did
    with pytest.raises(IdentityNotFound):
        Resolver(HttpClient(), plc=server.url).resolve(did)


@pytest.mark.parametrize(
    "answer",
    [
        status(404),
        status(410),
        content(b"<html>"),
        document("did:web:other.example.org"),
        content(b"[" * 10_000),
        content(b'"' + b"x" * 1_000_000 + b'"'),
        redirect("ftp://elsewhere.example.org"),
    ],
)
def test_a_host_without_a_usable_document(
    server: LocalServer, resolver: Resolver, answer: Answer
) -> None:
    server.routes["/alice.example.org/.well-known/did.json"] = answer
    with pytest.raises(IdentityNotFound):
        resolver.resolve("did:web:alice.example.org")


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_a_host_in_trouble(server: LocalServer, resolver: Resolver, code: int) -> None:
    server.routes["/alice.example.org/.well-known/did.json"] = status(code)
    with pytest.raises(IdentityUnavailable):
        resolver.resolve("did:web:alice.example.org")


@pytest.mark.parametrize(
    "did",
    [
        "",
        "alice.example.org",
        "did:plc:short",
        "did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ",
        "did:plc:ewvi7nxzyoun6zhxrhs64oi1",
        f"{ALICE}\n",
        f"{ALICE}/../x",
        "did:web:",
        "did:web:localhost",
        "did:web:localhost%3A0",
        "did:web:127.0.0.1",
        "did:web:alice.example.org:path",
        "did:web:alice.example.org%3A8443",
        "did:web:alice.example.org%2Fpath",
        "did:web:user%40alice.example.org",
        "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        "did:example:123",
        "did:web:" + "a." * 5000 + "org",
    ],
)
def test_dids_that_lead_nowhere(server: LocalServer, resolver: Resolver, did: str) -> None:
    with pytest.raises(IdentityNotFound):
        resolver.resolve(did)
    assert server.seen == []


# --- handles ------------------------------------------------------------------------------------


def test_dns_goes_first(
    server: LocalServer, resolver: Resolver, names: dict[str, Sequence[str]]
) -> None:
    names["_atproto.alice.example.org"] = ["v=spf1", f"did={ALICE}"]
    assert resolver.resolve_handle("Alice.Example.org") == ALICE
    assert server.seen == []


def test_then_the_well_known_document(server: LocalServer, resolver: Resolver) -> None:
    server.routes[f"/alice.example.org{WELL_KNOWN}"] = content(f"  {ALICE}\r\n".encode())
    assert resolver.resolve_handle("alice.example.org") == ALICE
    assert resolver.resolve_handle("ALICE.example.org") == ALICE
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "texts", [[f"did={ALICE}", "did=did:web:b.example.org"], ["did=nonsense"], ["did="]]
)
def test_dns_that_is_no_clear_answer(
    server: LocalServer,
    resolver: Resolver,
    names: dict[str, Sequence[str]],
    texts: Sequence[str],
) -> None:
    names["_atproto.alice.example.org"] = texts
    server.routes[f"/alice.example.org{WELL_KNOWN}"] = content(ALICE.encode())
    with pytest.raises(IdentityNotFound):
        resolver.resolve_handle("alice.example.org")


def test_the_same_did_twice_is_clear(resolver: Resolver, names: dict[str, Sequence[str]]) -> None:
    names["_atproto.alice.example.org"] = [f"did={ALICE}", f"did={ALICE}"]
    assert resolver.resolve_handle("alice.example.org") == ALICE


@pytest.mark.parametrize(
    "answer", [status(404), status(401), content(b""), content(b"<html>"), content(b"x" * 10_000)]
)
def test_a_host_that_names_no_did(server: LocalServer, resolver: Resolver, answer: Answer) -> None:
    server.routes[f"/alice.example.org{WELL_KNOWN}"] = answer
    with pytest.raises(IdentityNotFound):
        resolver.resolve_handle("alice.example.org")


def test_a_host_that_cannot_be_asked(server: LocalServer, resolver: Resolver) -> None:
    server.routes[f"/alice.example.org{WELL_KNOWN}"] = status(503)
    with pytest.raises(IdentityUnavailable):
        resolver.resolve_handle("alice.example.org")


def test_name_servers_that_cannot_be_asked(server: LocalServer) -> None:
    def silent(_name: str) -> list[str]:
        raise OSError("timed out")

    server.routes[f"/alice.example.org{WELL_KNOWN}"] = content(ALICE.encode())
    resolver = Resolver(Hosts(server.url), plc=server.url, txt=silent)
    assert resolver.resolve_handle("alice.example.org") == ALICE
    with pytest.raises(IdentityUnavailable, match="timed out"):
        resolver.resolve_handle("bob.example.org")


@pytest.mark.parametrize("handle", ["", "alice", "alice..org", "@alice.org", "a b.org", ALICE])
def test_what_is_no_handle(server: LocalServer, resolver: Resolver, handle: str) -> None:
    with pytest.raises(InvalidSyntax):
        resolver.resolve_handle(handle)


@pytest.mark.parametrize("top", ["local", "internal", "arpa", "onion", "localhost", "invalid"])
def test_names_that_are_not_public(server: LocalServer, resolver: Resolver, top: str) -> None:
    with pytest.raises(IdentityNotFound):
        resolver.resolve_handle(f"alice.{top}")
    assert server.seen == []


def test_a_handle_counts_only_both_ways(
    server: LocalServer, resolver: Resolver, names: dict[str, Sequence[str]]
) -> None:
    honest = Identity(ALICE, None, None, "alice.example.org")
    names["_atproto.alice.example.org"] = [f"did={ALICE}"]
    names["_atproto.bob.example.org"] = ["did=did:web:bob.example.org"]
    assert resolver.verified_handle(honest) == "alice.example.org"
    assert resolver.verified_handle(Identity(ALICE, None, None, "bob.example.org")) is None
    assert resolver.verified_handle(Identity(ALICE, None, None, "nobody.example.org")) is None
    assert resolver.verified_handle(Identity(ALICE, None, None, None)) is None
    server.routes[f"/down.example.org{WELL_KNOWN}"] = status(503)
    with pytest.raises(IdentityUnavailable):
        resolver.verified_handle(Identity(ALICE, None, None, "down.example.org"))


def test_a_handle_that_went_to_another_account_is_asked_for_anew(
    server: LocalServer, names: dict[str, Sequence[str]]
) -> None:
    """Where that is wanted: what is remembered may be from before."""
    now = [0.0]
    resolver = Resolver(
        Hosts(server.url), plc=server.url, txt=lambda name: names[name], clock=lambda: now[0]
    )
    before, after = (
        Identity(did, None, None, "alice.example.org") for did in (ALICE, "did:web:b.example")
    )
    names["_atproto.alice.example.org"] = [f"did={before.did}"]
    assert resolver.verified_handle(before) == "alice.example.org"
    names["_atproto.alice.example.org"] = [f"did={after.did}"]
    now[0] = 10.0
    assert resolver.verified_handle(after) is None
    assert resolver.verified_handle(after, renew=True) == "alice.example.org"
    assert resolver.verified_handle(before) is None


def test_an_authority_is_a_did_or_a_handle(
    resolver: Resolver, names: dict[str, Sequence[str]]
) -> None:
    names["_atproto.alice.example.org"] = [f"did={ALICE}"]
    assert resolver.resolve_authority(ALICE) == ALICE
    assert resolver.resolve_authority("alice.example.org") == ALICE
    with pytest.raises(InvalidSyntax):
        resolver.resolve_authority("did:")


# --- handles of the devnet ----------------------------------------------------------------------


def test_test_handles_are_asked_of_the_hosts_in_development(
    server: LocalServer, resolver: Resolver
) -> None:
    path = "/pds/xrpc/com.atproto.identity.resolveHandle"
    server.routes[path] = content(json.dumps({"did": ALICE}).encode())
    assert resolver.resolve_handle("alice.pds0.test") == ALICE
    assert server.paths() == [f"{path}?handle=alice.pds0.test"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(400, b'{"error":"InvalidRequest","message":"x"}'), IdentityNotFound),
        (content(b'{"did": 5}'), IdentityNotFound),
        (content(b'{"did": "nonsense"}'), IdentityNotFound),
        (status(500), IdentityUnavailable),
    ],
)
def test_test_handles_that_no_host_knows(
    server: LocalServer, resolver: Resolver, answer: Answer, kind: type[Exception]
) -> None:
    server.routes["/pds/xrpc/com.atproto.identity.resolveHandle"] = answer
    with pytest.raises(kind):
        resolver.resolve_handle("alice.pds0.test")


def test_test_handles_do_not_exist_outside_development(server: LocalServer) -> None:
    strict = Resolver(HttpClient(), plc=server.url, handle_hosts=(server.url,))
    with pytest.raises(IdentityNotFound):
        strict.resolve_handle("alice.test")
    assert strict.verified_handle(Identity(ALICE, server.url, None, "alice.test")) is None
    assert server.seen == []
