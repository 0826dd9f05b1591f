"""
Worlds in order: false alarms are defects, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from certworker.doctor.findings import Verdict
from certworker.doctor.report import examine
from tests.scenarios.scenario import Scene, play, played
from tests.scenarios.worlds import HERE, NAME, Stage
from tests.servers.web import redirects
from tests.storage.authority import Signer


def dual_stack(stage: Stage) -> None:
    """
    The house answers over IPv6 as well.
    """
    stage.points_to("::1", HERE)
    stage.stand(stage.passes_on(), "::1")


def alias(stage: Stage) -> None:
    """
    The name is an alias of the target.
    """
    stage.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    stage.another_zone("shop.net")
    stage.dns.servers[-1].rows["cloud.shop.net"] = {"A": [HERE]}
    stage.zone.rows["www.shop.org"] = {"CNAME": ["cloud.shop.net"]}
    stage.name = "www.shop.org"


def flattened(stage: Stage) -> None:
    """
    The provider shows the addresses of the target in place of the alias.
    """
    stage.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    stage.another_zone("shop.net")
    stage.dns.servers[-1].rows["cloud.shop.net"] = {"A": [HERE]}


def to_https(stage: Stage) -> None:
    """
    All of port 80 is redirected, and the certificate over there is an old one.
    """
    certificate = Signer().certificate(NAME)
    pair = stage.place / "old.pem", stage.place / "old.key"
    pair[0].write_bytes(certificate.fullchain_pem)
    pair[1].write_bytes(certificate.key.pem)
    stage.serve(redirects(f"https://127.0.0.3:{stage.http_port}{{path}}"))
    stage.stand(stage.passes_on(), "127.0.0.3", pair)


def internal(stage: Stage) -> None:
    """
    A CA of one's own, and a name that only its network knows.
    """
    stage.name = "wiki.lan"
    stage.dns.zone("lan", {"wiki.lan": {"A": [HERE]}})


def several(stage: Stage) -> None:
    """
    Two doors of one house.
    """
    stage.points_to(HERE, "127.0.0.2")
    stage.stand(stage.passes_on(), "127.0.0.2")


def allowed(stage: Stage) -> None:
    """
    CAA names the CA, beside others.
    """
    stage.rows["CAA"] = ['0 issue "digicert.com"', '0 issue "localhost"', '0 iodef "mailto:ops@shop.org"']


def well(title: str, build: Callable[[Stage], object]) -> Scene:
    """
    A scene in which nobody complains.
    """
    return Scene(title, "", build, asked=True)


SCENES = [
    well("plain", lambda _stage: None),
    well("this machine", lambda stage: setattr(stage, "name", "shop.localhost")),
    well("a proxy that passes it on", lambda stage: stage.serve(stage.passes_on(Via="1.1 squid"))),
    well("dual stack", dual_stack),
    well("an alias of the target", alias),
    well("an alias that the provider flattens", flattened),
    well("a redirect to HTTPS", to_https),
    well("a CA of one's own", internal),
    well("two addresses", several),
    well("CAA allows the CA", allowed),
    well("a zone that is signed", lambda stage: stage.sign()),
    well(
        "a resolver that is slow, but answers",
        lambda stage: setattr(stage.dns.resolver, "delay_seconds", 0.3),
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    A certificate, and no warning.
    """
    play(scene, stage, caplog)


@played(SCENES)
def test_the_doctor_finds_nothing_either(scene: Scene, stage: Stage) -> None:
    """
    Whoever reads false alarms does not read the others.
    """
    scene.build(stage)
    stage.settings["CERTWORKER_PROXY_ADDRESS"] = "off"
    stage.open().issuance.issue((stage.name,))

    wrong = [
        finding
        for finding in examine(stage.environ(), [stage.name])
        if finding.verdict in (Verdict.WARN, Verdict.FAIL) and finding.section == stage.name
    ]
    assert [] == wrong
