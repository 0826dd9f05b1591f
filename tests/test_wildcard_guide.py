"""
The settings and commands of docs/guides/wildcards.md and docs/guides/dns-providers.md run without changes.

The name servers and services are real, at other addresses than on the pages.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml

from certworker.errors import catalog
from certworker.settings import load
from tests.dns01.network import change
from tests.dns01.services import AcmeDnsServer, Call, Reply, service
from tests.documentation import ROOT
from tests.guides import (
    ACME_DNS,
    CUSTOMER,
    PROVIDERS,
    TOP_LEVEL,
    WILDCARDS,
    ZONE,
    Machine,
    name_server,
    script,
    secret,
    sections,
    start,
    zone_of_the_tests,
)
from tests.servers.bind import HERE
from tests.servers.ports import free_port
from tests.servers.powerdns import API_KEY, PowerDns
from tests.servers.redis import RedisServer

#: The sections with settings or commands. Each has a test below.
SECTIONS = {
    WILDCARDS: {
        "Five minutes to a wildcard",
        "Request a wildcard",
        "Names without port 80",
        "Covered names",
        "Domains of your customers",
        "If it does not work",
    },
    PROVIDERS: {"Several providers", "Test a provider", "rfc2136", "lexicon", "exec", "httpreq", "acme-dns"},
}


@pytest.fixture
def machine(tmp_path: Path, redis_server: RedisServer) -> Machine:
    """
    Return a machine without settings.
    """
    return Machine(tmp_path, redis_server)


class TestPages:
    @pytest.mark.parametrize("page", SECTIONS, ids=lambda page: page.stem)
    def test_each_section_with_commands_is_run(self, page: Path) -> None:
        """
        Each section with settings or commands is in SECTIONS.
        """
        assert SECTIONS[page] == {title for title, section in sections(page).items() if section["sh"]}

    def test_each_failure_of_dns01_is_in_the_table(self) -> None:
        """
        The table of the guide has the code of each failure of DNS-01.
        """
        table = WILDCARDS.read_text().partition("## If it does not work")[2]
        codes = {kind.code for kind in catalog() if kind.code.startswith("dns01.")}

        assert codes <= set(re.findall(r"^\| \[`([\w.]+)`\]", table, re.MULTILINE))


class TestWildcards:
    def test_the_first_section_leads_to_covered_names(self, machine: Machine) -> None:
        """
        The commands of the page lead to covered names, with the settings and the name server of the page.
        """
        page = sections(WILDCARDS)
        provider, domains = page["Five minutes to a wildcard"].settings
        up, test, status, function = page["Five minutes to a wildcard"].commands
        [names] = page["Names without port 80"].settings
        request, together = page["Request a wildcard"].commands
        [without_port_80] = page["Names without port 80"].commands
        covered, forced = page["Covered names"].commands
        [doctor] = page["If it does not work"].commands
        assert up == "docker compose up -d\n"
        with (
            name_server(machine) as server,
            machine.ready(machine.settings(provider, domains, names), server.address) as worker,
        ):
            start(worker)
            for each in ("functions", "sites"):
                worker.wait_for_line(rf"\*\.{each}\.example\.com: certificate issued")
            of_test, of_status, of_function = page["Five minutes to a wildcard"]["text output"]
            machine.run(worker, test, [of_test])
            machine.run(worker, status, [of_status])
            assert of_function == machine.run(worker, function)
            machine.run(worker, request)
            assert (machine.root / "certificates" / "_.example.com" / "fullchain.pem").exists()
            assert (machine.root / "config" / "_.example.com.yml").exists()
            machine.run(worker, together)
            machine.run(worker, without_port_80)
            machine.run(worker, covered, page["Covered names"]["text output"])
            machine.run(worker, forced)
            assert (machine.root / "certificates" / "www.example.com" / "fullchain.pem").exists()
            machine.run(worker, doctor, page["If it does not work"]["text output"])
            assert server.txt("_acme-challenge.example.com") == set()

    def test_a_name_of_a_customer(self, machine: Machine) -> None:
        """
        certworker creates the record in the challenge zone, without a provider for the zone of the customer.
        """
        page = sections(WILDCARDS)
        section = page["Domains of your customers"]
        records, request = section.commands
        [output] = section["text output"]
        blocks = [*page["Five minutes to a wildcard"].settings, *section.settings]
        with (
            name_server(machine) as server,
            machine.ready(machine.settings(*blocks), server.address) as worker,
        ):
            assert output == machine.run(worker, records, exit_code=1)
            server.kill()
            with (server.directory / f"{CUSTOMER}.zone").open("a") as zone:
                zone.write(output.removesuffix("  missing\n") + "\n")
            server.start()
            start(worker)
            assert output.replace("missing", "right") == machine.run(worker, records)
            machine.run(worker, request)
            worker.wait_for_line(r"DNS-01 by rfc2136 in the zone acme\.example\.com")

    def test_each_setting_reaches_the_container(self) -> None:
        """
        The compose override of the page passes each of its settings to the service.
        """
        section = sections(WILDCARDS)["Five minutes to a wildcard"]
        content = yaml.safe_load(section["yaml"][0])
        [(name, passing)] = content["services"].items()
        settings = dict(line.split("=") for block in section.settings for line in block.splitlines())

        assert name in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        assert passing["environment"] == list(settings)
        assert settings["RFC2136_TSIG_SECRET_FILE"] == f"/run/secrets/{passing['secrets'][0]}"
        assert passing["secrets"] == list(content["secrets"])


class TestProviders:
    def test_several_providers(self, machine: Machine) -> None:
        """
        The settings of several providers are valid together, and each zone has its provider.
        """
        page = sections(PROVIDERS)
        secret(machine, "tsig", "c2VjcmV0")
        secret(machine, "cloudflare", "token")
        script(machine, "dns-hook", "")
        blocks = [block for kind in ("rfc2136", "lexicon", "exec") for block in page[kind].settings]

        settings = load(machine.settings(*blocks, *page["Several providers"].settings))

        assert [(each.kind, each.zone) for each in settings.dns01.providers] == [
            ("rfc2136", ZONE),
            ("lexicon", "example.net"),
            ("exec", None),
        ]

    def test_the_compose_file_is_valid_and_mounts_each_secret(self, machine: Machine) -> None:
        """
        The compose file of the page extends the service of docker-compose.yml, and mounts each secret that it
        names.
        """
        [text] = sections(PROVIDERS)["Secrets in files"]["yaml"]
        content = yaml.safe_load(text)
        [(name, service)] = content["services"].items()
        for each in content["secrets"]:
            secret(machine, each, "c2VjcmV0")

        settings = load(machine.settings("\n".join(service["environment"])))

        assert name in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        assert set(service["secrets"]) == set(content["secrets"])
        assert len(settings.dns01.providers) == 2
        assert settings.dns01.rfc2136_tsig_secret is not None
        assert "LEXICON_CLOUDFLARE_AUTH_TOKEN" in settings.dns01.lexicon

    def test_rfc2136(self, machine: Machine) -> None:
        """
        certworker updates a BIND with the key and the policy of the page.
        """
        [settings] = sections(PROVIDERS)["rfc2136"].settings
        with name_server(machine) as server:
            issue(machine, machine.settings(settings), server.address)
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_lexicon(self, machine: Machine) -> None:
        """
        dns-lexicon changes a zone of a real PowerDNS.
        """
        _, settings = sections(PROVIDERS)["lexicon"].settings
        secret(machine, "powerdns", API_KEY)
        with PowerDns(machine.root / "pdns", [ZONE, *TOP_LEVEL]) as server:
            machine.places["http://powerdns:8081"] = server.api
            issue(machine, machine.settings(settings), server.address)
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_exec(self, machine: Machine) -> None:
        """
        The program of the page changes records through an API with a token.
        """
        page = sections(PROVIDERS)["exec"]
        [settings], [program] = page.settings, page["python"]
        with zone_of_the_tests(machine) as server:

            def respond(call: Call) -> Reply:
                if call.headers["authorization"] != "Bearer a-token":
                    return Reply(401)
                name = call.content["name"].removesuffix(".")
                change(server, ZONE, name, call.content["content"], delete=call.method == "DELETE")
                return Reply()

            with service(respond) as api:
                machine.places["https://dns.example.com"] = api.url
                script(machine, "dns-hook", machine.local(program))
                issue(machine, machine.settings(settings), server.address)
                assert ["POST", "DELETE"] * 2 == [call.method for call in api.calls]
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_httpreq(self, machine: Machine) -> None:
        """
        The service receives the JSON of the page, and the user and the password of the settings.
        """
        page = sections(PROVIDERS)["httpreq"]
        [settings], [content] = page.settings, page["json"]
        secret(machine, "httpreq", "a password")
        with zone_of_the_tests(machine) as server:

            def respond(call: Call) -> Reply:
                if call.headers["authorization"] != f"Basic {b64encode(b'certworker:a password').decode()}":
                    return Reply(401)
                name = call.content["fqdn"].removesuffix(".")
                change(server, ZONE, name, call.content["value"], delete=call.path == "/cleanup")
                return Reply()

            with service(respond) as api:
                machine.places["https://dns-hook.example.com"] = api.url
                issue(machine, machine.settings(settings), server.address)
                assert ["/present", "/cleanup"] * 2 == [call.path for call in api.calls]
                assert {**json.loads(content), "value": ANY} == {**api.calls[0].content, "value": ANY}
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_acme_dns(self, machine: Machine) -> None:
        """
        The command registers a name, and prints a CNAME that leads to its account.
        """
        page = sections(PROVIDERS)["acme-dns"]
        [settings], [register] = page.settings, page.commands
        acme_dns = AcmeDnsServer()
        with zone_of_the_tests(machine) as server:

            def respond(call: Call) -> Reply:
                reply = acme_dns.respond(call)
                if call.path == "/update" and reply.status == 200:
                    [account] = acme_dns.accounts.values()
                    change(server, ACME_DNS, account["fulldomain"], call.content["txt"])
                return reply

            with service(respond) as api:
                machine.places["https://acme-dns.example.com"] = api.url
                with machine.ready(machine.settings(settings), server.address) as worker:
                    owner, _, target = machine.run(worker, register).split()
                server.add(ZONE, owner, "CNAME", target)
                issue(machine, machine.settings(settings), server.address, "*.functions.example.com")

    def test_accounts_of_lego(self, machine: Machine) -> None:
        """
        certworker uses the account in the file of the page, and registers none.
        """
        page = sections(PROVIDERS)["acme-dns"]
        [settings], [register], [accounts] = page.settings, page.commands, page["json"]
        machine.path("/storage/state/acme-dns.json").write_text(accounts)
        with machine.ready(machine.settings(settings), (HERE, free_port())) as worker:
            assert page["text output"] == [machine.run(worker, register)]


def issue(
    machine: Machine, settings: Mapping[str, str], dns_server: tuple[str, int], name: str = f"*.{ZONE}"
) -> None:
    """
    Test the provider of *settings*, start a worker, and request a certificate for *name*.
    """
    with machine.ready(settings, dns_server) as worker:
        [test] = sections(PROVIDERS)["Test a provider"].commands
        machine.run(worker, test.replace(ZONE, name.removeprefix("*.")))
        start(worker)
        assert machine.run(worker, f"certworker request --wait '{name}'\n") == f"{name}: issued\n"
