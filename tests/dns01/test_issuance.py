"""
Tests of the issuance for wildcards with several providers. A real PowerDNS serves the records to the CA and
to certworker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.app_fixture import open_app
from tests.dns01.services import Call, Reply, service
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.powerdns import API_KEY, PowerDns

ZONE = "example.com"
NAMES = (ZONE, f"*.{ZONE}")
FQDN = f"_acme-challenge.{ZONE}"
FOREIGN = "the value of another client"

Issue = Callable[[dict[str, str]], None]


@pytest.fixture
def powerdns(tmp_path: Path) -> Iterator[PowerDns]:
    """
    Run a PowerDNS that serves the zone and its registry, with another client's value at the challenge's
    name.
    """
    with PowerDns(tmp_path / "powerdns", [ZONE, "com"]) as server:
        server.set_txt(ZONE, FQDN, FOREIGN)
        yield server


@pytest.fixture
def issue(tmp_path: Path, connection: Redis, powerdns: PowerDns) -> Iterator[Issue]:
    """
    Return a function that issues a certificate for a domain and its wildcard, and checks that no record
    remains.
    """
    resolver = powerdns.address
    with development_authority(tmp_path, dns_server=resolver) as authority:

        def issue(variables: dict[str, str]) -> None:
            variables = {
                "_APP_DNS": "{}:{}".format(*resolver),
                "CERTWORKER_DNS01_NAMES": "all",
                **variables,
            }
            url = authority.directory_url
            with open_app(tmp_path, connection, url, free_port(), variables=variables) as app:
                assert app.issuance.issue(NAMES).metadata.names == NAMES
            assert powerdns.txt(FQDN) == {FOREIGN}

        yield issue


def test_a_wildcard_with_lexicon(issue: Issue, powerdns: PowerDns) -> None:
    """
    A certificate is issued with dns-lexicon, and its records are deleted.
    """
    issue(
        {
            "CERTWORKER_DNS01_PROVIDER": "lexicon:powerdns",
            "LEXICON_POWERDNS_PDNS_SERVER": powerdns.api,
            "LEXICON_POWERDNS_AUTH_TOKEN": API_KEY,
        }
    )


def test_a_wildcard_with_httpreq(issue: Issue, powerdns: PowerDns) -> None:
    """
    A certificate is issued with a service of the operator, and its records are deleted.
    """
    with service(lambda call: change(powerdns, call)) as server:
        issue({"CERTWORKER_DNS01_PROVIDER": "httpreq", "HTTPREQ_ENDPOINT": server.url})

    actions = [call.path for call in server.calls]
    assert actions == ["/present"] * 2 + ["/cleanup"] * 2


def test_a_wildcard_with_exec(issue: Issue, powerdns: PowerDns, tmp_path: Path) -> None:
    """
    A certificate is issued with a program of the operator, which uses the same service.
    """
    with service(lambda call: change(powerdns, call)) as server:
        program = tmp_path / "change-dns"
        program.write_text(
            "#!/usr/bin/env python3\n"
            "import json, sys, urllib.request\n"
            "action, fqdn, value = sys.argv[1:]\n"
            "content = json.dumps({'fqdn': fqdn, 'value': value}).encode()\n"
            f"urllib.request.urlopen(f'{server.url}/{{action}}', content).close()\n"
        )
        program.chmod(0o755)
        issue({"CERTWORKER_DNS01_PROVIDER": "exec", "EXEC_PATH": str(program)})

    assert len(server.calls) == 4


def change(powerdns: PowerDns, call: Call) -> Reply:
    """
    Add a value in PowerDNS for `present`, and delete it for `cleanup`.
    """
    fqdn, value = call.content["fqdn"].removesuffix("."), call.content["value"]
    values = powerdns.txt(fqdn)
    powerdns.set_txt(ZONE, fqdn, *(values | {value} if call.path == "/present" else values - {value}))
    return Reply()
