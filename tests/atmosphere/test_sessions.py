"""Tokens: renewed when they end, once for all threads; and in no log, repr or error, whatever a
host does with them."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    DatasetLoader,
    LensPublisher,
    PDSBlobStore,
)
from atdata.protocol.errors import AtdataError, FetchFailed, NotLoggedIn, XrpcError
from deploy.devnet.devnet import Devnet
from tests.atmosphere.upload_host import DID, Answer, UploadHost, token

Accounts = Callable[[int, str], AtmosphereClient]
THINGS = "test.atmosphere.session"
HOUR = 3_600


def expired(jwt: str) -> str:
    """The token, saying that it has ended. Its signature is then wrong, which only a PDS sees."""
    header, payload, signature = jwt.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["exp"] = int(time.time()) - 10
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return ".".join((header, changed, signature))


def ahead(hours: int, text: str) -> str:
    return token(int(time.time()) + hours * HOUR, text)


# --- renewal --------------------------------------------------------------------------------------


@pytest.mark.devnet
def test_an_ended_access_token_is_renewed_by_the_pds(on_devnet: Devnet) -> None:
    account = on_devnet.create_account(0, "session-ended")
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    handle, did, access, refresh, pds = client.export_session().split(":::")
    restored = AtmosphereClient()
    ended = expired(access)
    restored.login_with_session(":::".join((handle, did, ended, refresh, pds)))
    written = restored.create_record(THINGS, {"n": 1})
    assert client.get_record(written.uri).value["n"] == 1
    renewed = restored.export_session().split(":::")
    assert renewed[2] != ended
    assert renewed[3] != refresh
    again = AtmosphereClient()
    again.login_with_session(restored.export_session())
    assert again.get_record(written.uri).value["n"] == 1


@pytest.mark.devnet
def test_a_session_whose_refresh_token_is_refused_is_a_named_error(on_devnet: Devnet) -> None:
    account = on_devnet.create_account(0, "session-over")
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    handle, did, access, refresh, pds = client.export_session().split(":::")
    over = AtmosphereClient()
    over.login_with_session(":::".join((handle, did, expired(access), refresh[:-8] + "A" * 8, pds)))
    with pytest.raises(XrpcError, match=r"InvalidToken|ExpiredToken") as caught:
        over.create_record(THINGS, {})
    assert not secrets_in(caught.value, access, refresh, expired(access))


def renewing(valid: str, number_of_refreshes: list[int]) -> Callable[[int, str, bytes], Answer]:
    """A host at which all but the token ``valid`` have ended, whatever they say of themselves."""

    def decide(number: int, method: str, body: bytes) -> Answer:
        host = HOSTS[-1]
        authorization = host.requests[number][1]
        if method == "com.atproto.server.refreshSession":
            number_of_refreshes.append(number)
            tokens = {"accessJwt": valid, "refreshJwt": ahead(9, "new refresh")}
            return 200, {**tokens, "handle": "a.test", "did": DID}, {}
        if authorization != f"Bearer {valid}":
            return 400, {"error": "ExpiredToken", "message": "Token has expired"}, {}
        return 200, {"uri": f"at://{DID}/{THINGS}/self", "cid": CID}, {}

    return decide


HOSTS: list[UploadHost] = []
CID = "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def test_what_the_pds_calls_ended_is_renewed_once_for_all_threads() -> None:
    valid, refreshes = ahead(3, "new access"), list[int]()
    with UploadHost(renewing(valid, refreshes)) as host:
        HOSTS.append(host)
        client = host.client(ahead(2, "old access"), ahead(9, "old refresh"))
        start = threading.Barrier(6)

        def write(n: int) -> str:
            start.wait(30)
            return client.create_record(THINGS, {"n": n}).cid

        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(write, range(6))) == {CID}
    assert len(refreshes) == 1
    assert client.export_session().split(":::")[2] == valid


# --- secrets --------------------------------------------------------------------------------------


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error with everything that led to it, whether or not a traceback would show it."""
    while error is not None:
        yield error
        if error.__cause__ is not None and error.__cause__ is not error.__context__:
            yield from chain(error.__cause__)
        error = error.__context__


def secrets_in(error: BaseException, *secrets: str) -> list[str]:
    """The secrets that any text about ``error`` holds."""
    shown = "".join(traceback.format_exception(error))
    for each in chain(error):
        shown += f"{each} {each!r} {each.args!r} {vars(each)!r}"
    return [secret for secret in secrets if secret in shown]


