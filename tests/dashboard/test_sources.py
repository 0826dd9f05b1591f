"""
Tests of the sources of the page and the API.
"""

from __future__ import annotations

from certworker.app import App
from certworker.dashboard.sources import Sources


class TestSources:
    def test_they_read_the_state_that_a_worker_writes(self, app: App, sources: Sources) -> None:
        """
        The sources read the agenda, the record and the certificate that the worker wrote.
        """
        app.issuance.issue(("shop.localhost",))
        record = sources.records.read("shop.localhost")
        metadata = sources.certificates.metadata("shop.localhost")

        assert ["shop.localhost"] == sources.agenda.names()
        assert record is not None
        assert metadata is not None
        assert record.serial == metadata.serial
        assert sources.clock().tzinfo is not None
