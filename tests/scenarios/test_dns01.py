"""
Scenarios of the TXT record of a DNS-01 challenge, and of the DNS provider that creates it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.dns01.zone_lock import LOCK_PREFIX
from certworker.state.locks import LOCKS
from tests.dns01.network import change
from tests.dns01.services import Call, Reply, Respond, always, service
from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import DAY, HOUR, SOON, Scenario, check_scenario, each_scenario
from tests.servers.bind import KEY, POWERLESS, Bind, TsigKey

WILDCARD = f"*.{NAME}"
CHALLENGE = f"_acme-challenge.{NAME}"

Build = Callable[[Installation], object]


def updated(*lines: str, key: TsigKey = KEY, **settings: str) -> Build:
    """
    Return a step that serves the zone with *lines* from BIND, which certworker updates with *key*.
    """

    def build(installation: Installation) -> None:
        server = installation.updated_zone(*lines)
        update(installation, server, key)
        installation.settings |= settings

    return build


def update(installation: Installation, server: Bind, key: TsigKey = KEY) -> None:
    """
    Request a wildcard, and update *server* with *key*.
    """
    installation.name = WILDCARD
    installation.settings |= {
        "CERTWORKER_DNS01_PROVIDER": "rfc2136",
        "RFC2136_NAMESERVER": "{}:{}".format(*server.address),
        "RFC2136_TSIG_KEY": key.name,
        "RFC2136_TSIG_SECRET": key.secret,
    }


def requested(respond: Respond) -> Build:
    """
    Return a step with a DNS provider that responds to each request with *respond*.
    """
    return lambda installation: request_changes(installation, respond)


def request_changes(installation: Installation, respond: Respond) -> Bind:
    """
    Request a wildcard, and change records through an HTTP service that responds with *respond*.
    """
    server = installation.updated_zone()
    provider = installation.stack.enter_context(service(respond))
    installation.name = WILDCARD
    installation.settings |= {
        "CERTWORKER_DNS01_PROVIDER": "httpreq",
        "HTTPREQ_ENDPOINT": provider.url,
    }
    return server


def another_zone(installation: Installation) -> None:
    """
    Update a server that has only another zone.
    """
    installation.updated_zone()
    directory = installation.directory / "other"
    other = installation.stack.enter_context(Bind(directory, installation.free_address(), {"other.org": ()}))
    update(installation, other)


def stale_server(installation: Installation) -> None:
    """
    Add a name server that does not receive the updates.
    """
    update(installation, installation.updated_zone(beside=True))
    installation.settings["CERTWORKER_DNS01_TIMEOUT"] = "1"


def failing_program(installation: Installation) -> None:
    """
    Change records with a program that fails.
    """
    installation.updated_zone()
    installation.name = WILDCARD
    program: Path = installation.directory / "change-record"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    installation.settings |= {"CERTWORKER_DNS01_PROVIDER": "exec", "EXEC_PATH": str(program)}


def undeletable(installation: Installation) -> None:
    """
    Use a provider that creates records and does not delete them.
    """

    def respond(call: Call) -> Reply:
        if call.path.endswith("/cleanup"):
            return Reply(500)
        change(server, NAME, call.content["fqdn"].rstrip("."), call.content["value"])
        return Reply()

    server = request_changes(installation, respond)


def lost_lock(installation: Installation) -> None:
    """
    Give the lock on the zone to another worker between two records, as after a suspension of the machine.
    """

    def respond(call: Call) -> Reply:
        if call.path.endswith("/present"):
            installation.connection.set(f"{LOCKS}{LOCK_PREFIX}{NAME}", "another worker", px=2_000)
        return Reply()

    request_changes(installation, respond)
    installation.arguments |= {"domain": None, "domains": [WILDCARD, NAME]}
    installation.settings["CERTWORKER_DNS01_NAMES"] = "all"


def host_of_a_wildcard(installation: Installation) -> None:
    """
    Request a name whose address comes from a wildcard record.
    """
    updated(f"*.sites A {HERE}", CERTWORKER_DNS01_NAMES="all")(installation)
    installation.name = f"a.sites.{NAME}"


def authority_without_dns01(installation: Installation) -> None:
    """
    Use a CA that offers only HTTP-01.
    """
    updated(CERTWORKER_DNS01_NAMES="all")(installation)
    installation.name = NAME
    installation.authority.policy.offers_dns01 = False


SCENARIOS = [
    Scenario(
        "a zone without a DNS provider",
        "dns01.not_configured",
        updated(CERTWORKER_DNS01_PROVIDER="rfc2136@other.org"),
        f"rfc2136@{NAME}",
        retry_after=DAY,
        check="DNS-01",
    ),
    Scenario(
        "the CNAME of the challenge leads to a zone without a DNS provider",
        "dns01.cname_elsewhere",
        updated("_acme-challenge CNAME gone.shop.net."),
        f"dig +short CNAME {CHALLENGE}",
        check="DNS-01",
    ),
    Scenario(
        "a name server that does not receive the changes to the zone",
        "dns01.not_visible",
        stale_server,
        f"dig TXT {CHALLENGE} @SERVER",
        asked=True,
    ),
    Scenario(
        "the secret of another TSIG key",
        "dns01.credentials",
        updated(key=TsigKey(KEY.name, POWERLESS.secret)),
        "RFC2136_TSIG_SECRET",
        asked=True,
        retry_after=DAY,
    ),
    Scenario(
        "an API that rejects the password",
        "dns01.credentials",
        requested(always(401)),
        "HTTPREQ_PASSWORD",
        asked=True,
        retry_after=DAY,
    ),
    Scenario(
        "a TSIG key that may not change the zone",
        "dns01.forbidden",
        updated(key=POWERLESS),
        f"grant {POWERLESS.name.rstrip('.')}",
        asked=True,
    ),
    Scenario(
        "a name server that does not have the zone",
        "dns01.no_zone",
        another_zone,
        f"CERTWORKER_DNS01_PROVIDER=PROVIDER@{NAME}",
        asked=True,
    ),
    Scenario(
        "an API that accepts no more requests",
        "dns01.rate_limited",
        requested(always(429, Retry_After="3600")),
        "certworker waits until then",
        asked=True,
        retry_after=HOUR,
    ),
    Scenario(
        "an API that is out of order",
        "dns01.provider_failed",
        requested(always(500)),
        "that this machine can connect to it",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "a program that fails",
        "dns01.provider_failed",
        failing_program,
        f"present {CHALLENGE}. test",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "an API that does not delete the record",
        "dns01.left_behind",
        undeletable,
        f"dig TXT {CHALLENGE}",
        asked=True,
        shows="warning",
    ),
    Scenario(
        "another worker gets the zone between two records",
        "dns01.zone_busy",
        lost_lock,
        "check whether the machine freezes or has too little memory: certworker doctor",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "a host that has its address from a wildcard",
        "dns01.hides_wildcard",
        host_of_a_wildcard,
        f"Use a certificate for *.sites.{NAME}",
        asked=True,
        check="DNS-01",
        shows="warning",
    ),
    Scenario(
        "a CA without DNS-01",
        "acme.no_dns01",
        authority_without_dns01,
        "CERTWORKER_AUTHORITY to a CA that offers DNS-01",
        asked=True,
        retry_after=DAY,
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the record, the setting or the server.
    """
    check_scenario(scenario, installation, caplog)


def test_with_a_provider_a_wildcard_is_issued(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """
    With a working provider, certworker issues a wildcard and reports no problem.
    """
    check_scenario(Scenario("", "", updated(), asked=True), installation, caplog)
