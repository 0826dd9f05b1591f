"""
Tests of the details of one name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.app import App
from certworker.dashboard.name_details import LONGEST_SEARCHED_QUEUE, certificate_chain, name_details
from certworker.dashboard.sources import Sources
from certworker.worker.producer import QUEUE_KEY, request_certificate

NAME = "shop.localhost"


class TestNameDetails:
    def test_a_name_in_service_has_its_certificate_and_files(self, app: App, sources: Sources) -> None:
        """
        The details have the certificate with its chain, the four files and the tenant.
        """
        app.records.record_tenants({NAME: "acme"})
        app.issuance.issue((NAME,))
        details = name_details(sources, NAME.upper())

        assert details is not None
        assert details.certificate is not None
        assert ("valid", "acme", "", None) == (
            details.status.state,
            details.tenant,
            details.covered_by,
            details.queue_position,
        )
        assert ("ec256", details.status.serial) == (
            details.certificate.key_type,
            details.certificate.serial,
        )
        assert details.status.issuer == details.certificate.chain[0].issuer
        assert details.certificate.chain[0].issuer == details.certificate.chain[1].subject
        assert {"cert", "chain", "fullchain", "privkey"} == set(details.files)
        assert all(Path(file).exists() for file in details.files.values())

    def test_a_requested_name_has_its_place_in_the_queue(self, app: App, sources: Sources) -> None:
        """
        A requested name has a position instead of a certificate. A very long queue is not searched.
        """
        request_certificate("first.localhost", connection=app.connection)
        request_certificate(NAME, connection=app.connection)
        details = name_details(sources, NAME)

        assert details is not None
        assert (2, None, {}) == (details.queue_position, details.certificate, details.files)
        app.connection.rpush(QUEUE_KEY, *range(LONGEST_SEARCHED_QUEUE))
        assert getattr(name_details(sources, NAME), "queue_position", 0) is None

    def test_an_unreadable_chain_is_left_out(self, app: App, sources: Sources) -> None:
        """
        If other files replaced the chain, the details have no certificate.
        """
        app.issuance.issue((NAME,))
        chain = (sources.settings.certificates_dir / NAME / "fullchain.pem").resolve()
        chain.write_text("no certificate")
        details = name_details(sources, NAME)

        assert details is not None
        assert details.certificate is None
        assert certificate_chain(sources, NAME) is None

    def test_an_unknown_name_has_none(self, sources: Sources) -> None:
        """
        An unknown name has no details.
        """
        assert name_details(sources, NAME) is None


class TestCertificateChain:
    @pytest.mark.parametrize(
        "added", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    )
    def test_it_has_certificates_and_never_a_key(self, app: App, sources: Sources, added: bytes) -> None:
        """
        The chain is the one on the volume, even if another program added a key to the file.
        """
        app.issuance.issue((NAME,))
        file = (sources.settings.certificates_dir / NAME / "fullchain.pem").resolve()
        pem = file.read_bytes()
        file.write_bytes(added + pem + added)

        assert pem == certificate_chain(sources, NAME)

    def test_without_a_certificate_there_is_none(self, app: App, sources: Sources) -> None:
        """
        A requested name has no chain.
        """
        app.agenda.put_many({NAME: app.clock()})

        assert certificate_chain(sources, NAME) is None
