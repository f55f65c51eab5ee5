"""An account moves to another PDS, as the protocol has it: new home, repo, blobs, DID, old home.

Source: https://atproto.com/guides/account-migration. The operation for the directory is signed with
a recovery key that the account named when it was created, as somebody does whose PDS is gone.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import urllib3

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from deploy.devnet.devnet import Devnet, Pds, xrpc
from tests.indexer.repo_builder import SigningKey
from tests.scenarios.members import Home, Member

RECOVERY = SigningKey("k256", 0xCAFE)
SECONDS = 30.0


def get(url: str) -> bytes:
    """The whole answer of a server that may be busy."""
    answer = urllib3.request("GET", url, timeout=SECONDS)
    assert answer.status == 200, answer.data
    return answer.data


def did_key(key: SigningKey) -> str:
    return f"did:key:{key.multibase}"


def move(net: Devnet, member: Member, new: Pds) -> Home:
    """Everything but the last step, which is to tell the old PDS: ``member`` lives at ``new``
    afterwards. Returns its old home. The member must not write meanwhile."""
    old = member.home
    member.handle = member.handle.partition(".")[0] + new.domain
    member.home = _open_home(member, new)
    _copy_repo(old, member)
    _copy_blobs(old, member)
    _name_in_directory(net, member)
    xrpc(new.url, "com.atproto.server.activateAccount", body=b"", token=member.home.token)
    return old


def leave(old: Home) -> None:
    """The old PDS learns that the account is gone, and says ``#account deactivated``."""
    xrpc(old.url, "com.atproto.server.deactivateAccount", body={}, token=old.token)


def erase(pds: Pds, did: str) -> None:
    """The old PDS throws away what it still has, and says ``#account deleted``."""
    answer = urllib3.request(
        "POST",
        f"{pds.url}/xrpc/com.atproto.admin.deleteAccount",
        json={"did": did},
        headers=urllib3.make_headers(basic_auth=f"admin:{pds.admin_password}"),
        timeout=SECONDS,
    )
    assert answer.status == 200, answer.data


def _open_home(member: Member, new: Pds) -> Home:
    """An account for the DID that exists, vouched for by the old PDS; not active yet."""
    method = "com.atproto.server.createAccount"
    params = {"aud": new.did, "lxm": method}
    asked = xrpc(
        member.home.url,
        "com.atproto.server.getServiceAuth",
        params=params,
        token=member.home.token,
    )
    body = {
        "did": member.did,
        "handle": member.handle,
        "email": "moved@mail.test",
        "password": "secret",
    }
    created = xrpc(new.url, method, body=body, token=asked["token"])
    return Home(new.url, created["accessJwt"])


def _copy_repo(old: Home, member: Member) -> None:
    car = get(f"{old.url}/xrpc/com.atproto.sync.getRepo?did={member.did}")
    xrpc(
        member.home.url,
        "com.atproto.repo.importRepo",
        body=car,
        token=member.home.token,
        content_type="application/vnd.ipld.car",
    )


def _copy_blobs(old: Home, member: Member) -> None:
    home = member.home
    missing = xrpc(home.url, "com.atproto.repo.listMissingBlobs", params={}, token=home.token)
    for blob in missing["blobs"]:
        query = f"did={member.did}&cid={blob['cid']}"
        blob_data = get(f"{old.url}/xrpc/com.atproto.sync.getBlob?{query}")
        xrpc(
            home.url,
            "com.atproto.repo.uploadBlob",
            body=blob_data,
            token=home.token,
            content_type="application/octet-stream",
        )


def _name_in_directory(net: Devnet, member: Member) -> None:
    """The DID document names the new handle, key and PDS from now on."""
    wanted = xrpc(
        member.home.url,
        "com.atproto.identity.getRecommendedDidCredentials",
        params={},
        token=member.home.token,
    )
    last = json.loads(get(f"{net.plc}/{member.did}/log/last"))
    operation: dict[str, Any] = {
        "type": "plc_operation",
        "rotationKeys": [did_key(RECOVERY), *wanted["rotationKeys"]],
        "verificationMethods": wanted["verificationMethods"],
        "alsoKnownAs": wanted["alsoKnownAs"],
        "services": wanted["services"],
        "prev": str(Cid.of(cbor.encode(last))),
    }
    signature = RECOVERY.sign(cbor.encode(operation))
    signed = {**operation, "sig": base64.urlsafe_b64encode(signature).decode().rstrip("=")}
    answer = urllib3.request("POST", f"{net.plc}/{member.did}", json=signed, timeout=SECONDS)
    assert answer.status == 200, answer.data
