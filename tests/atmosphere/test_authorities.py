"""Repositories of other accounts, each read from its own PDS: did:plc, did:web and handles."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import coincurve
import libipld
import pytest

import atdata
from atdata import settings as settings_module
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, LensLoader, PDSBlobStore
from atdata.protocol.errors import IdentityNotFound, NotFound
from atdata.settings import Settings
from deploy.devnet.devnet import Devnet, Pds, xrpc
from tests.atmosphere.made import Feature, features, tar_of
from tests.network.local_server import LocalServer, content

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]
K256 = b"\xe7\x01"  # multicodec of a secp256k1 key


@dataclass
class WebAccount:
    """An account whose DID document its owner serves from a host of their own."""

    pds: Pds
    handle: str
    key: coincurve.PrivateKey = field(default_factory=coincurve.PrivateKey)

    def serve(self, server: LocalServer) -> None:
        self.did = f"did:web:localhost%3A{server.port}"
        self._server = server
        self._publish(self._multikey())

    def register(self, password: str) -> None:
        """Move in: prove the DID, and take the PDS's signing key into the document."""
        created = xrpc(
            self.pds.url,
            "com.atproto.server.createAccount",
            body={
                "did": self.did,
                "handle": self.handle,
                "email": "web@mail.test",
                "password": password,
            },
            token=self._service_token("com.atproto.server.createAccount"),
        )
        token = created["accessJwt"]
        method = "com.atproto.identity.getRecommendedDidCredentials"
        recommended = xrpc(self.pds.url, method, token=token)
        self._publish(recommended["verificationMethods"]["atproto"].removeprefix("did:key:"))

    def _publish(self, multikey: str) -> None:
        document = {
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": self.did,
            "alsoKnownAs": [f"at://{self.handle}"],
            "verificationMethod": [
                {
                    "id": f"{self.did}#atproto",
                    "type": "Multikey",
                    "controller": self.did,
                    "publicKeyMultibase": multikey,
                }
            ],
            "service": [
                {
                    "id": "#atproto_pds",
                    "type": "AtprotoPersonalDataServer",
                    "serviceEndpoint": self.pds.url,
                }
            ],
        }
        body = json.dumps(document).encode()
        self._server.routes["/.well-known/did.json"] = content(
            body, content_type="application/json"
        )

    def _multikey(self) -> str:
        point = self.key.public_key.format(compressed=True)
        return str(libipld.encode_multibase("z", K256 + point))

    def _service_token(self, method: str) -> str:
        now = int(time.time())
        claims = {"iss": self.did, "aud": self.pds.did, "lxm": method, "iat": now, "exp": now + 60}
        parts = [_part({"typ": "JWT", "alg": "ES256K"}), _part({**claims, "jti": "1"})]
        digest = hashlib.sha256(".".join(parts).encode()).digest()
        signature = self.key.sign_recoverable(digest, hasher=None)[:64]
        return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.fixture
def reader(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(1, "authority-reader")


@pytest.fixture
def web_account(on_devnet: Devnet) -> Iterator[AtmosphereClient]:
    """A logged-in did:web account on the first PDS."""
    pds = on_devnet.pdses[0]
    with LocalServer({}) as server:
        account = WebAccount(pds, f"web{server.port}{pds.domain}")
        account.serve(server)
        account.register("password-of-web")
        client = AtmosphereClient(base_url=pds.url)
        client.login(account.handle, "password-of-web")
        assert client.did == account.did
        client.call("com.atproto.server.activateAccount")
        yield client


def test_a_did_web_account_publishes_and_is_read_from_its_own_pds(
    web_account: AtmosphereClient, reader: AtmosphereClient, tmp_path: Any
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(7)))
    store = PDSBlobStore(web_account)
    entry = AtmosphereIndex(web_account, data_store=store).insert_dataset(
        atdata.Dataset[Feature](path), name="from the web"
    )
    assert entry.uri.startswith("at://did:web:localhost%3A")
    index = AtmosphereIndex(reader)
    assert list(index.list_datasets(repo=web_account.did)) == [entry]
    assert index.get_dataset(entry.uri) == entry
    assert [body["name"] for body in index.list_schemas(repo=web_account.did)] == ["Feature"]
    assert PDSBlobStore(reader).read_url(entry.data_urls[0]).startswith(web_account.pds)
    assert list(atdata.load_dataset(entry.uri, Feature)) == features(7)


@pytest.fixture
def with_handles(on_devnet: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handles under ``.test`` are asked for at the PDSes, since no name server knows them."""
    hosts = tuple(pds.url for pds in on_devnet.pdses)
    chosen = Settings(plc=on_devnet.plc, dev=True, handle_hosts=hosts)
    monkeypatch.setattr(settings_module._Holder, "current", chosen)


@pytest.mark.usefixtures("with_handles")
def test_handles_stand_for_accounts_everywhere(
    accounts: Accounts, reader: AtmosphereClient
) -> None:
    author = accounts(0, "authority-handle")
    assert author.pds != reader.pds
    uri = AtmosphereIndex(author).publish_schema(Feature)
    by_handle = uri.replace(author.did, author.handle)
    index = AtmosphereIndex(reader)
    for repo in (author.did, author.handle, "@" + author.handle):
        assert [body.uri for body in index.list_schemas(repo=repo)] == [uri]
        assert LensLoader(reader).find_by_schemas(repo=repo) == []
    assert index.get_schema(by_handle) == index.get_schema(uri)
    assert index.decode_schema(by_handle) is index.decode_schema(uri)


def test_accounts_that_are_nowhere_are_named(reader: AtmosphereClient, on_devnet: Devnet) -> None:
    index = AtmosphereIndex(reader)
    nobody = "did:plc:" + "z" * 24
    with pytest.raises(IdentityNotFound, match=nobody):
        list(index.list_datasets(repo=nobody))
    with pytest.raises(IdentityNotFound, match=r"nobody\.pds1\.test"):
        list(index.list_datasets(repo="nobody.pds1.test"))
    with pytest.raises(NotFound):
        index.get_dataset(f"at://{reader.did}/ac.foundation.dataset.record/nothing")
