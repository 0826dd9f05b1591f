"""
Tests of the proof that a tenant owns a name, with a real BIND.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.dns01.delegation import Delegations
from certworker.errors.dns import ContainerResolver, NameServersFail, OwnershipMissing
from certworker.preflight.ownership import Proofs, owner_of, proof_of
from tests.dns01.network import Network
from tests.servers.bind import HERE
from tests.servers.ports import free_port

ZONE = "shop.org"

#: The records of the zone, by the first label of the name of each test.
RECORDS = [
    '_certworker.right TXT "tenant=acme"',
    '_certworker.many TXT "v=other"',
    '_certworker.many TXT "tenant=rival"',
    '_certworker.many TXT "tenant=acme"',
    '_certworker.parts TXT "tenant=" "acme"',
    '_certworker.case TXT "tenant=Acme"',
    '_certworker.rival TXT "tenant=rival"',
    '_certworker TXT "tenant=acme"',
    "_certworker.alias CNAME _certworker.right",
    'hosted TXT "tenant=acme"',
    *(f'_certworker.hostile TXT "{"x" * 200}" "{number}\\027[31m"' for number in range(20)),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """
    Yield a DNS with the zone of the tests.
    """
    with Network(tmp_path_factory.mktemp("dns")) as opened:
        opened.bind(ZONE, RECORDS)
        yield opened


@pytest.fixture(scope="module")
def proofs(network: Network) -> Proofs:
    """
    Return the check.
    """
    return Proofs(network.delegations())


class TestProofs:
    @pytest.mark.parametrize("name", ["right", "many", "parts"])
    def test_a_record_that_names_the_tenant_is_a_proof(self, proofs: Proofs, name: str) -> None:
        """
        One of several records is enough, and a record may consist of several strings.
        """
        proofs.check(f"{name}.{ZONE}", "acme")

    def test_a_wildcard_needs_the_record_of_its_base(self, proofs: Proofs) -> None:
        """
        The owner of the base name controls all names that the wildcard covers.
        """
        proofs.check(f"*.{ZONE}", "acme")
        proofs.check(f"*.right.{ZONE}", "acme")

    @pytest.mark.parametrize("name", ["rival", "case", "none", "alias", "hosted", "a.right"])
    def test_anything_else_is_no_proof(self, proofs: Proofs, name: str) -> None:
        """
        Neither the value of another tenant, nor the record of a parent, nor a CNAME is a proof.
        """
        with pytest.raises(OwnershipMissing) as caught:
            proofs.check(f"{name}.{ZONE}", "acme")

        assert f'_certworker.{name}.{ZONE}. TXT "tenant=acme"' in caught.value.remedy

    def test_the_message_has_what_exists(self, proofs: Proofs) -> None:
        """
        The message names the tenant and the existing records.
        """
        with pytest.raises(OwnershipMissing, match=r'the tenant acme \(found: "tenant=rival"\)'):
            proofs.check(f"rival.{ZONE}", "acme")
        with pytest.raises(OwnershipMissing, match=r"\(found: no record\)"):
            proofs.check(f"none.{ZONE}", "acme")

    def test_hostile_records_are_bounded_and_printable(self, proofs: Proofs) -> None:
        """
        Many long records with control characters make a short message in one line.
        """
        with pytest.raises(OwnershipMissing) as caught:
            proofs.check(f"hostile.{ZONE}", "acme")

        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 700
        assert "and 17 more" in caught.value.message

    def test_an_ip_address_has_no_proof(self, proofs: Proofs) -> None:
        """
        DNS has no records of the owner of an IP address.
        """
        with pytest.raises(OwnershipMissing):
            proofs.check("192.0.2.1", "acme")

    def test_a_resolver_that_does_not_answer_is_not_a_missing_record(self) -> None:
        """
        The failure names the resolver, and not the customer.
        """
        with pytest.raises(ContainerResolver):
            Proofs(Delegations([(HERE, free_port())], private=True)).check(f"right.{ZONE}", "acme")

    def test_servers_that_fail_are_not_a_missing_record(self, network: Network) -> None:
        """
        The failure names the name servers.
        """
        zone = network.fake("failing.org")
        zone.codes["_certworker.www.failing.org", "TXT"] = "SERVFAIL"

        with pytest.raises(NameServersFail, match="SERVFAIL"):
            Proofs(network.delegations()).check("www.failing.org", "acme")


class TestValue:
    @given(st.text(min_size=1).filter(str.isprintable), st.text(min_size=1).filter(str.isprintable))
    def test_different_tenants_have_different_values(self, one: str, other: str) -> None:
        """
        The value is plain ASCII without quotes, and no tenant has the value of another one.
        """
        assert (proof_of(one) == proof_of(other)) is (one == other)
        assert proof_of(one).isascii()
        assert set(proof_of(one)).isdisjoint('" \\;()')

    def test_usual_tenants_are_unchanged(self) -> None:
        """
        Ids, names of domains and mail addresses need no escape.
        """
        for tenant in ("acme", "42", "a3f0-77", "shop.example.com", "me@example.com"):
            assert f"tenant={tenant}" == proof_of(tenant)
        assert "tenant=a%20b%25" == proof_of("a b%")

    def test_the_owner_of_a_wildcard_is_its_base(self) -> None:
        """
        The name of the record has no star.
        """
        assert "_certworker.shop.org" == owner_of("*.shop.org")
