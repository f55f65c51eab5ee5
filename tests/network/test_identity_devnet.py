"""Identity on the real PLC and PDS: registration, change of handle, both ways, outage."""

from __future__ import annotations

import pytest

from atdata.network.http import HttpClient, Policy, xrpc_error
from atdata.network.identity import Identity, Resolver
from atdata.protocol.errors import (
    FetchFailed,
    IdentityNotFound,
    IdentityUnavailable,
    XrpcError,
)
from deploy.devnet.devnet import Devnet, xrpc

pytestmark = pytest.mark.devnet


@pytest.fixture
def resolver(devnet: Devnet) -> Resolver:
    hosts = [pds.url for pds in devnet.pdses]
    return Resolver(HttpClient(Policy(dev=True)), plc=devnet.plc, handle_hosts=hosts)


def test_an_account(devnet: Devnet, resolver: Resolver) -> None:
    account = devnet.create_account(1, "ident")
    identity = resolver.resolve(account.did)
    assert (identity.did, identity.pds) == (account.did, devnet.pdses[1].url)
    assert identity.handle == account.handle
    assert identity.signing_key is not None
    assert identity.signing_key.startswith("zQ3sh")
    assert resolver.verified_handle(identity) == account.handle
    assert resolver.resolve_authority(account.handle) == account.did


def test_a_claim_is_not_enough(devnet: Devnet, resolver: Resolver) -> None:
    honest, other = (devnet.create_account(0, name) for name in ("honest", "greedy"))
    claim = Identity(other.did, other.pds_url, None, honest.handle)
    assert resolver.verified_handle(claim) is None
    nobody = Identity(other.did, other.pds_url, None, "nobody.pds0.test")
    assert resolver.verified_handle(nobody) is None


def test_a_change_of_handle(devnet: Devnet, resolver: Resolver) -> None:
    account = devnet.create_account(0, "before")
    assert resolver.resolve(account.did).handle == "before.pds0.test"
    login = {"identifier": account.handle, "password": account.password}
    token = xrpc(account.pds_url, "com.atproto.server.createSession", body=login)["accessJwt"]
    body = {"handle": "after.pds0.test"}
    xrpc(account.pds_url, "com.atproto.identity.updateHandle", body=body, token=token)
    assert resolver.resolve(account.did).handle == "before.pds0.test"
    resolver.forget(account.did)
    identity = resolver.resolve(account.did)
    assert resolver.verified_handle(identity) == "after.pds0.test"


def test_nobody(resolver: Resolver) -> None:
    with pytest.raises(IdentityNotFound):
        resolver.resolve("did:plc:" + "a" * 24)
    with pytest.raises(IdentityNotFound):
        resolver.resolve_handle("nobody.pds0.test")


def test_a_pds_answers_with_named_errors(devnet: Devnet) -> None:
    http = HttpClient(Policy(dev=True))
    url = f"{devnet.pdses[0].url}/xrpc/com.atproto.sync.getRepo"
    params = {"did": "did:plc:" + "a" * 24}
    with pytest.raises(XrpcError) as answered:
        http.get_json(url, params=params)
    assert (answered.value.status, answered.value.error) == (400, "RepoNotFound")
    with pytest.raises(FetchFailed) as failed:
        http.get_bytes(url, params=params)
    assert str(xrpc_error(failed.value)) == str(answered.value)


def test_an_outage_of_directory_and_pds() -> None:
    now = [0.0]
    with Devnet(pds_count=1) as net:
        account = net.create_account(0, "steady")
        http = HttpClient(Policy(dev=True), sleep=lambda _seconds: None)
        resolver = Resolver(http, plc=net.plc, clock=lambda: now[0])
        identity = resolver.resolve(account.did)
        net.stop_plc()
        net.stop_pds(0)
        assert resolver.resolve(account.did) == identity
        now[0] += 10
        with pytest.raises(IdentityUnavailable):
            resolver.refresh(account.did)
        with pytest.raises(IdentityUnavailable):
            resolver.verified_handle(identity)
        net.start_plc()
        net.start_pds(0)
        now[0] += 10
        assert resolver.resolve(account.did) == identity
        assert resolver.verified_handle(identity) == account.handle
