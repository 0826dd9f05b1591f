"""
Tests of the overview.
"""

from __future__ import annotations

from certworker.app import App
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.dashboard.summary import summary
from certworker.errors.acme import BadCertificate
from certworker.worker.producer import request_certificate


class TestSummary:
    def test_it_has_counts_problems_renewals_queue_and_proxy(
        self, app: App, sources: Sources, index: NameIndex
    ) -> None:
        """
        The overview has the names to fix, the next renewals, the queue and the files of Traefik.
        """
        app.issuance.issue(("shop.localhost",))
        now = app.clock()
        app.agenda.put_many({"broken.localhost": now})
        failure = BadCertificate(name="broken.localhost", reason="it is damaged")
        app.records.record_failed(["broken.localhost"], failure, next_check=now, now=now)
        app.records.record_tenants({"shop.localhost": "acme"})
        request_certificate("new.localhost", connection=app.connection)
        found = summary(sources, index)

        assert (2, 1, 1) == (found.total, found.counts["valid"], found.counts["no_certificate"])
        assert [("broken.localhost", BadCertificate.code)] == [(one.name, one.code) for one in found.problems]
        assert ["shop.localhost"] == [one.name for one in found.next_renewals]
        assert found.queue is not None
        assert (1, 0, 0, False) == (
            found.queue.waiting,
            found.queue.deferred,
            found.queue.workers,
            found.queue.suspended,
        )
        assert () == found.running
        assert found.proxy is not None
        assert 1 == found.proxy.files

    def test_a_tenant_sees_its_names_and_nothing_of_the_machine(
        self, app: App, sources: Sources, index: NameIndex
    ) -> None:
        """
        The overview of a tenant has the counts of its names, but no queue, jobs or proxy.
        """
        app.issuance.issue(("shop.localhost",))
        app.issuance.issue(("other.localhost",))
        app.records.record_tenants({"shop.localhost": "acme"})
        found = summary(sources, index, "acme")

        assert (1, 1) == (found.total, found.counts["valid"])
        assert ["shop.localhost"] == [one.name for one in found.next_renewals]
        assert (None, None, None) == (found.queue, found.running, found.proxy)
