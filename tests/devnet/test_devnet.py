"""The devnet itself: real servers, on loopback only, that come, go and leave nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import pytest
import urllib3
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from deploy.devnet import devnet as launcher
from deploy.devnet.devnet import Account, Devnet, DevnetError, xrpc

pytestmark = pytest.mark.devnet

NOISE = "org.example.devnet.note"


def session_token(account: Account) -> str:
    body = {"identifier": account.handle, "password": account.password}
    token: str = xrpc(account.pds_url, "com.atproto.server.createSession", body=body)["accessJwt"]
    return token


def write(account: Account, text: str) -> str:
    body = {
        "repo": account.did,
        "collection": NOISE,
        "record": {"$type": NOISE, "text": text},
    }
    token = session_token(account)
    written = xrpc(account.pds_url, "com.atproto.repo.createRecord", body=body, token=token)
    return str(written["uri"])


def texts(account: Account) -> list[str]:
    params = {"repo": account.did, "collection": NOISE}
    page = xrpc(account.pds_url, "com.atproto.repo.listRecords", params=params)
    return [record["value"]["text"] for record in page["records"]]


def frames_of(account: Account, kind: str) -> list[dict[str, Any]]:
    """The bodies of that account's frames up to the first one of ``kind``, from cursor 0."""
    url = account.pds_url.replace("http", "ws", 1)
    found = []
    with connect(f"{url}/xrpc/com.atproto.sync.subscribeRepos?cursor=0", max_size=None) as ws:
        while True:
            header, body = decode_both(ws.recv(timeout=10))
            if account.did in (body.get("repo"), body.get("did")):
                found.append({"t": header["t"], **body})
                if header["t"] == kind:
                    return found


def decode_both(frame: str | bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    assert isinstance(frame, bytes)
    header = cbor2.loads(frame)
    return header, cbor2.loads(frame[len(cbor2.dumps(header)) :])


def is_open(url: str) -> bool:
    host, port = url.rpartition("/")[2].split(":")
    with socket.socket() as probe:
        return probe.connect_ex((socket.gethostbyname(host), int(port))) == 0


def wait_for_end(pid: int) -> None:
    """Until the process, no child of ours, is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 20)[0], f"process {pid} still runs"
    finally:
        os.close(descriptor)


def test_each_pds_has_its_own_identity_and_domain(devnet: Devnet) -> None:
    described = [xrpc(p.url, "com.atproto.server.describeServer") for p in devnet.pdses]
    assert [d["did"] for d in described] == [p.did for p in devnet.pdses]
    assert [d["availableUserDomains"] for d in described] == [[".pds0.test"], [".pds1.test"]]
    assert len({d["did"] for d in described}) == 2


def test_accounts_on_both_write_and_read_records(devnet: Devnet) -> None:
    accounts = [devnet.create_account(index, "writer") for index in (0, 1)]
    assert [a.handle for a in accounts] == ["writer.pds0.test", "writer.pds1.test"]
    for account in accounts:
        uri = write(account, f"from {account.handle}")
        assert uri.startswith(f"at://{account.did}/{NOISE}/")
        assert texts(account) == [f"from {account.handle}"]


def test_the_directory_knows_accounts_of_both(devnet: Devnet) -> None:
    for index in (0, 1):
        account = devnet.create_account(index, "listed")
        response = urllib3.request("GET", f"{devnet.plc}/{account.did}")
        document = response.json()
        assert document["alsoKnownAs"] == [f"at://{account.handle}"]
        assert document["service"][0]["serviceEndpoint"] == devnet.pdses[index].url


def test_the_firehose_carries_the_birth_of_an_account(devnet: Devnet) -> None:
    account = devnet.create_account(1, "newborn")
    kinds = [frame["t"] for frame in frames_of(account, "#sync")]
    assert kinds == ["#identity", "#account", "#commit", "#sync"]


def test_an_unknown_pds_is_an_error_and_not_the_end(devnet: Devnet) -> None:
    with pytest.raises(DevnetError, match="unknown command"):
        devnet.stop_pds(7)
    assert is_open(devnet.pdses[0].url)


def test_an_outage_keeps_port_and_data() -> None:
    with Devnet(pds_count=1) as net:
        url = net.pdses[0].url
        account = net.create_account(0, "steady")
        write(account, "before")
        net.stop_pds(0)
        assert not is_open(url)
        net.start_pds(0)
        write(account, "after")
        assert sorted(texts(account)) == ["after", "before"]


def test_an_outage_cuts_open_subscriptions() -> None:
    with Devnet(pds_count=1) as net:
        url = net.pdses[0].url.replace("http", "ws", 1)
        with connect(f"{url}/xrpc/com.atproto.sync.subscribeRepos") as ws:
            net.stop_pds(0)
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=10)


def test_the_directory_survives_its_own_outage() -> None:
    with Devnet(pds_count=1) as net:
        account = net.create_account(0, "listed")
        net.stop_plc()
        assert not is_open(net.plc)
        net.start_plc()
        answer = urllib3.request("GET", f"{net.plc}/{account.did}")
        assert answer.status == 200


def test_only_loopback_is_listened_on(devnet: Devnet) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    for url in (devnet.plc, *(p.url for p in devnet.pdses)):
        port = f"{int(url.rpartition(':')[2]):04X}"
        bound = {
            line.split()[1].split(":")[0]
            for line in listening.splitlines()
            if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
        }
        assert bound == {"0100007F"}


def test_a_killed_parent_leaves_no_orphan() -> None:
    script = (
        "from deploy.devnet.devnet import Devnet\n"
        "net = Devnet(pds_count=1); net.start()\n"
        "print(net.pid, net.plc, flush=True)\n"
        "import time; time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=launcher.HERE.parents[1], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid, plc = parent.stdout.readline().split()
        assert is_open(plc.decode())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for_end(int(pid))
    assert not is_open(plc.decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly_and_the_data_goes(number: signal.Signals) -> None:
    command = ["node", str(launcher.HERE / "devnet.mjs"), "--pds", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        data = Path(json.loads(process.stdout.readline())["data"])
        assert (data / "pds0").is_dir()
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not data.exists()
