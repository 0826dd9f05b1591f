"""
Scenarios without a problem, in which certworker must not report one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from certworker.doctor.findings import Verdict
from certworker.doctor.report import examine
from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import Scenario, check_scenario, each_scenario
from tests.servers.web import redirects
from tests.storage.authority import Signer


def dual_stack(installation: Installation) -> None:
    """
    Make the app available over IPv6, too.
    """
    installation.points_to("::1", HERE)
    installation.listen(installation.forward(), "::1")


def alias(installation: Installation) -> None:
    """
    Make the name an alias of the target.
    """
    installation.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    installation.add_zone("shop.net")
    installation.dns.servers[-1].rows["cloud.shop.net"] = {"A": [HERE]}
    installation.zone.rows["www.shop.org"] = {"CNAME": ["cloud.shop.net"]}
    installation.name = "www.shop.org"


def flattened(installation: Installation) -> None:
    """
    Publish the addresses of the target instead of the alias, as some DNS providers do.
    """
    installation.settings["_APP_DOMAIN_TARGET_CNAME"] = "cloud.shop.net"
    installation.add_zone("shop.net")
    installation.dns.servers[-1].rows["cloud.shop.net"] = {"A": [HERE]}


def to_https(installation: Installation) -> None:
    """
    Redirect port 80 to HTTPS with an old certificate.
    """
    certificate = Signer().certificate(NAME)
    pair = installation.directory / "old.pem", installation.directory / "old.key"
    pair[0].write_bytes(certificate.fullchain_pem)
    pair[1].write_bytes(certificate.key.pem)
    installation.serve(redirects(f"https://127.0.0.3:{installation.http_port}{{path}}"))
    installation.listen(installation.forward(), "127.0.0.3", pair)


def internal(installation: Installation) -> None:
    """
    Use a name of a private network.
    """
    installation.name = "wiki.lan"
    installation.dns.zone("lan", {"wiki.lan": {"A": [HERE]}})


def several(installation: Installation) -> None:
    """
    Publish two addresses of one app.
    """
    installation.points_to(HERE, "127.0.0.2")
    installation.listen(installation.forward(), "127.0.0.2")


def allowed(installation: Installation) -> None:
    """
    Publish CAA records for this CA and others.
    """
    installation.rows["CAA"] = [
        '0 issue "digicert.com"',
        '0 issue "localhost"',
        '0 iodef "mailto:ops@shop.org"',
    ]


def healthy(title: str, build: Callable[[Installation], object]) -> Scenario:
    """
    Return a scenario without any problem.
    """
    return Scenario(title, "", build, asked=True)


SCENARIOS = [
    healthy("plain", lambda _installation: None),
    healthy("this machine", lambda installation: setattr(installation, "name", "shop.localhost")),
    healthy(
        "a proxy that forwards requests",
        lambda installation: installation.serve(installation.forward(Via="1.1 squid")),
    ),
    healthy("dual stack", dual_stack),
    healthy("an alias of the target", alias),
    healthy("an alias that the provider flattens", flattened),
    healthy("a redirect to HTTPS", to_https),
    healthy("a private CA", internal),
    healthy("two addresses", several),
    healthy("CAA allows the CA", allowed),
    healthy("a signed zone", lambda installation: installation.sign()),
    healthy(
        "a slow resolver",
        lambda installation: setattr(installation.dns.resolver, "delay_seconds", 0.3),
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The job issues a certificate, and logs no warning.
    """
    check_scenario(scenario, installation, caplog)


@each_scenario(SCENARIOS)
def test_the_doctor_reports_no_problem(scenario: Scenario, installation: Installation) -> None:
    """
    The doctor reports no warning and no failure.
    """
    scenario.build(installation)
    installation.settings["CERTWORKER_PROXY_ADDRESS"] = "off"
    installation.open().issuance.issue((installation.name,))

    wrong = [
        finding
        for finding in examine(installation.environ(), [installation.name])
        if finding.verdict in (Verdict.WARN, Verdict.FAIL) and finding.section == installation.name
    ]
    assert [] == wrong
