"""
Tests of `certworker revoke`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import WorkerProcess, wait_until
from tests.storage.authority import Signer
from tests.storage.stored import write_plain_files

NAME = "main.localhost"


@pytest.fixture
def volume(worker: WorkerProcess) -> CertificateStore:
    """
    Return the volume of a worker that has issued a certificate for NAME.
    """
    worker.start()
    worker.wait_for_line(f"{NAME}.*certificate issued")
    return CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"]))


def revocations(authority: FaultyAuthority) -> list[tuple[str, ...]]:
    """
    Return the names of each successful revocation at the CA.
    """
    return [
        request.names
        for request in authority.requests
        if request.kind == "revokeCert" and request.status == 200
    ]


def another(volume: CertificateStore, than: StoredCertificate) -> StoredCertificate | None:
    """
    Return the certificate in service, or None if it is *than*.
    """
    found = volume.current(NAME)
    return found if found and found.metadata.serial != than.metadata.serial else None


class TestRevoke:
    def test_a_new_certificate_has_another_key(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        After a revocation, the worker issues a new certificate with another key.
        """
        before = volume.current(NAME)
        assert before is not None

        ended = worker.command("revoke", NAME, "--reason", "keyCompromise")

        assert 0 == ended.returncode, ended.stderr
        assert f"{NAME}: revoked at" in ended.stdout
        assert [(NAME,)] == revocations(app_authority)
        after = wait_until(lambda: another(volume, before), lambda: worker.log)
        assert before.certificate.key.pem != after.certificate.key.pem
        worker.wait_for_line(r"forced issuance requested by certworker revoke \(uid \d+ on ")

    def test_remove_takes_the_name_out_of_service(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        With `--remove` the worker removes the name and issues no new certificate.
        """
        ended = worker.command("revoke", NAME, "--reason", "cessationOfOperation", "--remove")

        assert 0 == ended.returncode, ended.stderr
        assert [(NAME,)] == revocations(app_authority)
        worker.wait_for_line(r"removal requested by certworker revoke \(uid \d+ on ")
        worker.wait_for_line("taken out of service")
        assert volume.current(NAME) is None

    def test_a_name_without_a_certificate_is_refused(self, worker: WorkerProcess) -> None:
        """
        The command fails for a name without a certificate on the volume.
        """
        ended = worker.command("revoke", "other.localhost")

        assert 1 == ended.returncode
        assert "has no certificate here" in ended.stderr

    def test_a_covered_name_is_refused_with_its_wildcard(self, worker: WorkerProcess) -> None:
        """
        For a covered name, the message has the command that revokes the wildcard.
        """
        CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"])).covered.add([NAME])

        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert (
            f"{NAME} is covered by *.localhost. To revoke the wildcard: certworker revoke '*.localhost'"
            in ended.stderr
        )

    def test_a_certificate_of_another_ca_is_refused(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        The command fails if the CA of the certificate is not in the settings.
        """
        worker.environment["CERTWORKER_AUTHORITY"] = "development"
        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert "is not a configured CA (development)" in ended.stderr
        assert [] == revocations(app_authority)

    def test_an_adopted_certificate_is_refused(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        certworker does not know the CA of an adopted certificate. The message has its issuer.
        """
        volume = CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"]))
        write_plain_files(volume, "old.localhost", Signer().certificate("old.localhost"))
        assert volume.adopt("old.localhost")
        ended = worker.command("revoke", "old.localhost")

        assert 1 == ended.returncode
        assert ended.stderr.startswith("old.localhost has a certificate that another program requested.")
        assert "To replace it: certworker request --force old.localhost" in ended.stderr
        assert [] == revocations(app_authority)

    def test_without_redis_nothing_is_revoked(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        Without Redis the command revokes nothing, because no worker would issue a new certificate.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert "[redis.unreachable]" in ended.stderr
        assert [] == revocations(app_authority)
