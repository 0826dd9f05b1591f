"""
DNS providers that do not create the record of a wildcard.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.dns01.services import always, service
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, SOON, Scenario, check_scenario, each_scenario
from tests.servers.bind import KEY, Bind

#: Where the BIND of a scenario listens; the port is that of the resolver.
HOST = "127.0.0.40"


def provider(kind: str, **variables: str) -> Callable[[Installation], object]:
    """
    Request a wildcard, with the provider *kind* and its *variables*.
    """

    def build(installation: Installation) -> None:
        installation.name = f"*.{NAME}"
        soa = f"ns1.{NAME}. hostmaster.{NAME}. 1 3600 600 86400 60"
        installation.dns.resolver.rows[NAME]["SOA"] = [soa]
        installation.settings.update({"CERTWORKER_DNS01_PROVIDER": kind, **variables})

    return build


def bind(*zones: str, closed: str = "", secret: str = KEY.secret) -> Callable[[Installation], object]:
    """
    Let a BIND with *zones* be the provider, and sign the updates with *secret*.
    """

    def build(installation: Installation) -> None:
        port = installation.dns.resolver.address[1]
        server = Bind(installation.directory / "bind", (HOST, port), zones, closed=[closed])
        installation.stack.enter_context(server)
        provider(
            "rfc2136",
            RFC2136_NAMESERVER=f"{HOST}:{port}",
            RFC2136_TSIG_KEY=KEY.name,
            RFC2136_TSIG_SECRET=secret,
        )(installation)

    return build


def http(status: int, **headers: str) -> Callable[[Installation], object]:
    """
    Let an HTTP service be the provider, which answers each request with *status*.
    """

    def build(installation: Installation) -> None:
        started = installation.stack.enter_context(service(always(status, b"{}", **headers)))
        provider("httpreq", HTTPREQ_ENDPOINT=started.url)(installation)

    return build


def failing_program(installation: Installation) -> None:
    """
    Let a program be the provider, which ends with an exit code.
    """
    program: Path = installation.directory / "change-dns"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    provider("exec", EXEC_PATH=str(program))(installation)


SCENARIOS = [
    Scenario(
        "a wrong TSIG secret",
        "dns01.credentials",
        bind(NAME, secret="d3Jvbmc="),
        "RFC2136_TSIG_SECRET",
        asked=True,
        retry_after=DAY,
    ),
    Scenario(
        "a zone that the TSIG key must not change",
        "dns01.forbidden",
        bind(NAME, closed=NAME),
        f"grant {KEY.name.rstrip('.')} zonesub TXT",
        asked=True,
    ),
    Scenario(
        "a name server without the zone",
        "dns01.no_zone",
        bind("example.net"),
        f"CERTWORKER_DNS01_PROVIDER=PROVIDER@{NAME}",
        asked=True,
    ),
    Scenario(
        "an API that limits requests",
        "dns01.rate_limited",
        http(429, Retry_After="600"),
        "certworker waits until then",
        asked=True,
        retry_after=timedelta(minutes=10),
    ),
    Scenario(
        "an API that is broken",
        "dns01.provider_failed",
        http(500),
        "Check that httpreq",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "a program that fails",
        "dns01.provider_failed",
        failing_program,
        f"change-dns present _acme-challenge.{NAME}. test",
        asked=True,
        retry_after=SOON,
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The failure names the provider and what to change there.
    """
    check_scenario(scenario, installation, caplog)
