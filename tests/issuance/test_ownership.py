"""
Tests of the proof of ownership before the first order, with a real BIND, Redis and CA.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError, Retry
from certworker.errors.dns import InServiceForAnother, NameServersTimeout
from certworker.errors.pages import RETRIES, page_of
from certworker.observability.events import EVENTS
from certworker.renewal.policy import RETRY_PAUSES
from certworker.runtime import build_tasks
from certworker.worker.producer import ISSUE
from tests.app_fixture import open_app
from tests.dns01.network import Network, change
from tests.servers.bind import HERE, Bind
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.storage.authority import Signer

ZONE = "shop.org"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, Bind]]:
    """
    Yield a DNS and the server of the zone. All names of the zone point to this machine.
    """
    with Network(tmp_path_factory.mktemp("dns")) as opened:
        yield opened, opened.bind(ZONE, ["* A 127.0.0.1"])


class Platform:
    """
    An app that requires proofs, and the zone of a customer.
    """

    def __init__(self, app: App, authority: FaultyAuthority, zone: Bind) -> None:
        self.app = app
        self.authority = authority
        self._zone = zone

    def prove(self, name: str, tenant: str, *, delete: bool = False) -> None:
        """
        Create or delete the proof that *tenant* owns *name*.
        """
        change(self._zone, ZONE, f"_certworker.{name}", f"tenant={tenant}", delete=delete)

    def request(self, *names: str, tenant: str | None = None, force: bool = False) -> str:
        """
        Run a job for *names*, and return the state of its result or the code of its failure.
        """
        try:
            return str(build_tasks(self.app)[ISSUE](domains=list(names), tenant=tenant, force=force)["state"])
        except CertworkerError as failure:
            return failure.code

    def orders(self) -> int:
        """
        Return the number of orders that the CA received.
        """
        return sum(request.kind == "newOrder" for request in self.authority.requests)

    def events(self) -> list[tuple[str, str]]:
        """
        Return the names and the states of all events.
        """
        entries: Any = self.app.connection.xrange(EVENTS)
        found = [json.loads(fields[b"event"]) for _, fields in entries]
        return [(each["name"], each["state"]) for each in found]


@contextmanager
def platform_of(
    directory: Path, connection: Redis, network: tuple[Network, Bind], **variables: str
) -> Iterator[Platform]:
    """
    Open a platform with additional *variables*.
    """
    (dns, zone), http_port = network, free_port()
    with (
        development_authority(directory, http01_port=http_port, resolve=lambda _: HERE) as authority,
        open_app(
            directory,
            connection,
            authority.directory_url,
            http_port,
            variables=variables,
            _APP_DNS="{}:{}".format(*dns.resolver.address),
            CERTWORKER_NOTIFY_URL="http://127.0.0.1:9/",
        ) as app,
    ):
        yield Platform(app, authority, zone)


@pytest.fixture
def platform(tmp_path: Path, connection: Redis, network: tuple[Network, Bind]) -> Iterator[Platform]:
    """
    Yield a platform that requires proofs.
    """
    with platform_of(tmp_path, connection, network, CERTWORKER_OWNERSHIP="txt") as opened:
        yield opened


class TestFirstOrder:
    def test_without_a_proof_there_is_no_order(self, platform: Platform) -> None:
        """
        The job fails with the record to create, and the next check follows soon.
        """
        name = f"first.{ZONE}"

        assert "dns.ownership_missing" == platform.request(name, tenant="acme")
        record = platform.app.records.read(name)
        assert record
        assert ("failed", "acme") == (record.state, record.tenant)
        assert f'_certworker.{name}. TXT "tenant=acme"' in record.remedy
        assert record.next_check
        assert record.next_check - record.updated < 2 * RETRY_PAUSES[Retry.PREFLIGHT].pauses[0]
        assert name in platform.app.agenda
        assert 0 == platform.orders()

    def test_the_next_check_finds_the_proof(self, platform: Platform) -> None:
        """
        The job of the next check names no tenant. It needs the proof of the tenant in the record.
        """
        name = f"next.{ZONE}"
        platform.request(name, tenant="acme")
        assert "dns.ownership_missing" == platform.request(name)
        platform.prove(name, "rival")
        assert "dns.ownership_missing" == platform.request(name, force=True)

        platform.prove(name, "acme")
        assert "issued" == platform.request(name)
        assert "acme" == platform.app.records.owner_of(name)

    def test_each_name_needs_a_proof(self, platform: Platform) -> None:
        """
        One proof is not enough for a certificate with two names.
        """
        names = f"one.{ZONE}", f"two.{ZONE}"
        platform.prove(names[0], "acme")

        assert "dns.ownership_missing" == platform.request(*names, tenant="acme")
        platform.prove(names[1], "acme")
        assert "issued" == platform.request(*names, tenant="acme")

    def test_the_operator_needs_no_proof(self, platform: Platform) -> None:
        """
        A request without a tenant is the operator's.
        """
        assert "issued" == platform.request(f"operator.{ZONE}")

    def test_a_tenant_named_like_the_domain_needs_a_proof(self, platform: Platform) -> None:
        """
        The registered domain is the default for fair queueing, but here the request names it.
        """
        assert "dns.ownership_missing" == platform.request(f"like.{ZONE}", tenant=ZONE)

    def test_an_unprintable_tenant_is_refused(self, platform: Platform) -> None:
        """
        It could not be recorded, so the next check would need no proof.
        """
        assert "payload.type" == platform.request(f"odd.{ZONE}", tenant="acme\n")
        assert f"odd.{ZONE}" not in platform.app.agenda

    def test_the_newest_claim_without_a_proof_counts(self, platform: Platform) -> None:
        """
        A claim without a proof does not exclude the owner.
        """
        name = f"claimed.{ZONE}"
        platform.request(name, tenant="rival")
        platform.prove(name, "acme")

        assert "issued" == platform.request(name, tenant="acme")
        assert "acme" == platform.app.records.tenant_of(name)

    def test_by_default_no_proof_is_required(
        self, tmp_path: Path, connection: Redis, network: tuple[Network, Bind]
    ) -> None:
        """
        Without the setting, the tenant of a request is recorded without a proof.
        """
        name = f"default.{ZONE}"
        with platform_of(tmp_path, connection, network) as platform:
            assert "issued" == platform.request(name, tenant="acme")
            assert "kept" == platform.request(name, tenant="rival")
            assert "rival" == platform.app.records.tenant_of(name)


class TestInService:
    def owned(self, platform: Platform, name: str) -> None:
        """
        Put a certificate for *name* of the tenant acme into service, and delete the proof.
        """
        platform.prove(name, "acme")
        assert "issued" == platform.request(name, tenant="acme")
        platform.prove(name, "acme", delete=True)

    def test_its_tenant_needs_no_further_proof(self, platform: Platform) -> None:
        """
        Renewals and requests of the same tenant need no record any more.
        """
        name = f"kept.{ZONE}"
        self.owned(platform, name)

        assert "kept" == platform.request(name, tenant="acme")
        assert "issued" == platform.request(name, tenant="acme", force=True)
        assert "issued" == platform.request(name, force=True)

    def test_another_tenant_changes_nothing(self, platform: Platform) -> None:
        """
        The request of another tenant fails without an event, a notification or a change of the record.
        """
        name = f"taken.{ZONE}"
        self.owned(platform, name)
        before = platform.app.records.read(name), platform.app.agenda.next_check(name), platform.events()

        for force in (False, True):
            assert "dns.ownership_missing" == platform.request(name, tenant="rival", force=force)

        after = platform.app.records.read(name), platform.app.agenda.next_check(name), platform.events()
        assert before == after
        assert {"hook": 0} == platform.app.notifier.waiting()

    def test_the_failure_plans_no_retry_and_has_the_next_step(self, platform: Platform) -> None:
        """
        certworker does not retry the request of another tenant, and the failure and its page agree with that.
        """
        name = f"claimed.{ZONE}"
        self.owned(platform, name)

        with pytest.raises(InServiceForAnother) as caught:
            platform.app.issuance.ownership.check((name,), "rival")

        assert Retry.NEVER is caught.value.retry
        remedy = f'then send the request again: _certworker.{name}. TXT "tenant=rival"'
        assert caught.value.remedy.endswith(remedy)
        page = " ".join(page_of(InServiceForAnother.code).split())
        assert f"found no TXT record for this tenant.`: {RETRIES[Retry.NEVER]}" in page
        assert RETRIES[Retry.PREFLIGHT] in page

    def test_a_dns_outage_hides_no_owner(self, platform: Platform) -> None:
        """
        If DNS does not answer, the request of another tenant changes nothing either. A new name is retried.
        """
        name, new = f"outage.{ZONE}", f"new.{ZONE}"
        self.owned(platform, name)

        def fail(name: str, _tenant: str) -> None:
            raise NameServersTimeout(name=name, detail="no answer").from_preflight()

        before = platform.app.records.read(name)
        ownership = replace(platform.app.issuance.ownership, prove=fail)
        with pytest.raises(InServiceForAnother):
            ownership.check((name,), "rival")
        with pytest.raises(NameServersTimeout):
            ownership.check((new,), "rival")

        assert before == platform.app.records.read(name)
        assert new in platform.app.agenda
        assert "rival" == platform.app.records.tenant_of(new)

    def test_a_name_of_the_operator_is_not_for_a_tenant(self, platform: Platform) -> None:
        """
        A tenant needs a proof for a name that is in service for the operator.
        """
        name = f"ours.{ZONE}"
        platform.request(name)

        assert "dns.ownership_missing" == platform.request(name, tenant="rival")
        assert "dns.ownership_missing" == platform.request(name, tenant="rival")
        assert "" == platform.app.records.tenant_of(name)

    def test_a_new_proof_moves_the_name_to_another_tenant(self, platform: Platform) -> None:
        """
        A renamed tenant, or another one, needs a new proof.
        """
        name = f"sold.{ZONE}"
        self.owned(platform, name)
        platform.prove(name, "new")

        assert "kept" == platform.request(name, tenant="new")
        assert ("new", "new") == (platform.app.records.owner_of(name), platform.app.records.tenant_of(name))
        assert "dns.ownership_missing" == platform.request(name, tenant="acme")

    def test_a_waiting_request_does_not_change_the_tenant(self, platform: Platform) -> None:
        """
        A request that waits for a slot records its tenant. A tenant with a proof stays the tenant.
        """
        name = f"waits.{ZONE}"
        self.owned(platform, name)

        platform.app.records.record_tenants({name: "rival"})

        assert "acme" == platform.app.records.tenant_of(name)
        assert "dns.ownership_missing" == platform.request(name, tenant="rival")

    def test_after_the_end_of_service_a_new_proof_is_needed(self, platform: Platform) -> None:
        """
        A name that has moved away and is out of service may have another owner when it is back.
        """
        name = f"back.{ZONE}"
        self.owned(platform, name)
        platform.app.certificates.remove(name)

        assert "dns.ownership_missing" == platform.request(name)
        assert "dns.ownership_missing" == platform.request(name, tenant="acme")

    def test_after_a_removal_a_new_proof_is_needed(self, platform: Platform) -> None:
        """
        A removed name is like a new one.
        """
        name = f"gone.{ZONE}"
        self.owned(platform, name)
        platform.app.removal.remove(name)

        assert "dns.ownership_missing" == platform.request(name, tenant="acme")


class TestCovered:
    def test_a_covered_name_needs_no_proof(
        self, tmp_path: Path, connection: Redis, network: tuple[Network, Bind]
    ) -> None:
        """
        Nothing is ordered for a covered name. The first tenant that requests it is its tenant.
        """
        name, provider = f"covered.{ZONE}", {"CERTWORKER_DNS01_PROVIDER": "rfc2136"}
        variables = {**provider, "RFC2136_NAMESERVER": "127.0.0.1:9", "CERTWORKER_OWNERSHIP": "txt"}
        with platform_of(tmp_path, connection, network, **variables) as platform:
            choice = platform.app.settings.authority
            certificate = Signer().certificate(f"*.{ZONE}")
            platform.app.certificates.store(certificate, authority=choice.label, kind=choice.kind, token=1)
            assert "issued" == platform.request(f"*.{ZONE}")

            assert "covered" == platform.request(name, tenant="acme")
            assert "covered" == platform.request(name, tenant="rival")
            assert "acme" == platform.app.records.tenant_of(name)
            assert 0 == platform.orders()
