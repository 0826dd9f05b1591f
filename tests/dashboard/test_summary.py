"""
Tests of the overview.
"""

from __future__ import annotations

import pytest

from certworker.app import App
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.dashboard.summary import summary
from certworker.errors.acme import BadCertificate
from certworker.supervision import Heartbeats
from certworker.traefik import config
from certworker.traefik.load import ProxyLoad
from certworker.worker.health import Health, reports
from certworker.worker.producer import request_certificate
from tests.servers.worker import wait_until


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
        assert (None, 0, None) == (found.proxy.reloads, found.proxy.measured, found.proxy.mean_seconds)

    def test_the_load_of_the_proxy_is_the_sum_of_the_workers(
        self, app: App, sources: Sources, index: NameIndex
    ) -> None:
        """
        The overview adds the reloads that the workers report, and weighs their mean seconds.
        """
        loads = [ProxyLoad(), ProxyLoad()]
        for seconds in (1.0, 3.0):
            loads[0].served(seconds)
        loads[1].served(8.0)
        loads[1].changed()
        workers = [Health(app.connection, Heartbeats(), lambda: True, load.report) for load in loads]
        for worker in workers:
            worker.loop.start()
        wait_until(lambda: len(reports(app.connection)) == 2 or None, lambda: "no reports")
        found = summary(sources, index).proxy
        for worker in workers:
            worker.stop()

        assert found is not None
        assert (1, 3, 4.0, 8.0) == (
            *(found.reloads, found.measured, found.mean_seconds, found.slowest_seconds),
        )

    def test_the_command_of_a_warning_can_be_copied(
        self, app: App, sources: Sources, index: NameIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The warning about many certificates ends with the command of its remedy, without a period.
        """
        monkeypatch.setattr(config, "MANY_CERTIFICATES", 1)
        app.issuance.issue(("shop.localhost",))
        found = summary(sources, index).proxy

        assert found is not None
        assert found.warning is not None
        assert found.warning.endswith(": certworker request --together NAME NAME")

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
