"""
`certworker revoke`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import WorkerProcess, wait_until

NAME = "main.localhost"


@pytest.fixture
def volume(worker: WorkerProcess) -> CertificateStore:
    """
    The volume of a worker that has issued for NAME.
    """
    worker.start()
    worker.wait_for_line(f"{NAME}.*certificate issued")
    return CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"]))


def revocations(authority: FaultyAuthority) -> list[tuple[str, ...]]:
    """
    Return the revocations at the CA.
    """
    return [asked.names for asked in authority.requests if asked.kind == "revokeCert" and asked.status == 200]


def another(volume: CertificateStore, than: StoredCertificate) -> StoredCertificate | None:
    """
    The certificate in service, if it is another one.
    """
    found = volume.current(NAME)
    return found if found and found.metadata.serial != than.metadata.serial else None


class TestRevoke:
    def test_a_new_one_with_another_key_follows(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        A leaked key needs a certificate with another key.
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

    def test_or_the_name_is_removed_from_service(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        A sold domain needs no new certificate.
        """
        ended = worker.command("revoke", NAME, "--reason", "cessationOfOperation", "--remove")

        assert 0 == ended.returncode, ended.stderr
        assert [(NAME,)] == revocations(app_authority)
        worker.wait_for_line(r"removal requested by certworker revoke \(uid \d+ on ")
        worker.wait_for_line("taken out of service")
        assert volume.current(NAME) is None

    def test_what_is_not_here_is_not_revoked(self, worker: WorkerProcess) -> None:
        """
        A mistyped name is an error.
        """
        ended = worker.command("revoke", "other.localhost")

        assert 1 == ended.returncode
        assert "has no certificate here" in ended.stderr

    def test_a_covered_name_leads_to_its_wildcard(self, worker: WorkerProcess) -> None:
        """
        The certificate of the wildcard serves other names, too.
        """
        CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"])).covered.add([NAME])

        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert (
            f"{NAME} is covered by *.localhost. To revoke that: certworker revoke '*.localhost'"
            in ended.stderr
        )

    def test_a_certificate_of_another_ca_wants_that_ca(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        Only the one that issued it can revoke it.
        """
        worker.environment["CERTWORKER_AUTHORITY"] = "development"
        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert "is not one of the CAs that are set (development)" in ended.stderr
        assert [] == revocations(app_authority)

    def test_without_redis_nothing_is_revoked(
        self, worker: WorkerProcess, volume: CertificateStore, app_authority: FaultyAuthority
    ) -> None:
        """
        No worker would issue a new certificate.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("revoke", NAME)

        assert 1 == ended.returncode
        assert "[redis.unreachable]" in ended.stderr
        assert [] == revocations(app_authority)
