"""The guarded client against real servers: what it fetches, what it refuses, when it gives up."""

from __future__ import annotations

import io
import os
import pickle
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from atdata.network.body import Body
from atdata.network.connections import MIN_BYTES_PER_SECOND, Budget
from atdata.network.http import MAX_REDIRECTS, HttpClient, Policy, xrpc_error
from atdata.network.retries import RETRIES
from atdata.protocol.errors import (
    BlockedAddress,
    FetchFailed,
    FetchTimeout,
    TooLarge,
    XrpcError,
)
from tests.network.local_server import (
    Answer,
    LocalServer,
    certificate,
    content,
    in_turn,
    raw,
    redirect,
    status,
)

DATA = bytes(range(256)) * 1000
Serve = Callable[[dict[str, Answer]], LocalServer]


class Client(HttpClient):
    """For development, with the waits before retries written down instead of waited."""

    def __init__(self, **options: object) -> None:
        self.waits: list[float] = []
        super().__init__(Policy(dev=True), sleep=self.waits.append, **options)  # type: ignore[arg-type]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[LocalServer] = []

    def start(routes: dict[str, Answer]) -> LocalServer:
        running.append(LocalServer(routes).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Set at the end of the test, so that endless answers end."""
    event = threading.Event()
    yield event
    event.set()


def names(**addresses: str) -> Callable[[str, int], list[str]]:
    """A name server that knows these, ``good_test="10.0.0.1"`` for ``good.test``."""
    known = {name.replace("_", "."): address for name, address in addresses.items()}
    return lambda host, _port: [known[host]]


# --- plain fetching -----------------------------------------------------------------------------


def test_bytes_and_the_request_that_asks_for_them(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    assert client.get_bytes(f"{server.url}/x", params={"did": "did:plc:a", "n": 1}) == DATA
    (request,) = server.seen
    assert request.path == "/x?did=did%3Aplc%3Aa&n=1"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"].startswith("atdata/")
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"


def test_json(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(b'{"a": [1, "\xc3\xbc"]}')})
    assert client.get_json(f"{server.url}/x") == {"a": [1, "ü"]}


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"\xff", b"NaN", b"[" * 10_000, b'"\\ud800"', b"9" * 5000]
)
def test_json_that_is_none(client: Client, serve: Serve, data: bytes) -> None:
    server = serve({"/x": content(data)})
    with pytest.raises(FetchFailed, match="did not answer with JSON"):
        client.get_json(f"{server.url}/x")


def test_a_stream_in_pieces(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    with client.stream(f"{server.url}/x") as body:
        assert (body.status, body.content_length) == (200, len(DATA))
        assert body.read(10) == DATA[:10]
        assert body.read(70_000) == DATA[10:70_010]
        buffer = bytearray(100)
        count = body.readinto(buffer)
        assert 0 < count <= 100
        rest = b"".join(body.chunks(1000))
        assert bytes(buffer[:count]) + rest == DATA[70_010:]
        assert (body.read(1), body.readinto(buffer)) == (b"", 0)


def test_a_stream_is_a_file_for_tarfile(client: Client, serve: Serve) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("a.msgpack")
        member.size = len(DATA)
        tar.addfile(member, io.BytesIO(DATA))
    server = serve({"/x.tar": content(packed.getvalue())})
    with (
        client.stream(f"{server.url}/x.tar") as body,
        tarfile.open(fileobj=body, mode="r|") as tar,  # type: ignore[call-overload]
    ):
        assert [tar.extractfile(m).read() for m in tar] == [DATA]


def read_into(body: Body) -> bytes:
    """All of a body, by way of one small buffer."""
    buffer, found = bytearray(4), bytearray()
    while count := body.readinto(buffer):
        found += buffer[:count]
    return bytes(found)


READERS = pytest.mark.parametrize("read", [Body.read, read_into])


@READERS
def test_a_body_of_unknown_length(
    client: Client, serve: Serve, read: Callable[[Body], bytes]
) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    server = serve({"/x": raw(chunked), "/until-close": raw(b"HTTP/1.0 200 OK\r\n\r\nabcde")})
    with client.stream(f"{server.url}/x") as body:
        assert body.content_length is None
        assert read(body) == b"abcde"
    with client.stream(f"{server.url}/until-close") as body:
        assert read(body) == b"abcde"


def test_a_range(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA[5:10], 206, content_range="bytes 5-9/256000")})
    with client.stream(f"{server.url}/x", headers={"Range": "bytes=5-9"}) as body:
        assert (body.status, body.headers["content-RANGE"]) == (206, "bytes 5-9/256000")
        assert body.read() == DATA[5:10]
    assert server.seen[0].headers["Range"] == "bytes=5-9"


def test_a_closed_body_cannot_be_mistaken_for_an_ended_one(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    with client.stream(f"{server.url}/x") as body:
        body.read(1)
    with pytest.raises(ValueError, match="closed"):
        body.read(1)


# --- sizes --------------------------------------------------------------------------------------


def test_a_body_of_exactly_the_cap_is_fine(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    assert client.get_bytes(f"{server.url}/x", max_bytes=len(DATA)) == DATA


def test_an_announced_length_over_the_cap(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    with pytest.raises(TooLarge, match="256000 bytes, at most 255999"):
        client.get_bytes(f"{server.url}/x", max_bytes=len(DATA) - 1)


def test_an_endless_body(client: Client, serve: Serve, stop: threading.Event) -> None:
    endless = raw(b"HTTP/1.1 200 OK\r\n\r\n", bytes(10_000), until=stop, every=0)
    server = serve({"/x": endless})
    with pytest.raises(TooLarge):
        client.get_bytes(f"{server.url}/x", max_bytes=100_000)
    with client.stream(f"{server.url}/x", max_bytes=100_000) as body, pytest.raises(TooLarge):
        for _ in body.chunks():
            pass
    with client.stream(f"{server.url}/x", max_bytes=100_000) as body, pytest.raises(TooLarge):
        read_into(body)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    ],
)
@READERS
def test_a_body_that_breaks_off_is_no_end(
    client: Client, serve: Serve, answer: bytes, read: Callable[[Body], bytes]
) -> None:
    server = serve({"/x": raw(answer)})
    with (
        client.stream(f"{server.url}/x") as body,
        pytest.raises(FetchFailed, match="broke off after"),
    ):
        read(body)
    with pytest.raises(FetchFailed, match="broke off"):
        client.get_bytes(f"{server.url}/x")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_named_error(client: Client, serve: Serve, answer: bytes) -> None:
    server = serve({"/x": raw(answer)})
    with pytest.raises(FetchFailed) as failed:
        client.get_bytes(f"{server.url}/x")
    assert failed.value.status is None


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [
        (b"H",),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
    ],
    ids=["status line", "headers", "body", "chunk header", "interim answers"],
)
def test_trickling(
    client: Client, serve: Serve, stop: threading.Event, pieces: tuple[bytes, ...]
) -> None:
    server = serve({"/x": raw(*pieces, until=stop, every=0.05)})
    with pytest.raises((FetchTimeout, FetchFailed)) as failed:
        client.get_bytes(f"{server.url}/x", timeout=0.4)
    if pieces[-1] != b"X: y\r\n":  # too many headers may come first
        assert isinstance(failed.value, FetchTimeout)


def test_a_trickling_stream(client: Client, serve: Serve, stop: threading.Event) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    server = serve({"/x": raw(head, b"a", until=stop, every=0.05)})
    with client.stream(f"{server.url}/x", timeout=0.4) as body, pytest.raises(FetchTimeout):
        body.read()


def test_silence(client: Client) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(FetchTimeout, match="too slow to answer"):
            client.get_bytes(f"http://127.0.0.1:{mute.getsockname()[1]}/", timeout=0.2)
    assert client.waits == []


def test_bytes_that_arrive_earn_time_back_up_to_the_first_amount() -> None:
    plain, earning = Budget(10.0), Budget(10.0, earning=True)
    for budget in (plain, earning):
        budget.spend(9.0)
        budget.earn(2 * MIN_BYTES_PER_SECOND)
    assert (plain.left, earning.left) == (1.0, 3.0)
    earning.earn(10**9)
    assert earning.left == 10.0


# --- errors and retries -------------------------------------------------------------------------


def test_an_error_status_carries_its_body(client: Client, serve: Serve) -> None:
    server = serve({"/x": status(500, b"oops")})
    with pytest.raises(FetchFailed, match="answered 500") as failed:
        client.get_bytes(f"{server.url}/x")
    assert (failed.value.status, failed.value.body) == (500, b"oops")
    assert len(server.seen) == 1


def test_an_xrpc_error(client: Client, serve: Serve) -> None:
    server = serve({"/x": status(400, b'{"error":"RepoNotFound","message":"no\\nrepo"}')})
    with pytest.raises(XrpcError) as answered:
        client.get_json(f"{server.url}/x")
    error = answered.value
    assert (error.status, error.error, error.message) == (400, "RepoNotFound", "no repo")
    with pytest.raises(FetchFailed) as failed:
        client.get_bytes(f"{server.url}/x")
    named = xrpc_error(failed.value)
    assert named is not None
    assert named.error == "RepoNotFound"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"error":1}', b'{"message":"x"}', b"<html>"])
def test_an_error_without_an_xrpc_body(client: Client, serve: Serve, data: bytes) -> None:
    server = serve({"/x": status(400, data)})
    with pytest.raises(FetchFailed, match="answered 400"):
        client.get_json(f"{server.url}/x")


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_passing_trouble_is_tried_again(client: Client, serve: Serve, code: int) -> None:
    server = serve({"/x": in_turn(status(code), status(code), content(DATA))})
    assert client.get_bytes(f"{server.url}/x") == DATA
    assert len(client.waits) == 2
    assert 0 < client.waits[0] < 1


def test_a_broken_body_is_fetched_again(client: Client, serve: Serve) -> None:
    cut = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    server = serve({"/x": in_turn(cut, content(b"0123456789"))})
    assert client.get_bytes(f"{server.url}/x") == b"0123456789"


def test_trying_again_ends(client: Client, serve: Serve) -> None:
    server = serve({"/x": status(503)})
    with pytest.raises(FetchFailed, match="answered 503"):
        client.get_bytes(f"{server.url}/x")
    assert len(server.seen) == RETRIES + 1


def test_nobody_listens(client: Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(FetchFailed):
            client.get_bytes(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert len(client.waits) == RETRIES


def test_retry_after_is_kept_to(client: Client, serve: Serve) -> None:
    server = serve({"/x": in_turn(status(429, retry_after="7"), content(DATA))})
    assert client.get_bytes(f"{server.url}/x") == DATA
    assert client.waits == [7.0]


def test_retry_after_beyond_the_time_limit_is_handed_to_the_caller(
    client: Client, serve: Serve
) -> None:
    server = serve({"/x": status(429, retry_after="300")})
    with pytest.raises(FetchFailed) as failed:
        client.get_bytes(f"{server.url}/x", timeout=30.0)
    assert (failed.value.status, failed.value.retry_after) == (429, 300.0)
    assert client.waits == []


def test_no_name_no_retry() -> None:
    def nothing(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    client = Client(resolve=nothing)
    with pytest.raises(FetchFailed, match="not known"):
        client.get_bytes("https://nowhere.test/")
    assert client.waits == []


def test_a_name_that_no_dns_can_carry() -> None:
    with pytest.raises(FetchFailed):
        Client().get_bytes(f"https://{'a' * 70}.com/")


def test_messages_hold_no_query_and_no_header(client: Client, serve: Serve) -> None:
    server = serve({"/x": status(500)})
    with pytest.raises(FetchFailed) as failed:
        client.get_bytes(f"{server.url}/x?q=hunter2", headers={"Authorization": "Bearer hunter2"})
    assert "hunter2" not in str(failed.value)


# --- addresses ----------------------------------------------------------------------------------


def test_loopback_is_refused_outside_development(serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    strict = HttpClient()
    for url in (server.url, f"https://127.0.0.1:{server.port}", f"https://localhost:{server.port}"):
        with pytest.raises(BlockedAddress):
            strict.get_bytes(f"{url}/x")
    assert server.seen == []


@pytest.mark.parametrize("text", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
def test_other_spellings_of_loopback(serve: Serve, text: str) -> None:
    server = serve({"/": content(DATA)})
    with pytest.raises((BlockedAddress, FetchFailed)):
        HttpClient().get_bytes(f"https://{text}:{server.port}/")
    assert server.seen == []


def test_a_name_is_judged_by_its_addresses() -> None:
    client = Client(resolve=names(internal_test="10.1.2.3", meta_test="169.254.169.254"))
    for url in ("http://internal.test/", "https://internal.test:8443/", "http://meta.test/"):
        with pytest.raises(BlockedAddress, match="is not a public address"):
            client.get_bytes(url)


def test_one_private_address_among_others_is_enough(serve: Serve) -> None:
    server = serve({"/": content(DATA)})
    client = Client(resolve=lambda _host, _port: ["127.0.0.1", "192.168.0.1"])
    with pytest.raises(BlockedAddress):
        client.get_bytes(f"http://mixed.test:{server.port}/")
    assert server.seen == []


def test_the_checked_address_is_the_one_connected_to(serve: Serve) -> None:
    """DNS rebinding: what a second question would be answered makes no difference."""
    server = serve({"/": content(DATA)})
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    client = Client(resolve=lambda _host, _port: answers.pop(0))
    assert client.get_bytes(f"http://rebound.test:{server.port}/") == DATA
    assert answers == [["10.0.0.1"]]
    assert server.seen[0].headers["Host"] == f"rebound.test:{server.port}"


def test_the_next_address_is_tried(serve: Serve) -> None:
    server = serve({"/": content(DATA)})
    client = Client(resolve=lambda _host, _port: ["127.0.0.9", "::1", "127.0.0.1"])
    assert client.get_bytes(f"http://three.test:{server.port}/") == DATA
    assert client.waits == []


def test_proxies_of_the_environment_are_not_used(
    client: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve({}), serve({"/x": content(DATA)})
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert client.get_bytes(f"{server.url}/x") == DATA
    assert proxy.seen == []


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(client: Client, serve: Serve, code: int) -> None:
    other = serve({"/z": content(DATA)})
    server = serve({"/x": redirect("/y", code), "/y": redirect(f"{other.url}/z", code)})
    with client.stream(f"{server.url}/x") as body:
        assert body.url == f"{other.url}/z"
        assert body.read() == DATA


def test_redirects_in_a_circle(client: Client, serve: Serve) -> None:
    server = serve({"/x": redirect("/x")})
    with pytest.raises(FetchFailed, match="more than 5 redirects"):
        client.get_bytes(f"{server.url}/x")
    assert len(server.seen) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location",
    ["http://internal.test/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "https://u@a.com"],
)
def test_redirects_are_checked_like_the_first_url(serve: Serve, location: str) -> None:
    server = serve({"/x": redirect(location)})
    client = Client(resolve=names(internal_test="10.1.2.3", start_test="127.0.0.1"))
    with pytest.raises(BlockedAddress):
        client.get_bytes(f"http://start.test:{server.port}/x")


def test_credentials_stay_with_their_origin(client: Client, serve: Serve) -> None:
    other = serve({"/z": content(DATA)})
    server = serve({"/x": redirect("/y"), "/y": redirect(f"{other.url}/z")})
    headers = {"authorization": "Bearer t", "Cookie": "c", "Range": "bytes=0-"}
    client.get_bytes(f"{server.url}/x", headers=headers)
    assert "authorization" in server.seen[1].headers
    assert not {"authorization", "Cookie"} & set(other.seen[0].headers)
    assert other.seen[0].headers["Range"] == "bytes=0-"


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[LocalServer, Client]]:
    pem = certificate(tmp_path, "good.test")
    resolve = names(good_test="127.0.0.1", other_test="127.0.0.1")
    with LocalServer({"/x": content(DATA)}, pem) as server:
        yield server, Client(ca_file=str(pem), resolve=resolve)


def test_tls(tls: tuple[LocalServer, Client], stop: threading.Event) -> None:
    server, client = tls
    assert client.get_bytes(f"https://good.test:{server.port}/x") == DATA
    with client.stream(f"https://good.test:{server.port}/x") as body:
        assert body.read(1000) + body.read() == DATA
    server.routes["/slow"] = raw(b"HTTP/1.1 200 OK\r\n\r\n", b"a", until=stop, every=0.05)
    with pytest.raises(FetchTimeout):
        client.get_bytes(f"https://good.test:{server.port}/slow", timeout=0.4)


def test_a_certificate_for_another_host(tls: tuple[LocalServer, Client]) -> None:
    server, client = tls
    with pytest.raises(FetchFailed, match=r"(?i)certificate"):
        client.get_bytes(f"https://other.test:{server.port}/x")
    assert (server.seen, client.waits) == ([], [])


def test_a_certificate_of_an_unknown_authority(tls: tuple[LocalServer, Client]) -> None:
    server, _ = tls
    stranger = Client(resolve=names(good_test="127.0.0.1"))
    with pytest.raises(FetchFailed, match=r"(?i)certificate"):
        stranger.get_bytes(f"https://good.test:{server.port}/x")
    assert server.seen == []


def test_no_way_back_from_https_to_http(tls: tuple[LocalServer, Client], serve: Serve) -> None:
    server, client = tls
    plain = serve({"/": content(DATA)})
    server.routes["/down"] = redirect(f"http://good.test:{plain.port}/")
    with pytest.raises(BlockedAddress, match="from https"):
        client.get_bytes(f"https://good.test:{server.port}/down")
    assert plain.seen == []


# --- connections --------------------------------------------------------------------------------


def test_a_connection_is_kept(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA), "/e": status(400, b"no")})
    client.get_bytes(f"{server.url}/x")
    with pytest.raises(FetchFailed):
        client.get_bytes(f"{server.url}/e")
    with client.stream(f"{server.url}/x") as body:
        body.read(len(DATA))
    client.get_bytes(f"{server.url}/x")
    assert len({request.client_port for request in server.seen}) == 1


def test_an_unread_rest_is_not_mistaken_for_the_next_answer(
    client: Client, serve: Serve, stop: threading.Event
) -> None:
    def two_parts(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789")
        stop.wait(10)

    server = serve({"/x": content(DATA), "/y": content(b"y"), "/held": two_parts})
    for path in ("/x", "/held"):
        with client.stream(f"{server.url}{path}") as body:
            body.read(10)
        assert client.get_bytes(f"{server.url}/y", timeout=5.0) == b"y"


def test_a_kept_connection_that_the_host_closed_is_no_failure(client: Client, serve: Serve) -> None:
    server = serve({"/x": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")})
    for _ in range(5):
        assert client.get_bytes(f"{server.url}/x") == b"x"
    assert client.waits == []


def test_threads_share_a_client(client: Client, serve: Serve) -> None:
    server = serve({f"/{n}": content(b"%d" % n * 5000) for n in range(40)})

    def fetch(n: int) -> bool:
        return client.get_bytes(f"{server.url}/{n}") == b"%d" % n * 5000

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, list(range(40)) * 3))
    assert len({request.client_port for request in server.seen}) <= 8


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(client: Client, serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    client.get_bytes(f"{server.url}/x")
    child = os.fork()
    if child == 0:
        os._exit(0 if client.get_bytes(f"{server.url}/x") == DATA else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.get_bytes(f"{server.url}/x")
    parents, childs, again = (request.client_port for request in server.seen)
    assert parents == again != childs


def test_a_client_can_be_sent_to_another_process(serve: Serve) -> None:
    server = serve({"/x": content(DATA)})
    copy: HttpClient = pickle.loads(pickle.dumps(HttpClient(Policy(dev=True))))
    assert copy.get_bytes(f"{server.url}/x") == DATA
