"""
Scenarios of names for which no CA issues certificates.
"""

from __future__ import annotations

import pytest

from tests.scenarios.installation import PUBLIC, Installation
from tests.scenarios.scenario import Scenario, check_scenario, each_scenario


def name(title: str, code: str, given: str, remedy: str) -> Scenario:
    """
    Return a scenario with a job for *given* and a public CA.
    """

    def build(installation: Installation) -> None:
        installation.settings |= PUBLIC
        installation.name = given

    return Scenario(title, code, build, remedy, retry_after=None)


SCENARIOS = [
    name("an empty job", "name.empty", " ", "domain=api.example.org"),
    name("an underscore", "name.invalid_char", "my_shop.shop.org", "letters, digits, hyphens and dots"),
    name("two dots in a row", "name.empty_label", "www..shop.org", "www.shop.org"),
    name("a pasted URL", "name.is_url", "https://shop.org/cart", "shop.org"),
    name("a port", "name.has_port", "shop.org:8080", "shop.org"),
    name("a part that is too long", "name.too_long", "a" * 64 + ".shop.org", "at most 63"),
    name("too many labels", "name.too_many_labels", "a.b.c.d.e.f.g.h.i.shop.org", "at most 10 labels"),
    name("no dot", "name.single_label", "server", "server.example.org"),
    name("a private address", "name.ip_address", "192.168.1.10", "api.example.org"),
    name("a private name", "name.no_public_suffix", "shop.local", "CERTWORKER_PRIVATE_NETWORK=true"),
    name("a registry's name", "name.is_public_suffix", "co.uk", "example.co.uk"),
    name("a wildcard without a provider", "name.wildcard", "*.shop.org", "CERTWORKER_DNS01_PROVIDER"),
    name("the wildcard of a registry", "name.wildcard_of_suffix", "*.co.uk", "*.example.co.uk"),
    name("bad punycode", "name.bad_idn", "xn--zz.shop.org", "Send it as"),
    Scenario(
        "a word where true or false belongs",
        "payload.type",
        lambda installation: installation.arguments.update(force="yes"),
        '"force": false',
        retry_after=None,
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy has the correct form. certworker does not repeat the job, and queries no server.
    """
    check_scenario(scenario, installation, caplog)

    assert [] == installation.dns.resolver.asked
