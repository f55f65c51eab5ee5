"""Sessions, records and blobs against a real PDS."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import pytest

from atdata.atmosphere import AtmosphereClient
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    FetchFailed,
    InvalidSyntax,
    NotFound,
    NotLoggedIn,
    XrpcError,
)
from deploy.devnet.devnet import Devnet

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]
THINGS = "test.atmosphere.thing"


@pytest.fixture
def client(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "client-own")


# --- session ---------------------------------------------------------------------------------


def test_login_gives_did_and_handle(on_devnet: Devnet) -> None:
    account = on_devnet.create_account(0, "client-login")
    client = AtmosphereClient(base_url=account.pds_url + "/")
    assert not client.is_authenticated
    client.login(account.handle, account.password)
    assert client.is_authenticated
    assert (client.did, client.handle) == (account.did, account.handle)
    assert client.pds == account.pds_url


def test_nothing_can_be_written_without_a_session(on_devnet: Devnet) -> None:
    client = AtmosphereClient(base_url=on_devnet.pdses[0].url)
    for attempt in (
        lambda: client.did,
        lambda: client.handle,
        client.export_session,
        lambda: client.create_record(THINGS, {}),
        lambda: client.upload_blob(b"bytes"),
        lambda: client.delete_record(f"at://did:plc:{'a' * 24}/{THINGS}/self"),
        lambda: list(client.list_records(None, THINGS)),
    ):
        with pytest.raises(NotLoggedIn, match="log in first"):
            attempt()


def test_a_session_is_exported_and_restored_by_another_client(client: AtmosphereClient) -> None:
    restored = AtmosphereClient()
    restored.login_with_session(client.export_session())
    assert (restored.did, restored.handle, restored.pds) == (client.did, client.handle, client.pds)
    written = restored.create_record(THINGS, {"by": "restored"})
    assert client.get_record(written.uri).value["by"] == "restored"


@pytest.mark.parametrize("text", ["", "a:::b", "a:::did:plc:x:::not-a-jwt:::nor-this:::http://h"])
def test_what_is_no_session_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(NotLoggedIn) as caught:
        AtmosphereClient().login_with_session(text)
    assert "not-a-jwt" not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_in_no_message_repr_or_log(
    on_devnet: Devnet, client: AtmosphereClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    password = "-".join(["hunter"] * 3)  # so that a traceback's source lines do not hold it
    stranger = AtmosphereClient(base_url=on_devnet.pdses[0].url)
    with pytest.raises(XrpcError) as refused:
        stranger.login(client.handle, password)
    assert (refused.value.status, refused.value.error) == (401, "AuthenticationRequired")
    with pytest.raises(XrpcError) as too_large:
        client.create_record(THINGS, {"text": "x" * 1_100_000})
    shown = repr(client) + repr(stranger) + caplog.text
    for error in (refused.value, too_large.value):
        shown += "".join(traceback.format_exception(error))
    assert password not in shown
    for secret in client.export_session().split(":::")[2:4]:
        assert len(secret) > 100
        assert secret not in shown


def test_a_host_that_is_away_is_a_named_error() -> None:
    with pytest.raises(FetchFailed, match="createSession"):
        AtmosphereClient(base_url="http://127.0.0.1:1").login("a.test", "secret")


# --- records ---------------------------------------------------------------------------------


def test_records_keep_links_and_bytes(client: AtmosphereClient) -> None:
    link = Cid.of(b"something else")
    written = client.create_record(
        THINGS, {"link": link, "bytes": b"\0\xff", "deep": [{"n": 2**53 - 1}]}
    )
    assert str(written) == written.uri
    stored = client.get_record(written.uri)
    assert stored.cid == written.cid
    assert stored.value == {
        "$type": THINGS,
        "link": link,
        "bytes": b"\0\xff",
        "deep": [{"n": 2**53 - 1}],
    }
    assert stored.body()["link"] == {"$link": str(link)}
    assert (stored.body().uri, stored.body().cid) == (written.uri, written.cid)


def test_put_replaces_and_delete_removes(client: AtmosphereClient) -> None:
    uri = f"at://{client.did}/{THINGS}/self"
    client.put_record(uri, {"n": 1})
    client.put_record(f"at://{client.handle}/{THINGS}/self", {"n": 2})
    assert client.get_record(uri).value["n"] == 2
    client.delete_record(uri)
    client.delete_record(uri)
    with pytest.raises(NotFound, match="self"):
        client.get_record(uri)


def test_only_ones_own_records_can_be_changed(client: AtmosphereClient) -> None:
    with pytest.raises(NotFound, match="can't be changed"):
        client.put_record(f"at://did:plc:{'a' * 24}/{THINGS}/self", {})
    with pytest.raises(InvalidSyntax, match="no single record"):
        client.delete_record(f"at://{client.did}/{THINGS}")


def test_listing_goes_to_the_end_from_ones_own_and_from_anothers_pds(
    accounts: Accounts, client: AtmosphereClient
) -> None:
    author = accounts(0, "client-lister")
    writes = [
        {"$type": "com.atproto.repo.applyWrites#create", "collection": THINGS, "value": {"n": n}}
        for n in range(205)
    ]
    for start in (0, 150):
        batch = writes[start : start + 150]
        author.call("com.atproto.repo.applyWrites", {"repo": author.did, "writes": batch})
    reader = accounts(1, "client-reader")
    assert reader.pds != author.pds
    for listing in (
        author.list_records(None, THINGS),
        author.list_records(author.handle, THINGS),
        reader.list_records(author.did, THINGS),
    ):
        found = list(listing)
        assert sorted(record.value["n"] for record in found) == list(range(205))
        assert {record.uri.authority for record in found} == {author.did}
    first = next(iter(reader.list_records(author.did, THINGS)))
    assert reader.get_record(str(first.uri)) == first


def test_a_neighbour_is_found_by_handle(accounts: Accounts, client: AtmosphereClient) -> None:
    neighbour = accounts(0, "client-neighbour")
    neighbour.create_record(THINGS, {"n": 1})
    for repo in (neighbour.handle, "@" + neighbour.handle):
        assert [record.value["n"] for record in client.list_records(repo, THINGS)] == [1]


# --- blobs -----------------------------------------------------------------------------------


def test_a_blob_is_served_once_a_record_refers_to_it(
    accounts: Accounts, client: AtmosphereClient
) -> None:
    data = bytes(range(256)) * 10_000
    sent: list[int] = []
    blob = client.upload_blob(data, "application/x-tar", on_bytes=sent.append)
    assert blob.cid == Cid.of(data, RAW)
    assert (blob.size, blob.mime_type) == (len(data), "application/x-tar")
    assert (sum(sent), len(sent)) == (len(data), 3)
    ref = {"$type": "blob", "ref": blob.cid, "mimeType": blob.mime_type, "size": blob.size}
    client.create_record(THINGS, {"blob": ref})
    assert client.get_blob(client.did, str(blob.cid)) == data
    assert accounts(1, "client-reader").get_blob(client.did, str(blob.cid)) == data
