"""
Test dynamic updates with a real BIND.
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
import dns.tsig
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
    Return the key with rights for `example.com`, with *changes*.
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
    Return a record in *zone*. Each test uses another owner.
    """
    return TxtRecord(f"_acme-challenge.{owner}.{zone}", value, zone)


class TestChanges:
    @pytest.mark.parametrize("calls", [1, 2])
    def test_a_record_is_created_and_deleted(self, bind: Bind, calls: int) -> None:
        """
        A record is created and deleted, and repeated calls have no effect.
        """
        server, own = provider(bind, key()), record(f"once{calls}")

        for _ in range(calls):
            server.present(own)
        assert bind.txt(own.fqdn) == {VALUE}

        for _ in range(calls):
            server.withdraw(own)
        assert bind.txt(own.fqdn) == set()

    def test_two_values_of_a_name_are_independent(self, bind: Bind) -> None:
        """
        Two values at the same owner are created and deleted independently, as for a name and its
        wildcard.
        """
        server = provider(bind, key())
        first, second = record("two"), record("two", OTHER_VALUE)

        server.present(first)
        server.present(second)
        assert bind.txt(first.fqdn) == {VALUE, OTHER_VALUE}

        server.withdraw(first)
        assert bind.txt(first.fqdn) == {OTHER_VALUE}

    def test_records_of_other_clients_are_unchanged(self, bind: Bind) -> None:
        """
        Other TXT values and other types at the same owner remain.
        """
        server, own = provider(bind, key()), record("foreign")
        bind.add(ZONE, "_acme-challenge.foreign", "TXT", '"the value of another client"')
        bind.add(ZONE, "_acme-challenge.foreign", "CAA", '0 issue "ca.example"')

        server.present(own)
        server.withdraw(own)

        assert bind.txt(own.fqdn) == {"the value of another client"}
        assert bind.ask(own.fqdn, "CAA").answer

    def test_the_algorithm_of_the_key_can_be_set(self, tmp_path: Path) -> None:
        """
        An update with the algorithm of the key succeeds.
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
    def test_each_refusal_has_its_code(
        self, bind: Bind, wrong: TsigKey | None, zone: str, code: str, shown: str
    ) -> None:
        """
        Each refusal has its failure without the secret, and the zone is unchanged.
        """
        own = record("refused", zone=zone)

        with pytest.raises(CertworkerError) as caught:
            provider(bind, wrong).present(own)

        assert code == caught.value.code
        assert shown in str(caught.value)
        assert KEY.secret not in str(caught.value)
        assert bind.txt(own.fqdn) == set()

    def test_a_record_outside_of_the_zone_is_a_failure(self, bind: Bind) -> None:
        """
        A record outside of the server's zone is a failure.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.no_zone.*NOTZONE"):
            provider(bind, key()).present(TxtRecord("_acme-challenge.example.org", VALUE, ZONE))

    def test_a_wrong_clock_is_a_failure(self, bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A clock that differs by an hour is a failure, because a signature is valid for five minutes.
        """
        present = time.time
        monkeypatch.setattr(time, "time", lambda: present() + 3600)

        with pytest.raises(CertworkerError, match=r"dns01\.credentials.*clock") as caught:
            provider(bind, key()).present(record("late"))

        assert Retry.PREFLIGHT is caught.value.retry

    def test_an_invalid_name_is_a_failure(self, bind: Bind) -> None:
        """
        An invalid name is a failure, and no message is sent.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*invalid"):
            provider(bind, key()).present(TxtRecord(f"{'x' * 64}.{ZONE}", VALUE, ZONE))


class TestOutages:
    def test_an_unreachable_server_is_a_failure(self) -> None:
        """
        An unreachable server is a failure, and the retry comes soon.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*refused") as caught:
            Rfc2136("127.0.0.1", free_port(), key()).present(record("down"))

        assert Retry.SOON is caught.value.retry

    def test_a_server_that_exceeds_the_timeout_is_a_failure(self, tmp_path: Path) -> None:
        """
        An exchange that exceeds the timeout is a failure.
        """
        with Bind(tmp_path, ("127.0.0.1", free_port()), [ZONE]) as server:
            server.freeze()
            short = dataclasses.replace(provider(server, key()), deadline_seconds=0.3)
            with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*within 0\.3 s"):
                short.present(record("hanging"))
            server.thaw()


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[Rfc2136]:
    """
    Run a server that answers each message with the result of *answer*, and yield its provider.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                content = answer(client.recv(65_537)[2:])
                client.sendall(content)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield Rfc2136("127.0.0.1", listener.getsockname()[1], key())
        thread.join()


def message(code: dns.rcode.Rcode, number: int = 0) -> Callable[[bytes], bytes]:
    """
    Return a function that answers with *code*, without a signature. *number* changes the ID of the
    message.
    """

    def answer(query: bytes) -> bytes:
        update = dns.message.from_wire(query, keyring=False)
        reply = dns.update.UpdateMessage(ZONE, id=update.id ^ number)
        reply.flags |= dns.flags.QR
        reply.set_rcode(code)
        wire = reply.to_wire()
        return len(wire).to_bytes(2, "big") + wire

    return answer


def signature_error(code: int) -> Callable[[bytes], bytes]:
    """
    Return a function that answers with the TSIG error *code* (RFC 8945, section 4.2).
    """

    def answer(query: bytes) -> bytes:
        update = dns.message.from_wire(query, keyring=False)
        reply = dns.update.UpdateMessage(ZONE, id=update.id)
        reply.flags |= dns.flags.QR
        reply.set_rcode(dns.rcode.NOTAUTH)
        reply.use_tsig(dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm), tsig_error=code)
        reply.request_mac = update.mac or b""
        wire = reply.to_wire()
        return len(wire).to_bytes(2, "big") + wire

    return answer


class TestInvalidAnswers:
    @pytest.mark.parametrize(
        ("code", "shown"),
        [
            (dns.rcode.BADSIG, r"dns01\.credentials.*the secret is wrong \(BADSIG\)"),
            (
                dns.rcode.BADTRUNC,
                r"dns01\.credentials.*too short \(BADTRUNC\)\. Correct RFC2136_TSIG_ALGORITHM in",
            ),
            (77, r"dns01\.provider_failed.*rejects the signature \(unknown TSIG error code 77\)"),
        ],
    )
    def test_each_error_of_a_signature_has_its_reason(self, code: int, shown: str) -> None:
        """
        Only BADSIG means that the secret is wrong.
        """
        with answering(signature_error(code)) as server, pytest.raises(CertworkerError, match=shown):
            server.present(record("signed"))

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
    def test_an_unsigned_or_invalid_answer_is_a_failure(
        self, answer: Callable[[bytes], bytes], shown: str
    ) -> None:
        """
        Only a signed answer confirms a change. Any other answer is a failure.
        """
        with (
            answering(answer) as server,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed") as caught,
        ):
            server.present(record("lies"))

        assert shown in str(caught.value)


def test_the_secret_is_not_shown() -> None:
    """
    The representation of the provider, which logs may contain, does not show the secret.
    """
    assert KEY.secret not in repr(Rfc2136("ns.example.com", 53, key()))
