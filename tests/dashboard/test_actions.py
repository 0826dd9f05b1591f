"""
Tests of the actions: the jobs that they enqueue, and the tenants that they check.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from certworker.app import App
from certworker.dashboard.actions import Actions, OtherTenant
from certworker.dashboard.sources import Sources
from certworker.errors import CertworkerError
from certworker.errors.rate import Paused
from certworker.own_certificates import Pem
from certworker.settings.customers import CustomerSettings
from certworker.worker.payload import read_call
from certworker.worker.producer import queue_length
from tests.certificate_builder import Wanted, key_pem

NAME = "shop.localhost"


@pytest.fixture
def actions(sources: Sources) -> Actions:
    """
    Return the actions of `app`.
    """
    return Actions(sources)


def call_of(app: App, job: str) -> tuple[str, dict[str, Any]]:
    """
    Return the function and the arguments of *job*.
    """
    data = app.connection.hget(f"rq:job:{job}", "data")
    assert isinstance(data, bytes)
    call = read_call(data)
    return call.function, call.keywords


class TestImportedNames:
    def test_an_import_is_stored_with_its_job(self, app: App, actions: Actions) -> None:
        """
        An import has the name in its normal form, and the requester in its job.
        """
        signed = Wanted([NAME]).sign()
        pem = Pem(signed.pem, key_pem(signed.key))
        imported = actions.import_certificate("Shop.LOCALHOST", pem, by="token x", force=False)

        assert (NAME,) == imported.metadata.names
        assert "token x" == call_of(app, imported.job)[1]["by"]
        metadata = app.certificates.metadata(NAME)
        assert metadata
        assert metadata.is_imported

    @pytest.mark.parametrize("action", ["renew", "retry"])
    def test_an_action_for_another_name_of_its_old_certificate_leaves_it(
        self, app: App, actions: Actions, action: str
    ) -> None:
        """
        After the import of one name of a certificate, an action for the other name is only for that name.
        """
        app.issuance.issue((NAME, "b.localhost"))
        signed = Wanted([NAME]).sign()
        actions.import_certificate(NAME, Pem(signed.pem, key_pem(signed.key)), by="x", force=True)
        job = getattr(actions, action)("b.localhost", by="y")

        assert "b.localhost" == call_of(app, job)[1]["domain"]

    def test_a_renewal_does_not_replace_an_import(self, app: App, actions: Actions) -> None:
        """
        The action `renew` requests no new certificate for an imported name.
        """
        signed = Wanted([NAME]).sign()
        actions.import_certificate(NAME, Pem(signed.pem, key_pem(signed.key)), by="x", force=False)
        job = actions.renew(NAME, by="y")

        assert call_of(app, job)[1]["force"] is False


class TestRequest:
    def test_each_name_has_its_job_once(self, app: App, actions: Actions) -> None:
        """
        Each name is one job with its requester. A repeated request is the same job.
        """
        jobs = actions.request([NAME, "SHOP.localhost.", "b.localhost"], by="token x", tenant="acme")

        assert jobs == actions.request([NAME, "b.localhost"], by="token x", tenant="acme")
        assert (2, 2) == (len(jobs), queue_length(app.connection))
        assert (
            "certworker.issue",
            {"domain": NAME, "force": False, "tenant": "acme", "by": "token x"},
        ) == call_of(app, jobs[0].job)

    def test_names_together_are_one_job(self, app: App, actions: Actions) -> None:
        """
        Names for one certificate are one job without a tenant.
        """
        (job,) = actions.request([NAME, "b.localhost"], by="x", together=True)

        assert (NAME, "b.localhost") == job.names
        assert {"domains": [NAME, "b.localhost"], "force": False, "by": "x"} == call_of(app, job.job)[1]

    @pytest.mark.parametrize("names", [["*.localhost"], [NAME, "a b"], ["../x"]])
    def test_a_request_with_an_invalid_name_is_refused(
        self, app: App, actions: Actions, names: list[str]
    ) -> None:
        """
        A request with an invalid name is refused as a whole.
        """
        for together in (False, True):
            with pytest.raises(CertworkerError):
                actions.request(names, by="x", tenant="acme", together=together)
        assert 0 == queue_length(app.connection)
        assert "" == app.records.tenant_of(NAME)

    @pytest.mark.parametrize("action", ["renew", "retry", "resume"])
    def test_a_tenant_orders_no_certificate_with_names_of_others(
        self, app: App, actions: Actions, action: str
    ) -> None:
        """
        A tenant cannot order a certificate that is also for a name of another tenant. An operator can.
        """
        app.records.record_tenants({NAME: "acme", "b.localhost": "other"})
        app.issuance.issue((NAME, "b.localhost"))

        with pytest.raises(OtherTenant):
            getattr(actions, action)(NAME, by="x", tenant="acme")
        assert 0 == queue_length(app.connection)
        assert getattr(actions, action)(NAME, by="x")

    def test_a_tenant_takes_no_name_of_others(self, app: App, actions: Actions) -> None:
        """
        A tenant cannot get a name of another tenant or one without a tenant, even if Redis lost the record.
        """
        app.issuance.issue(("operator.localhost",))
        actions.request(["other.localhost"], by="x", tenant="other")
        app.agenda.put_many({"planned.localhost": app.clock()})
        before = queue_length(app.connection)
        for name in ("operator.localhost", "other.localhost", "planned.localhost"):
            with pytest.raises(OtherTenant):
                actions.request([NAME, name], by="x", tenant="acme")
        app.connection.flushall()
        with pytest.raises(OtherTenant):
            actions.request(["operator.localhost"], by="x", tenant="acme")

        assert 0 < before
        assert 0 == queue_length(app.connection)
        assert "" == app.records.tenant_of(NAME)

    def test_an_operator_gives_a_name_to_a_tenant(self, app: App, actions: Actions) -> None:
        """
        An operator assigns any name to a tenant. The tenant sees it immediately.
        """
        app.issuance.issue((NAME,))
        actions.request([NAME], by="x", tenant="acme", assign=True)

        assert "acme" == app.records.tenant_of(NAME)
        assert actions.request([NAME], by="x", tenant="acme")


class TestProofs:
    def test_a_claim_without_a_proof_excludes_no_tenant(self, app: App, sources: Sources) -> None:
        """
        With proofs of ownership, only a name in service belongs to its tenant. The job checks the proof.
        """
        customers = CustomerSettings.model_validate({"CERTWORKER_OWNERSHIP": "txt"})
        settings = sources.settings.model_copy(update={"customers": customers})
        actions = Actions(replace(sources, settings=settings))
        app.issuance.issue(("operator.localhost",))

        actions.request([NAME], by="x", tenant="squatter")
        app.agenda.put_many({NAME: app.clock()})
        (job,) = actions.request([NAME], by="x", tenant="acme", together=True)
        with pytest.raises(OtherTenant):
            actions.request(["operator.localhost"], by="x", tenant="acme")

        assert job
        assert "squatter" == app.records.tenant_of(NAME)


class TestOtherActions:
    def test_a_renewal_is_forced_for_all_names_of_the_certificate(self, app: App, actions: Actions) -> None:
        """
        A renewal is a forced request for the same names. Without a certificate, it is for the name.
        """
        app.issuance.issue((NAME, "b.localhost"))
        renewal, first = actions.renew(NAME, by="x"), actions.renew("new.localhost", by="x")

        assert {"domains": [NAME, "b.localhost"], "force": True, "by": "x"} == call_of(app, renewal)[1]
        assert {"domain": "new.localhost", "force": True, "by": "x"} == call_of(app, first)[1]

    def test_a_renewal_of_a_covered_name_orders_no_certificate(self, app: App, actions: Actions) -> None:
        """
        A name that a wildcard covers gets a check, but not its own certificate.
        """
        app.issuance.issue((NAME,))
        stored = app.certificates.current(NAME)
        assert stored is not None
        wildcard = replace(stored.certificate, names=("*.localhost",))
        app.certificates.store(wildcard, authority="other", kind="private", token=2)
        app.certificates.covered.add(["covered.localhost"])
        job = actions.renew("covered.localhost", by="x")

        assert {"domain": "covered.localhost", "force": False, "by": "x"} == call_of(app, job)[1]

    def test_a_paused_name_is_resumed(self, app: App, actions: Actions) -> None:
        """
        Resuming a name ends the pause of the CA, and requests the names of the last attempt.
        """
        names = [NAME, "b.localhost"]
        paused = Paused(authority="the CA", name=NAME, url="https://ca.example/unpause")
        budget = app.issuers[0].budget
        with pytest.raises(Paused), budget.reserve(names, exempt=False, renewal=False):
            raise paused
        app.records.record_failed(names, paused, next_check=app.clock(), now=app.clock())
        with pytest.raises(Paused), budget.reserve(names, exempt=False, renewal=False):
            pass
        job = actions.resume(NAME, by="x")

        with budget.reserve(names, exempt=False, renewal=False):
            pass
        assert {"domains": names, "force": False, "by": "x"} == call_of(app, job)[1]

    def test_a_removal_is_a_job(self, app: App, actions: Actions) -> None:
        """
        A removal is a job with its own function.
        """
        assert ("certworker.remove", {"domain": NAME, "by": "x"}) == call_of(
            app, actions.remove(NAME, by="x")
        )
