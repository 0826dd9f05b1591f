"""
A9: a CA that is ill.
"""

from __future__ import annotations

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.scenario import SOON, Scene, play, played, refused_by_the_ca
from tests.scenarios.worlds import Stage
from tests.servers.fault_injection import Fault
from tests.servers.web import WebServer, always
from tests.storage.authority import Signer


def intercepted(stage: Stage) -> None:
    """
    Somebody else's certificate stands where the CA is.
    """
    certificate = Signer().certificate("proxy.example.org")
    pair = stage.place / "proxy.pem", stage.place / "proxy.key"
    pair[0].write_bytes(certificate.fullchain_pem)
    pair[1].write_bytes(certificate.key.pem)
    server = stage.stack.enter_context(WebServer(always(200), pair=pair))
    stage.settings["CERTWORKER_AUTHORITY"] = f"https://127.0.0.1:{server.port}/directory"


SCENES = [
    Scene(
        "a proxy that reads all TLS",
        "net.tls_intercept",
        intercepted,
        "CERTWORKER_CA_BUNDLE=",
        shows="doctor",
    ),
    refused_by_the_ca(
        "a fault of its own", "ca.server_internal", "newOrder", Fault(500), "https://letsencrypt.status.io"
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
    Scene(
        "no connection",
        "ca.unreachable",
        lambda stage: stage.authority.stop(),
        "HTTPS_PROXY",
        again=SOON,
    ),
    Scene(
        "no connection, in the doctor",
        "ca.unreachable",
        lambda stage: stage.authority.stop(),
        "HTTPS_PROXY",
        shows="doctor",
    ),
    Scene(
        "its own remote validators are away",
        "ca.secondary_rpc",
        lambda stage: setattr(
            stage.ca,
            "refusal",
            Problem("serverInternal", "During secondary validation: Secondary validation RPC failed"),
        ),
        "No action is needed",
        asked=True,
        again=SOON,
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line says that nobody here is to blame.
    """
    play(scene, stage, caplog)
