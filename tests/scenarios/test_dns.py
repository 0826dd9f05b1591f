"""
Scenarios of the DNS records of a name.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.moving import move, set_target, watch
from tests.scenarios.installation import HERE, NAME, PUBLIC, Installation
from tests.scenarios.scenario import DAY, Scenario, attempt, check_scenario, each_scenario
from tests.servers.ports import free_port
from tests.servers.web import always

#: A public address. No test connects to it, because a check or the CA fails before.
ELSEWHERE = "9.9.9.9"


def public(installation: Installation, **rows: list[str]) -> None:
    """
    Publish the records *rows*, and use a public CA.
    """
    installation.settings |= PUBLIC
    installation.zone.rows[NAME] = dict(rows)


def missing_record_with_target(installation: Installation) -> None:
    """
    Remove the record, and set the expected target in the settings.
    """
    public(installation, SOA=[])
    installation.settings["_APP_DOMAIN_TARGET_A"] = "203.0.113.7"


def another_server(installation: Installation) -> None:
    """
    Point the name to another server than the target in the settings.
    """
    installation.serve(always(404))
    installation.settings["_APP_DOMAIN_TARGET_A"] = "127.0.0.5"


def wrong_target(installation: Installation) -> None:
    """
    Set an alias as the target, which the domain does not have.
    """
    installation.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    installation.add_zone("shop.net")
    installation.dns.servers[-1].rows["cloud.shop.net"] = {"A": ["127.0.0.7"]}


def alias_into_nothing(installation: Installation) -> None:
    """
    Make the name an alias of a name without records.
    """
    installation.settings |= PUBLIC
    installation.zone.rows[NAME] = {"SOA": []}
    installation.zone.rows["www.shop.org"] = {"CNAME": ["gone.shop.org"]}
    installation.name = "www.shop.org"


def without_a_proof(installation: Installation) -> None:
    """
    Require a proof of ownership, which the zone does not have, for a request with a tenant.
    """
    installation.settings["CERTWORKER_OWNERSHIP"] = "txt"
    installation.arguments["tenant"] = "acme"
    installation.updated_zone("@ A 127.0.0.1")


def elsewhere_for_days(installation: Installation) -> None:
    """
    Point the name in service to another server for three days.
    """
    set_target(installation)
    installation.before += [attempt(NAME), lambda _app: move(installation)]
    installation.before.append(lambda app: watch(installation, app, days=3))


def typo(installation: Installation) -> None:
    """
    Misspell the name in the zone.
    """
    installation.name = "api.shop.org"
    installation.settings |= PUBLIC
    installation.zone.rows["apl.shop.org"] = {"A": [HERE]}


def not_everywhere(installation: Installation) -> None:
    """
    Configure a resolver that returns the old address.
    """
    public(installation, A=[ELSEWHERE])
    installation.dns.resolver.rows[NAME]["A"] = ["8.8.8.8"]
    installation.dns.resolver.ttl = 1234


def disagreeing_servers(installation: Installation) -> None:
    """
    Give one of two name servers an old copy of the zone.
    """
    installation.settings |= PUBLIC
    installation.name = "twins.org"
    installation.dns.zone("twins.org", {"twins.org": {"A": [ELSEWHERE]}}, servers=2)
    installation.dns.servers[-1].rows["twins.org"]["A"] = ["8.8.8.8"]


SCENARIOS = [
    Scenario(
        "no name server answers: a fault of this machine",
        "dns.container_resolver",
        lambda installation: installation.settings.update(_APP_DNS=f"127.0.0.1:{free_port()}"),
        "getent hosts shop.org",
        asked=True,
        check="DNS",
        shows="warning",
    ),
    Scenario(
        "the record was never created",
        "dns.no_record",
        lambda installation: public(installation, SOA=[]),
        "shop.org. A ",
        check="DNS",
    ),
    Scenario(
        "the remedy has the address of this server",
        "dns.no_record",
        missing_record_with_target,
        "Create the record: shop.org. A 203.0.113.7",
        check="DNS",
    ),
    Scenario("a typo in the zone", "dns.no_record", typo, "api.shop.org. A", check="DNS"),
    Scenario(
        "an alias to a missing name", "dns.no_record", alias_into_nothing, "www.shop.org. A", check="DNS"
    ),
    Scenario(
        "an address of a private network",
        "dns.private_ip",
        lambda installation: public(installation, A=["192.168.1.10"]),
        "shop.org. A",
        check="DNS",
    ),
    Scenario(
        "a shared address of the provider (CGNAT)",
        "dns.private_ip",
        lambda installation: public(installation, A=["100.64.0.9"]),
        "Forward port 80",
        check="DNS",
    ),
    Scenario(
        "a private address over IPv6",
        "dns.private_ip",
        lambda installation: public(installation, AAAA=["fd00::7"]),
        "shop.org. A",
        check="DNS",
    ),
    Scenario(
        "the domain has expired",
        "name.not_registered",
        lambda installation: setattr(installation, "name", "expired.org"),
        "dig +trace NS expired.org",
        check="DNS",
    ),
    Scenario(
        "the name servers fail",
        "dns.servfail",
        lambda installation: (
            installation.zone.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
            installation.dns.resolver.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
        ),
        "https://unboundtest.com",
        check="DNS",
    ),
    Scenario(
        "the name servers do not serve the zone",
        "dns.servfail",
        lambda installation: (
            installation.zone.codes.update({(NAME, "*"): "REFUSED"}),
            installation.dns.resolver.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
        ),
        "Ask the DNS provider",
        check="DNS",
    ),
    Scenario(
        "the signatures have expired",
        "dns.dnssec",
        lambda installation: installation.sign(ended=timedelta(days=2)),
        "https://dnsviz.net/d/shop.org/",
        check="DNS",
    ),
    Scenario(
        "the registrar has the DS of another key",
        "dns.dnssec",
        lambda installation: installation.sign(stale=True),
        "Remove the old DS record of shop.org at the registrar",
        check="DNS",
    ),
    Scenario(
        "no record proves that the name belongs to the tenant",
        "dns.ownership_missing",
        without_a_proof,
        '_certworker.shop.org. TXT "tenant=acme"',
    ),
    Scenario(
        "the customer has moved the name to another server",
        "dns.moved",
        elsewhere_for_days,
        "shop.org. A 127.0.0.5, or remove the name: certworker remove shop.org",
        retry_after=DAY,
    ),
    Scenario(
        "a change that is not everywhere yet",
        "dns.propagation",
        not_everywhere,
        "dig shop.org @127.0.0.1",
        check="DNS",
        shows="doctor",
    ),
    Scenario(
        "name servers that do not agree",
        "dns.propagation",
        disagreeing_servers,
        "Ask the DNS provider",
        check="DNS",
        shows="doctor",
    ),
    Scenario(
        "another server's address",
        "dns.wrong_ip",
        another_server,
        "Change the record: shop.org. A 127.0.0.5",
        check="port 80",
    ),
    Scenario(
        "Appwrite expects another target, but port 80 works",
        "dns.cname_target",
        wrong_target,
        "shop.org. CNAME cloud.shop.net.",
        asked=True,
        check="target",
        shows="warning",
    ),
    Scenario(
        "a target that is a placeholder",
        "dns.target_invalid",
        lambda installation: installation.settings.update(_APP_DOMAIN_TARGET_CNAME="not a name"),
        "_APP_DOMAIN_TARGET_CNAME=",
        asked=True,
        check="targets",
        shows="warning",
    ),
    Scenario(
        "a target that is not an address",
        "dns.target_invalid",
        lambda installation: installation.settings.update(_APP_DOMAIN_TARGET_A="example"),
        "_APP_DOMAIN_TARGET_A=203.0.113.7",
        asked=True,
        check="targets",
        shows="warning",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the record to change.
    """
    check_scenario(scenario, installation, caplog)
