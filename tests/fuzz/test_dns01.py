"""
DNS providers: a name server, an API and an account file can have any content.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.httpreq import HttpReq
from certworker.dns01.provider import Provider, TxtRecord
from certworker.dns01.rfc2136 import Rfc2136, TsigKey
from certworker.errors import CertworkerError
from tests.fuzz.strategies import documents, raw
from tests.servers.web import WebServer, response

RECORD = TxtRecord("a.auth.example.net", "v" * 43, "auth.example.net", "example.com", "t", "t.key")
ACCOUNT = {"fulldomain": RECORD.fqdn, "subdomain": "a", "username": "user", "password": "pass"}
KEY = TsigKey("certworker.", "c2VjcmV0IG9mIHRoZSB0ZXN0cw==")

#: Complete answers, and invalid ones.
answers = st.builds(
    lambda status, body, headers: response(status, body, **headers),
    st.sampled_from([200, 201, 204, 301, 401, 403, 404, 429, 500, 503, 999]),
    documents({"txt": RECORD.value, **ACCOUNT}),
    st.dictionaries(st.just("Retry-After"), st.text("0123456789:, GMTjan", max_size=30)),
) | raw.map(lambda text: text[:200])

#: The changes of a signed answer: other bytes, and a truncation.
damages = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)
cuts = st.integers(0, 300) | st.just(65_535)


def outcome(change: Callable[[], object]) -> str:
    """
    Return the code of the failure of *change*, or an empty text. Assert that the message is one printable
    line.
    """
    try:
        change()
    except CertworkerError as error:
        failure = error
    else:
        return ""
    assert str(failure).isprintable()
    assert failure.code.startswith(("dns01.", "fs."))
    return failure.code


@contextmanager
def api(content: bytes) -> Iterator[str]:
    """
    Yield the URL of an API that sends *content* for each request.
    """
    with WebServer(lambda _path, _visitor: content) as server:
        yield f"http://127.0.0.1:{server.port}"


@given(content=answers)
def test_answers_of_an_api(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """
    Each answer is a success or a documented failure.
    """
    file = tmp_path_factory.mktemp("fuzz") / "accounts.json"
    with api(content) as url:
        provider: Provider
        for provider in (HttpReq(url), HttpReq(url, raw=True)):
            outcome(lambda provider=provider: provider.present(RECORD))  # type: ignore[misc]
        acme_dns = AcmeDns(url, file)
        outcome(lambda: acme_dns.register("example.com"))
        # A stored account is valid.
        if file.exists():
            target = acme_dns.register("example.com")
            assert outcome(lambda: acme_dns.present(TxtRecord(target, "v", "x"))) != "dns01.no_zone"


@given(content=documents({"bad.example.com": ACCOUNT, "example.com": ACCOUNT}))
def test_account_files(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """
    certworker uses the valid parts of an account file, and never overwrites an invalid file.
    """
    file: Path = tmp_path_factory.mktemp("fuzz") / "accounts.json"
    file.write_bytes(content)
    with api(response(200, json.dumps({"txt": RECORD.value}))) as url:
        acme_dns = AcmeDns(url, file)

        assert outcome(lambda: acme_dns.present(RECORD)) in ("", "dns01.credentials", "dns01.no_zone")
        if outcome(lambda: acme_dns.register("example.com")):
            assert file.read_bytes() == content


@given(code=st.integers(0, 15), damage=damages, cut=cuts, signed=st.booleans(), other=raw)
def test_answers_to_an_update(
    code: int, damage: list[tuple[int, int]], cut: int, signed: bool, other: bytes
) -> None:
    """
    Only an answer with the signature of the key confirms an update.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sent: list[bytes] = []

        def serve() -> None:
            visitor, _ = listener.accept()
            with visitor:
                length = int.from_bytes(visitor.recv(2), "big")
                right = _reply(visitor.recv(length), code, signed)
                wire = bytearray(right if cut else other[:60_000])
                for place, byte in damage:
                    if place < len(wire):
                        wire[place] = byte
                sent.extend((right, bytes(wire[:cut] if cut else wire)))
                visitor.sendall(len(sent[1]).to_bytes(2, "big") + sent[1])

        thread = Thread(target=serve, daemon=True)
        thread.start()
        server = Rfc2136("127.0.0.1", listener.getsockname()[1], KEY)
        found = outcome(lambda: server.present(RECORD))
        thread.join()

    if found == "":
        right, answer = sent
        assert signed
        assert code == dns.rcode.NOERROR
        # The signature covers the flags and the code. The id is the id of the query.
        assert answer[:4] == right[:4]


def _reply(query: bytes, code: int, signed: bool) -> bytes:
    key = dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm)
    update = dns.message.from_wire(query, keyring=key)
    reply = dns.message.make_response(update)
    reply.set_rcode(dns.rcode.Rcode(code))
    if not signed:
        reply.tsig = None
        reply.keyring = None
    return reply.to_wire()
