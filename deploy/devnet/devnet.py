"""A real PLC directory and real PDSes on loopback, from Python: ``with Devnet() as net: …``.

``python deploy/devnet/devnet.py`` runs one until ^C. The servers are the reference implementations
(``devnet.mjs``); they end with this process, however it ends. Only 127.0.0.1 is listened on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

import urllib3

HERE = Path(__file__).resolve().parent
NODE_MAJOR = 20
STOP_SECONDS = 15.0


class DevnetError(Exception):
    """The devnet could not be installed, started or told what to do."""


@dataclass(frozen=True, slots=True)
class Pds:
    """One host. ``url`` is the origin that DID documents name, ``domain`` the handles' ending
    (``.pds0.test``), ``did`` the service's own DID."""

    url: str
    domain: str
    did: str
    admin_password: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account on one of the PDSes."""

    did: str
    handle: str
    password: str
    pds_url: str


def missing() -> str | None:
    """Why the devnet cannot run on this machine, or None if it can."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    major = int(version.stdout.strip().lstrip("v").split(".")[0])
    return None if major >= NODE_MAJOR else f"Node {NODE_MAJOR} is needed, this one is {major}"


def install() -> None:
    """``npm ci``, once for each version of the lock file; two runs at once wait for each other."""
    lock = HERE / "package-lock.json"
    stamp = HERE / "node_modules" / ".installed"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        wanted = hashlib.sha256(held.read()).hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        print("devnet: installing the servers (once, one to two minutes)", file=sys.stderr)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--no-update-notifier"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DevnetError(f"npm ci failed in {HERE}:\n{done.stdout}{done.stderr}")
        stamp.write_text(wanted)


def xrpc(
    host: str,
    nsid: str,
    *,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | bytes | None = None,
    token: str | None = None,
    content_type: str = "application/json",
) -> Any:
    """Call a method on ``host``: a query, or with ``body`` a procedure. Returns the JSON answer;
    raises ``DevnetError`` with the status and text of any other answer."""
    response = urllib3.request(
        "GET" if body is None else "POST",
        f"{host}/xrpc/{nsid}",
        fields=params if body is None else None,
        body=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
        headers={
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Content-Type": content_type} if body is not None else {}),
        },
        retries=False,
        timeout=30.0,
    )
    if response.status != 200:
        raise DevnetError(f"{nsid}: {response.status} {response.data[:300]!r}")
    return json.loads(response.data) if response.data else None


class Devnet:
    """The running network. Use as a context manager, or ``start`` and ``stop``."""

    def __init__(self, pds_count: int = 2, data: Path | None = None) -> None:
        """``data`` keeps the PDSes' files for a look afterwards (the directory's state dies with
        the process, so they cannot be run again); without it they are removed at the end."""
        self._command = ["node", str(HERE / "devnet.mjs"), "--pds", str(pds_count)]
        self._command += ["--data", str(data)] if data else []
        self._process: subprocess.Popen[str] | None = None
        self.plc = ""
        self.pdses: tuple[Pds, ...] = ()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process that runs all servers."""
        return self._running().pid

    def start(self) -> None:
        """Install if need be, start, and wait until every server answers (about two seconds)."""
        install()
        self._process = subprocess.Popen(
            self._command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            ready = self._answer()
        except BaseException:
            self.stop()
            raise
        self.plc = ready["plc"]
        self.pdses = tuple(Pds(**pds) for pds in ready["pdses"])

    def stop(self) -> None:
        """End all servers and wait for the end. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()

    def stop_pds(self, index: int) -> None:
        """Take one PDS down: its connections break, its port is closed, its data stays."""
        self._tell(cmd="stop", pds=index)

    def start_pds(self, index: int) -> None:
        """Bring it back, same port and data."""
        self._tell(cmd="start", pds=index)

    def stop_plc(self) -> None:
        """Take the directory down; what it knows stays."""
        self._tell(cmd="stop", plc=True)

    def start_plc(self) -> None:
        """Bring the directory back."""
        self._tell(cmd="start", plc=True)

    def create_account(self, pds_index: int, name: str) -> Account:
        """A new account ``<name>.pds<index>.test``; ``name`` has 3 to 18 characters, no dot."""
        pds = self.pdses[pds_index]
        handle, password = f"{name}{pds.domain}", f"password-of-{name}"
        body = {"handle": handle, "email": f"{name}@mail.test", "password": password}
        created = xrpc(pds.url, "com.atproto.server.createAccount", body=body)
        return Account(created["did"], handle, password, pds.url)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise DevnetError("the devnet is not running")
        return self._process

    def _tell(self, **command: object) -> None:
        stdin = _pipe(self._running().stdin)
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        answer = self._answer()
        if not answer["ok"]:
            raise DevnetError(answer["error"])

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._running().stdout).readline()
        if not line:
            raise DevnetError(f"the devnet ended by itself: {self._running().wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # both were asked for as pipes
    return stream


def main() -> None:
    """Run until ^C, SIGTERM or the end of the terminal; print where everything is."""
    parser = argparse.ArgumentParser(description="A real PLC and real PDSes on loopback.")
    parser.add_argument("--pds", type=int, default=2, metavar="N", help="how many (default 2)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the PDSes' files here")
    args = parser.parse_args()
    if reason := missing():
        sys.exit(f"devnet: {reason}")
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), Devnet(args.pds, args.data) as net:
        print(f"PLC   {net.plc}")
        for pds in net.pdses:
            print(f"PDS   {pds.url}   handles *{pds.domain}   admin password {pds.admin_password}")
        print("^C ends it", flush=True)
        signal.pause()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