# How a host may give back what it was sent: as a message, an error name, a page, broken JSON …
ECHOES: list[Callable[[str], Answer]] = [
    lambda sent: (400, {"error": "Bad", "message": f"you sent {sent}"}, {}),
    lambda sent: (401, {"error": sent, "message": sent}, {}),
    lambda sent: (500, f"<html>{sent}</html>".encode(), {}),
    lambda sent: (200, f'{{"uri": "{sent}'.encode(), {}),
    lambda sent: (200, {"uri": sent, "cid": sent}, {}),
    lambda sent: (200, {"accessJwt": sent, "refreshJwt": sent}, {}),
    lambda sent: (200, [sent], {}),
    lambda sent: (200, {"uri": sent, "blob": {"ref": {"$link": sent}, "mimeType": sent}}, {}),
    lambda sent: (429, {"error": "RateLimitExceeded", "message": sent}, {"Retry-After": "soon"}),
]


@pytest.mark.parametrize("number", range(len(ECHOES)))
def test_what_a_host_echoes_of_a_token_is_not_passed_on(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    access, refresh = ahead(2, "access"), ahead(9, "refresh")
    with UploadHost(lambda *_: ECHOES[number](access)) as host:
        client = host.client(access, refresh, sleep=lambda _: None)
        for act in (
            lambda: client.create_record(THINGS, {}),
            lambda: client.upload_blob(b"x"),
            lambda: PDSBlobStore(client).uploaded(["at://did:plc:x/blob/x"]),
        ):
            with pytest.raises((AtdataError, ValueError)) as caught:
                act()
            assert not secrets_in(caught.value, access, refresh)
    assert access not in caplog.text
    assert refresh not in caplog.text


@pytest.mark.parametrize("number", range(len(ECHOES)))
def test_what_a_host_echoes_of_a_password_is_not_passed_on(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    password = "-".join(["correct", "horse"])  # so that no source line of a traceback holds it
    with UploadHost(lambda *_: ECHOES[number](password)) as host:
        client = AtmosphereClient(base_url=host.url, sleep=lambda _: None)
        with pytest.raises((AtdataError, ValueError)) as caught:
            client.login("a.test", password)
    assert not secrets_in(caught.value, password)
    assert password not in caplog.text
    assert password not in repr(client)
    assert not client.is_authenticated


def test_a_password_goes_to_no_other_host_than_the_one_named() -> None:
    with UploadHost() as other:
        moved = (307, b"", {"Location": f"{other.url}/xrpc/com.atproto.server.createSession"})
        with UploadHost(lambda *_: moved) as host, pytest.raises(FetchFailed, match="base_url"):
            AtmosphereClient(base_url=host.url).login("a.test", "password")
    assert other.requests == []


@pytest.mark.devnet
def test_nothing_that_holds_a_session_shows_it(accounts: Accounts, on_devnet: Devnet) -> None:
    client = accounts(0, "session-shown")
    holders = [
        client,
        AtmosphereIndex(client, data_store=PDSBlobStore(client)),
        PDSBlobStore(client),
        DatasetLoader(client),
        LensPublisher(client),
    ]
    shown = "".join(f"{each!r} {each}" for each in holders)
    assert client.handle in shown
    for secret in client.export_session().split(":::")[2:4]:
        assert secret not in shown


def test_a_session_that_cannot_be_read_leaves_nothing_behind() -> None:
    text = f"a.test:::{DID}:::{ahead(1, 'half')}:::broken-refresh-token:::http://127.0.0.1:1"
    with pytest.raises(NotLoggedIn) as caught:
        AtmosphereClient().login_with_session(text)
    assert not secrets_in(caught.value, text, *text.split(":::")[2:4])


@pytest.mark.parametrize(("handle", "password"), [("", "x"), ("a.test", ""), ("@", "x")])
def test_a_login_needs_both_words(handle: str, password: str) -> None:
    with pytest.raises(ValueError, match="handle and an app password"):
        AtmosphereClient().login(handle, password)


def test_a_password_in_the_address_of_a_pds_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="login") as caught:
        AtmosphereClient(base_url="http://me:sekret@pds.example")
    assert "sekret" not in str(caught.value)
