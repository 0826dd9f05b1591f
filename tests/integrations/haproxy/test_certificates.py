"""
Tests of the certificates in the memory of a real HAProxy.
"""

from __future__ import annotations

import ssl

import pytest

from certworker.deadline import Deadline
from certworker.errors.reload import HaproxyRefused
from certworker.integrations.haproxy import certificates
from certworker.integrations.haproxy.certificates import HaproxyCertificates
from certworker.integrations.haproxy.runtime_api import NoResponse, RuntimeApi
from certworker.storage.certificate_store import CertificateStore
from tests.integrations.haproxy.conftest import Haproxy
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store

NEW, WILDCARD, BELOW = "new.example.com", "*.apps.example.com", "one.apps.example.com"


def issue(volume: CertificateStore, signer: Signer, name: str, token: int) -> bytes:
    """
    Put a new certificate for *name* into service; return it.
    """
    stored = store(volume, signer.certificate(name), token=token)
    return ssl.PEM_cert_to_DER_cert(stored.certificate.cert_pem.decode())


class TestUpdate:
    def test_haproxy_serves_renewed_and_new_certificates_without_a_reload(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The same process serves a renewed certificate, a new name and a new wildcard.
        """
        haproxy.start()
        process, updates = RuntimeApi(haproxy.socket.path).process(), HaproxyCertificates(volume)
        issued = {name: issue(volume, signer, name, 2) for name in (NAME, NEW, WILDCARD)}
        updates.update(haproxy.socket)

        for name, server_name in ((NAME, NAME), (NEW, NEW), (WILDCARD, BELOW)):
            assert issued[name] == haproxy.certificate(server_name)
        renewed = issue(volume, signer, NEW, 3)
        updates.update(haproxy.socket)
        assert renewed == haproxy.certificate(NEW)
        assert process == RuntimeApi(haproxy.socket.path).process()

    def test_an_unchanged_certificate_is_not_sent_again(
        self,
        haproxy: Haproxy,
        volume: CertificateStore,
        signer: Signer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Only changes are sent, and the certificates that HAProxy has read itself are not.
        """
        sent: list[str] = []

        class Counting(RuntimeApi):
            def _command(self, text: str) -> str:
                sent.append(text.split(" <<")[0])
                return super()._command(text)

        monkeypatch.setattr(certificates, "RuntimeApi", Counting)
        haproxy.start()
        updates = HaproxyCertificates(volume)
        for _ in range(2):
            updates.update(haproxy.socket)
        issue(volume, signer, NAME, 2)
        updates.update(haproxy.socket)
        reads = ["show info", "show ssl cert", "show ssl crt-list"]
        state = f"show ssl cert {haproxy.path(NAME)}"
        change = [f"{verb} ssl cert {haproxy.path(NAME)}" for verb in ("set", "commit")]

        assert [*reads, state, *reads, *reads, state, *change] == sent

    def test_a_restarted_haproxy_gets_the_names_that_its_list_lacks(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A restart forgets the added names, and the next update adds them again.
        """
        haproxy.start()
        updates = HaproxyCertificates(volume)
        issued = issue(volume, signer, NEW, 2)
        updates.update(haproxy.socket)
        haproxy.stop()
        old_list = haproxy.directory / "old.txt"
        old_list.write_text(f"{haproxy.path(NAME)}\n")
        haproxy.start(certificates=f"crt-list {old_list}")
        assert issued != haproxy.certificate(NEW)
        updates.update(haproxy.socket)

        assert issued == haproxy.certificate(NEW)

    def test_without_a_list_only_loaded_certificates_are_replaced(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A configuration that names its certificates gets no other ones.
        """
        haproxy.start(certificates=f"crt {haproxy.path(NAME)}")
        renewed, _ = issue(volume, signer, NAME, 2), issue(volume, signer, NEW, 2)
        HaproxyCertificates(volume).update(haproxy.socket)

        assert renewed == haproxy.certificate(NAME)
        assert {haproxy.path(NAME)} == RuntimeApi(haproxy.socket.path).certificates()

    def test_an_interrupted_update_is_completed(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A certificate that a killed worker has not added to the list, current or not, is completed.
        """
        haproxy.start()
        api = RuntimeApi(haproxy.socket.path)
        issued = {name: issue(volume, signer, name, 2) for name in (NEW, "other.example.com")}
        api.put(haproxy.path(NEW), signer.certificate(NEW), is_new=True)
        stored = volume.current("other.example.com")
        assert stored
        api.put(haproxy.path("other.example.com"), stored.certificate, is_new=True)
        HaproxyCertificates(volume).update(haproxy.socket)

        assert issued == {name: haproxy.certificate(name) for name in issued}

    def test_an_unfinished_transaction_is_aborted(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A worker that was killed between `set` and `commit` does not block the certificates of other names.
        """
        haproxy.start()
        left = signer.certificate(NAME)
        text = (left.fullchain_pem + left.key.pem).decode()
        with Deadline(5).connect_unix(haproxy.socket.path) as connection:
            connection.sendall(f"set ssl cert {haproxy.path(NAME)} <<\n{text}\n".encode())
            assert b"Transaction created" in connection.recv(4_096)
        issued = issue(volume, signer, NEW, 2)
        before = haproxy.certificate(NAME)
        HaproxyCertificates(volume).update(haproxy.socket)

        assert (before, issued) == (haproxy.certificate(NAME), haproxy.certificate(NEW))

    def test_removed_names_leave_the_memory(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        HAProxy has no certificate of a removed name any more. One that its configuration needs stays.
        """
        haproxy.start()
        updates, api = HaproxyCertificates(volume), RuntimeApi(haproxy.socket.path)
        issue(volume, signer, NEW, 2)
        updates.update(haproxy.socket)
        assert haproxy.path(NEW) in api.certificates()
        volume.remove(NEW)
        updates.update(haproxy.socket)
        assert {haproxy.path(NAME)} == api.certificates()
        haproxy.stop()
        haproxy.start(certificates=f"crt {haproxy.path(NAME)}")
        volume.remove(NAME)
        updates.update(haproxy.socket)
        assert {haproxy.path(NAME)} == api.certificates()


class TestFailures:
    def test_a_refused_certificate_affects_no_other(
        self,
        haproxy: Haproxy,
        volume: CertificateStore,
        signer: Signer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The failure has the name and the reason, all other names are updated, and a retry sends the rest.
        """
        haproxy.start()
        long = ["a.example.com", *(f"{'n' * 30}{number}.{'m' * 30}.example" for number in range(99))]
        stored = store(volume, signer.certificate(*long), token=2)
        issued = issue(volume, signer, NEW, 2)
        updates = HaproxyCertificates(volume)
        monkeypatch.setattr("certworker.integrations.haproxy.runtime_api.LONGEST_COMMAND", 5_000)
        with pytest.raises(HaproxyRefused, match=r"a\.example\.com .*more than") as caught:
            updates.update(haproxy.socket)

        assert haproxy.socket.path in caught.value.remedy
        assert issued == haproxy.certificate(NEW)
        monkeypatch.undo()
        updates.update(haproxy.socket)
        served = ssl.PEM_cert_to_DER_cert(stored.certificate.cert_pem.decode())
        assert served == haproxy.certificate("a.example.com")

    def test_no_haproxy_is_a_failure(self, haproxy: Haproxy, volume: CertificateStore) -> None:
        """
        A missing socket is a failure, which is retried.
        """
        with pytest.raises(HaproxyRefused, match="No such file"):
            HaproxyCertificates(volume).update(haproxy.socket)

    def test_a_haproxy_that_hangs_is_asked_once(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        If HAProxy stops responding, the update ends immediately instead of waiting for each name.
        """
        calls: list[str] = []

        class Hanging(RuntimeApi):
            def put(self, path: str, *_arguments: object, **_named: object) -> None:
                calls.append(path)
                raise NoResponse("no complete response within 10 s")

        monkeypatch.setattr(certificates, "RuntimeApi", Hanging)
        haproxy.start()
        for name in (NAME, NEW):
            issue(volume, signer, name, 2)
        with pytest.raises(HaproxyRefused, match="no complete response"):
            HaproxyCertificates(volume).update(haproxy.socket)

        assert 1 == len(calls)

    def test_an_unreadable_certificate_affects_no_other(
        self, haproxy: Haproxy, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A damaged certificate is left out, and all others are updated.
        """
        haproxy.start()
        issue(volume, signer, NAME, 2)
        damaged = volume.current(NAME)
        assert damaged
        (damaged.directory / "privkey.pem").write_bytes(b"")
        issued = issue(volume, signer, NEW, 2)
        HaproxyCertificates(volume).update(haproxy.socket)

        assert issued == haproxy.certificate(NEW)
