"""
Dynamic updates, of a real BIND.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.update
import pytest

from certworker.dns01.provider import TxtRecord
from certworker.dns01.rfc2136 import Rfc2136, TsigKey
from certworker.errors import CertworkerError, Retry
from tests.servers.bind import KEY, POWERLESS, Bind
from tests.servers.ports import free_port

ZONE = "example.com"
VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
OTHER_VALUE = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


def key(**changes: str) -> TsigKey:
    """
    Return the key that may change `example.com`, with *changes*.
    """
    return TsigKey(**{"name": KEY.name, "secret": KEY.secret, "algorithm": KEY.algorithm, **changes})


def provider(bind: Bind, key: TsigKey | None) -> Rfc2136:
    """
    Return the provider that sends updates with *key* to *bind*.
    """
    host, port = bind.address
    return Rfc2136(host, port, key)


def record(owner: str, value: str = VALUE, zone: str = ZONE) -> TxtRecord:
    """
    Return a record in *zone*; each test has an owner of its own.
    """
    return TxtRecord(f"_acme-challenge.{owner}.{zone}", value, zone)


class TestChanges:
    @pytest.mark.parametrize("again", [1, 2])
    def test_a_record_is_created_and_deleted(self, bind: Bind, again: int) -> None:
        """
        A second call changes nothing.
        """
        server, ours = provider(bind, key()), record(f"once{again}")

        for _ in range(again):
            server.present(ours)
        assert bind.txt(ours.fqdn) == {VALUE}

        for _ in range(again):
            server.withdraw(ours)
        assert bind.txt(ours.fqdn) == set()

    def test_two_values_at_one_name(self, bind: Bind) -> None:
        """
        A name and its wildcard have two values at the same owner, and each is deleted alone.
        """
        server = provider(bind, key())
        first, second = record("two"), record("two", OTHER_VALUE)

        server.present(first)
        server.present(second)
        assert bind.txt(first.fqdn) == {VALUE, OTHER_VALUE}

        server.withdraw(first)
        assert bind.txt(first.fqdn) == {OTHER_VALUE}

    def test_records_of_others_are_unchanged(self, bind: Bind) -> None:
        """
        Other TXT values and other types at the same owner remain.
        """
        server, ours = provider(bind, key()), record("foreign")
        bind.add(ZONE, "_acme-challenge.foreign", "TXT", '"the value of another client"')
        bind.add(ZONE, "_acme-challenge.foreign", "CAA", '0 issue "ca.example"')

        server.present(ours)
        server.withdraw(ours)

        assert bind.txt(ours.fqdn) == {"the value of another client"}
        assert bind.ask(ours.fqdn, "CAA").answer

    def test_other_algorithms(self, tmp_path: Path) -> None:
        """
        RFC2136_TSIG_ALGORITHM has to be the one of the key.
        """
        strong = dataclasses.replace(KEY, algorithm="hmac-sha512")
        with Bind(tmp_path, ("127.0.0.1", free_port()), [ZONE], keys=[strong]) as server:
            provider(server, key(algorithm="hmac-sha512")).present(record("strong"))

            assert server.txt(record("strong").fqdn) == {VALUE}


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "zone", "code", "shown"),
        [
            (key(name="stranger."), ZONE, "dns01.credentials", "BADKEY"),
            (key(secret="d3Jvbmc="), ZONE, "dns01.credentials", "BADSIG"),
            (key(algorithm="hmac-sha512"), ZONE, "dns01.credentials", "BADKEY"),
            (key(), "closed.org", "dns01.forbidden", "REFUSED"),
            (None, ZONE, "dns01.forbidden", "REFUSED"),
            (key(), "example.net", "dns01.no_zone", "NOTAUTH"),
            (key(name=POWERLESS.name, secret=POWERLESS.secret), ZONE, "dns01.forbidden", "powerless."),
        ],
        ids=["key", "secret", "algorithm", "closed zone", "no key", "unknown zone", "key without rights"],
    )
    def test_each_has_its_code(
        self, bind: Bind, wrong: TsigKey | None, zone: str, code: str, shown: str
    ) -> None:
        """
        The failure says what to change, without the secret, and the zone is unchanged.
        """
        ours = record("refused", zone=zone)

        with pytest.raises(CertworkerError) as caught:
            provider(bind, wrong).present(ours)

        assert code == caught.value.code
        assert shown in str(caught.value)
        assert KEY.secret not in str(caught.value)
        assert bind.txt(ours.fqdn) == set()

    def test_a_record_outside_of_the_zone(self, bind: Bind) -> None:
        """
        The server decides what is in its zone.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.no_zone.*NOTZONE"):
            provider(bind, key()).present(TxtRecord("_acme-challenge.example.org", VALUE, ZONE))

    def test_another_clock(self, bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A signature is valid for five minutes.
        """
        present = time.time
        monkeypatch.setattr(time, "time", lambda: present() + 3600)

        with pytest.raises(CertworkerError, match=r"dns01\.credentials.*clock") as caught:
            provider(bind, key()).present(record("late"))

        assert Retry.PREFLIGHT is caught.value.retry

    def test_an_invalid_name(self, bind: Bind) -> None:
        """
        A name that does not fit into a message is not sent.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*invalid"):
            provider(bind, key()).present(TxtRecord(f"{'x' * 64}.{ZONE}", VALUE, ZONE))


class TestOutages:
    def test_a_server_that_is_down(self) -> None:
        """
        The next attempt comes soon.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*refused") as caught:
            Rfc2136("127.0.0.1", free_port(), key()).present(record("down"))

        assert Retry.SOON is caught.value.retry

    def test_a_server_that_hangs(self, tmp_path: Path) -> None:
        """
        The deadline is for the whole exchange. The update is as it was before: not applied.
        """
        with Bind(tmp_path, ("127.0.0.1", free_port()), [ZONE]) as server:
            server.freeze()
            impatient = dataclasses.replace(provider(server, key()), deadline_seconds=0.3)
            with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*within 0\.3 s"):
                impatient.present(record("hanging"))
            server.thaw()


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[Rfc2136]:
    """
    Return the provider of a server that answers each message with what *answer* makes of it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            visitor, _ = listener.accept()
            with visitor:
                content = answer(visitor.recv(65_537)[2:])
                visitor.sendall(content)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield Rfc2136("127.0.0.1", listener.getsockname()[1], key())
        thread.join()


def message(code: dns.rcode.Rcode, number: int = 0) -> Callable[[bytes], bytes]:
    """
    Return what answers with *code*, without a signature, and as if the query had another ID by *number*.
    """

    def answer(query: bytes) -> bytes:
        update = dns.message.from_wire(query, keyring=False)
        reply = dns.update.UpdateMessage(ZONE, id=update.id ^ number)
        reply.flags |= dns.flags.QR
        reply.set_rcode(code)
        wire = reply.to_wire()
        return len(wire).to_bytes(2, "big") + wire

    return answer


class TestLies:
    @pytest.mark.parametrize(
        ("answer", "shown"),
        [
            (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", "not a DNS message"),
            (lambda _: b"", "not a DNS message"),
            (lambda _: b"\xff\xff" + b"\0" * 65_535, "not a DNS message"),
            (lambda query: len(query).to_bytes(2, "big") + query, "not a DNS message"),
            (message(dns.rcode.NOERROR, number=1), "another message"),
            (message(dns.rcode.NOERROR), "not signed"),
            (message(dns.rcode.SERVFAIL), "SERVFAIL"),
            (message(dns.rcode.NOTIMP), "does not support dynamic updates"),
        ],
        ids=["HTML", "nothing", "zeros", "echo", "another", "unsigned", "SERVFAIL", "NOTIMP"],
    )
    def test_an_answer_that_proves_nothing_is_a_failure(
        self, answer: Callable[[bytes], bytes], shown: str
    ) -> None:
        """
        Only a signed answer confirms a change.
        """
        with (
            answering(answer) as server,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed") as caught,
        ):
            server.present(record("lies"))

        assert shown in str(caught.value)


def test_the_secret_is_not_shown() -> None:
    """
    Tracebacks and logs show the representation of objects.
    """
    assert KEY.secret not in repr(Rfc2136("ns.example.com", 53, key()))
