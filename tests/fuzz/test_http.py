"""
HTTP: the responses of web servers and of a container engine, and requests to the worker's server.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.challenges.challenge import CHALLENGE_PATH
from certworker.domains.address import Address
from certworker.errors import CertworkerError
from certworker.http import HttpServer
from certworker.integrations.docker.client import DockerClient
from certworker.preflight.port80.diagnosis import diagnosis
from certworker.preflight.port80.probe import Probe
from certworker.settings import HttpAddress
from certworker.settings.reload import Reload
from tests.fuzz.strategies import as_bytes, documents, raw, spoiled, texts, written
from tests.servers.web import Respond, WebServer, response, sends

NAME, TOKEN = "shop.example.org", "a" * 43
HOME = IPv4Address("127.0.0.1")

lines = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.0 404", b"HTTP/1.1 100 Continue", b"HTTP/9.9 999 x"]
) | raw.map(lambda text: text[:100])
names = st.sampled_from(
    [
        "Location",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Encoding",
        "Server",
        "CF-RAY",
        "Via",
        "",
        "a b",
    ]
)
headers = st.lists(
    st.tuples(
        names, texts | st.sampled_from(["chunked", "-1", "http://other/", "//[::1", "https:", "/again"])
    ),
    max_size=4,
)
bodies = (
    st.sampled_from([b"", b"token.thumbprint", b"5\r\nhello\r\nzz\r\n", b"<html>\0\xff", b"x" * 70_000]) | raw
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """
    Return the complete response of a web server.
    """
    if not draw(st.integers(0, 5)):
        return draw(raw)
    head = [draw(lines), *(as_bytes(f"{name}: {value}") for name, value in draw(headers))]
    return b"\r\n".join(head) + b"\r\n\r\n" + draw(bodies)


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """
    Start a web server whose response each example sets.
    """
    with WebServer(sends(b"")) as started:
        yield started


@given(answer=answers())
def test_probe(server: WebServer, answer: bytes) -> None:
    """
    Each response leads to a result of the probe with a printable diagnosis.
    """

    def resolve(_name: str) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    server.respond = sends(answer)
    journey = Probe(server.port, False, resolve, 2).fetch(NAME, CHALLENGE_PATH + TOKEN, HOME)

    assert not journey.matches(f"{TOKEN}.other")
    assert str(diagnosis(NAME, journey, [])).isprintable()


def in_good_order(content_of: Callable[[str], bytes]) -> Respond:
    """
    Return a function that sends the complete response, and waits until the client has read it.
    """

    def respond(path: str, visitor: socket.socket) -> bytes:
        visitor.sendall(content_of(path))
        visitor.shutdown(socket.SHUT_WR)
        visitor.settimeout(2)
        while visitor.recv(4_096):
            pass
        return b""

    return respond


def engine_with(content: bytes, version: bytes) -> Respond:
    """
    Return the behavior of an engine that sends *content*, and reports *version*.
    """
    return in_good_order(
        lambda path: response(200, version if path.startswith("/version") else content, Connection="close")
    )


CONTAINER = {
    "Id": "0123456789abcdef",
    "Names": ["/web", "/other/alias"],
    "Image": "nginx:1",
    "State": "running",
    "Labels": {"certworker.domains": "shop.example.org"},
    "Ports": [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"}],
    "Mounts": [{"Type": "volume", "Name": "certificates", "Source": "/var/lib", "Destination": "/storage"}],
    "HostConfig": {"NetworkMode": "default"},
}
NEIGHBOR = {
    "Id": "fedcba9876543210",
    "Names": ["/neighbor"],
    "Labels": {"certworker.domains": "a.example.net"},
}
EVENT = {
    "Type": "container",
    "Action": "start",
    "Actor": {
        "ID": "0123456789abcdef",
        "Attributes": {"name": "web", "certworker.domains": "shop.example.org"},
    },
}
VERSION = b'{"ApiVersion": "1.45", "MinAPIVersion": "1.24", "Version": "27.0"}'


@given(
    listed=spoiled(CONTAINER),
    answer=documents([CONTAINER]),
    version=st.just(VERSION) | documents(json.loads(VERSION)),
)
def test_containers(server: WebServer, listed: object, answer: bytes, version: bytes) -> None:
    """
    A container with invalid data does not hide another container.
    """
    engine = DockerClient(f"tcp://127.0.0.1:{server.port}")
    both = written([listed, NEIGHBOR])
    server.respond = engine_with(both, VERSION)
    with suppress(CertworkerError):
        found = engine.running("certworker.domains")
        assert "neighbor" in [each.name for each in found]
        for each in found:
            each.mount_source(PurePath("/storage/certificates"))
            assert all(isinstance(text, str) for text in (each.id, each.name, each.image, each.state))
            assert all(isinstance(text, str) for text in each.labels.values())
    server.respond = engine_with(answer, version)
    with suppress(CertworkerError):
        engine.all()
    with suppress(CertworkerError):
        engine.reload(Reload.parse("web:exec:reload"))


@given(lines=st.lists(documents(EVENT), max_size=3))
def test_starts(server: WebServer, lines: list[bytes]) -> None:
    """
    An invalid event does not hide another event.
    """
    neighbor = json.dumps({**EVENT, "Actor": {"ID": "1", "Attributes": {"name": "neighbor"}}}).encode()
    events = b"\n".join([*(line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines), neighbor, b""])
    server.respond = engine_with(events, VERSION)
    starts = DockerClient(f"tcp://127.0.0.1:{server.port}").starts("certworker.domains")
    try:
        assert "neighbor" in [each.name for each in starts]
    finally:
        starts.close()


@pytest.fixture(scope="module")
def door() -> Iterator[HttpServer]:
    """
    Start the worker's server with one token.
    """
    door = HttpServer(
        HttpAddress("127.0.0.1", 0),
        answer={TOKEN: f"{TOKEN}.thumbprint"}.get,
        healthy=lambda: {"healthy": True},
        metrics=lambda: b"",
    )
    door.start()
    yield door
    door.stop()


starts = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"POST /healthz HTTP/1.1",
        b"GET //metrics HTTP/1.0",
        b"PRI * HTTP/2.0",
        b"GET http://[ HTTP/1.1",
    ]
) | raw.map(lambda text: text[:9_000])
sent = st.lists(
    st.tuples(
        st.sampled_from(["Host", "Content-Length", "Transfer-Encoding", "Expect", "Connection", "X"]),
        texts | st.sampled_from(["chunked", "-1", "5", "100-continue", "close, keep-alive", "chunked, gzip"]),
    ),
    max_size=4,
)


@given(start=starts, sent=sent, body=bodies, path=texts)
def test_door(door: HttpServer, start: bytes, sent: list[tuple[str, str]], body: bytes, path: str) -> None:
    """
    No request stops the server, which responds to the next one.
    """
    head = [start, *(as_bytes(f"{name}: {value}") for name, value in sent)]
    for request in (b"\r\n".join(head) + b"\r\n\r\n" + body, b"GET " + as_bytes(path) + b" HTTP/1.1\r\n\r\n"):
        with suppress(OSError), socket.create_connection(("127.0.0.1", door.port), timeout=5) as visitor:
            visitor.sendall(request)
            visitor.shutdown(socket.SHUT_WR)
            visitor.settimeout(0.05)
            visitor.recv(4_096)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request("GET", CHALLENGE_PATH + TOKEN)
    assert connection.getresponse().read() == f"{TOKEN}.thumbprint".encode()
    connection.close()
