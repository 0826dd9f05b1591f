"""
Scenarios of faults of the CA.
"""

from __future__ import annotations

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.installation import Installation
from tests.scenarios.scenario import SOON, Scenario, check_scenario, each_scenario, refused_by_the_ca
from tests.servers.fault_injection import Fault
from tests.servers.web import WebServer, always
from tests.storage.authority import Signer


def intercepted(installation: Installation) -> None:
    """
    Start a server with another certificate at the address of the CA.
    """
    certificate = Signer().certificate("proxy.example.org")
    pair = installation.directory / "proxy.pem", installation.directory / "proxy.key"
    pair[0].write_bytes(certificate.fullchain_pem)
    pair[1].write_bytes(certificate.key.pem)
    server = installation.stack.enter_context(WebServer(always(200), pair=pair))
    installation.settings["CERTWORKER_AUTHORITY"] = f"https://127.0.0.1:{server.port}/directory"


SCENARIOS = [
    Scenario(
        "a proxy that intercepts TLS",
        "net.tls_intercept",
        intercepted,
        "CERTWORKER_CA_BUNDLE=",
        shows="doctor",
    ),
    refused_by_the_ca(
        "an internal error of the CA",
        "ca.server_internal",
        "newOrder",
        Fault(500),
        "https://letsencrypt.status.io",
    ),
    refused_by_the_ca(
        "maintenance",
        "ca.maintenance",
        "newOrder",
        Fault(503, "serverInternal", detail="The service is down for maintenance"),
        "https://letsencrypt.status.io",
    ),
    refused_by_the_ca(
        "a connection that is cut", "ca.unreachable", "newOrder", Fault(cut=True), "curl -v https://127.0.0.1"
    ),
    refused_by_the_ca(
        "a captive portal", "ca.not_json", "newOrder", Fault(200, None), "curl -v https://127.0.0.1"
    ),
    Scenario(
        "no connection",
        "ca.unreachable",
        lambda installation: installation.authority.stop(),
        "HTTPS_PROXY",
        retry_after=SOON,
    ),
    Scenario(
        "no connection, in the doctor",
        "ca.unreachable",
        lambda installation: installation.authority.stop(),
        "HTTPS_PROXY",
        shows="doctor",
    ),
    Scenario(
        "remote validators of the CA that are unavailable",
        "ca.secondary_rpc",
        lambda installation: setattr(
            installation.ca,
            "refusal",
            Problem("serverInternal", "During secondary validation: Secondary validation RPC failed"),
        ),
        "No action is needed",
        asked=True,
        retry_after=SOON,
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the CA as the cause of the failure.
    """
    check_scenario(scenario, installation, caplog)
