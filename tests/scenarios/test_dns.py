"""
A3: what DNS says of the name.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.scenarios.scenario import Scene, play, played
from tests.scenarios.worlds import HERE, NAME, PUBLIC, Stage
from tests.servers.ports import free_port
from tests.servers.web import always

#: Public, and never connected to: where a scene names it, the CA is not asked, or a check stops before.
ELSEWHERE = "9.9.9.9"


def public(stage: Stage, **rows: list[str]) -> None:
    """
    The world sees these records, and the CA is a public one.
    """
    stage.settings |= PUBLIC
    stage.zone.rows[NAME] = dict(rows)


def unknown_but_ours_is_known(stage: Stage) -> None:
    """
    There is no record, and the settings say which one is wanted.
    """
    public(stage, SOA=[])
    stage.settings["_APP_DOMAIN_TARGET_A"] = "203.0.113.7"


def another_server(stage: Stage) -> None:
    """
    It answers, and it is not the one of the settings.
    """
    stage.serve(always(404))
    stage.settings["_APP_DOMAIN_TARGET_A"] = "127.0.0.5"


def wrong_target(stage: Stage) -> None:
    """
    Appwrite wants an alias, and the domain has none.
    """
    stage.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    stage.another_zone("shop.net")
    stage.dns.servers[-1].rows["cloud.shop.net"] = {"A": ["127.0.0.7"]}


def alias_into_nothing(stage: Stage) -> None:
    """
    What the name stands for is gone.
    """
    stage.settings |= PUBLIC
    stage.zone.rows[NAME] = {"SOA": []}
    stage.zone.rows["www.shop.org"] = {"CNAME": ["gone.shop.org"]}
    stage.name = "www.shop.org"


def typo(stage: Stage) -> None:
    """
    The zone has a name that is nearly ours.
    """
    stage.name = "api.shop.org"
    stage.settings |= PUBLIC
    stage.zone.rows["apl.shop.org"] = {"A": [HERE]}


def not_everywhere(stage: Stage) -> None:
    """
    The domain's own servers know it, a resolver still tells the old address.
    """
    public(stage, A=[ELSEWHERE])
    stage.dns.resolver.rows[NAME]["A"] = ["8.8.8.8"]
    stage.dns.resolver.ttl = 1234


def of_two_minds(stage: Stage) -> None:
    """
    One of two name servers has an old copy of the zone.
    """
    stage.settings |= PUBLIC
    stage.name = "twins.org"
    stage.dns.zone("twins.org", {"twins.org": {"A": [ELSEWHERE]}}, servers=2)
    stage.dns.servers[-1].rows["twins.org"]["A"] = ["8.8.8.8"]


SCENES = [
    Scene(
        "no name server answers: a fault of this machine",
        "dns.container_resolver",
        lambda stage: stage.settings.update(_APP_DNS=f"127.0.0.1:{free_port()}"),
        "getent hosts shop.org",
        asked=True,
        check="DNS",
        shows="warning",
    ),
    Scene(
        "the record was never made",
        "dns.no_record",
        lambda stage: public(stage, SOA=[]),
        "shop.org. A ",
        check="DNS",
    ),
    Scene(
        "the remedy has the address of this server",
        "dns.no_record",
        unknown_but_ours_is_known,
        "Create the record: shop.org. A 203.0.113.7",
        check="DNS",
    ),
    Scene("a typo in the zone", "dns.no_record", typo, "api.shop.org. A", check="DNS"),
    Scene("an alias of nothing", "dns.no_record", alias_into_nothing, "www.shop.org. A", check="DNS"),
    Scene(
        "an address at home",
        "dns.private_ip",
        lambda stage: public(stage, A=["192.168.1.10"]),
        "shop.org. A",
        check="DNS",
    ),
    Scene(
        "an address of the provider's own network",
        "dns.private_ip",
        lambda stage: public(stage, A=["100.64.0.9"]),
        "Forward port 80",
        check="DNS",
    ),
    Scene(
        "a private address over IPv6",
        "dns.private_ip",
        lambda stage: public(stage, AAAA=["fd00::7"]),
        "shop.org. A",
        check="DNS",
    ),
    Scene(
        "the domain has expired",
        "name.not_registered",
        lambda stage: setattr(stage, "name", "expired.org"),
        "dig +trace NS expired.org",
        check="DNS",
    ),
    Scene(
        "the name servers fail",
        "dns.servfail",
        lambda stage: (
            stage.zone.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
            stage.dns.resolver.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
        ),
        "https://unboundtest.com",
        check="DNS",
    ),
    Scene(
        "the name servers know nothing of the zone",
        "dns.servfail",
        lambda stage: (
            stage.zone.codes.update({(NAME, "*"): "REFUSED"}),
            stage.dns.resolver.codes.update({(NAME, "A"): "SERVFAIL", (NAME, "AAAA"): "SERVFAIL"}),
        ),
        "Ask the DNS provider",
        check="DNS",
    ),
    Scene(
        "the signatures have expired",
        "dns.dnssec",
        lambda stage: stage.sign(ended=timedelta(days=2)),
        "https://dnsviz.net/d/shop.org/",
        check="DNS",
    ),
    Scene(
        "the registrar has the DS of another key",
        "dns.dnssec",
        lambda stage: stage.sign(stale=True),
        "Remove the old DS record of shop.org at the registrar",
        check="DNS",
    ),
    Scene(
        "a change that is not everywhere yet",
        "dns.propagation",
        not_everywhere,
        "dig shop.org @127.0.0.1",
        check="DNS",
        shows="doctor",
    ),
    Scene(
        "name servers that do not agree",
        "dns.propagation",
        of_two_minds,
        "Ask the DNS provider",
        check="DNS",
        shows="doctor",
    ),
    Scene(
        "another server's address",
        "dns.wrong_ip",
        another_server,
        "Change the record: shop.org. A 127.0.0.5",
        check="port 80",
    ),
    Scene(
        "Appwrite wants another target, and the way is open",
        "dns.cname_target",
        wrong_target,
        "shop.org. CNAME cloud.shop.net.",
        asked=True,
        check="target",
        shows="warning",
    ),
    Scene(
        "a target that is a placeholder",
        "dns.target_invalid",
        lambda stage: stage.settings.update(_APP_DOMAIN_TARGET_CNAME="not a name"),
        "_APP_DOMAIN_TARGET_CNAME=",
        asked=True,
        check="targets",
        shows="warning",
    ),
    Scene(
        "a target that is no address",
        "dns.target_invalid",
        lambda stage: stage.settings.update(_APP_DOMAIN_TARGET_A="example"),
        "_APP_DOMAIN_TARGET_A=203.0.113.7",
        asked=True,
        check="targets",
        shows="warning",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the record to change.
    """
    play(scene, stage, caplog)
