"""
docs/guides/wildcards.md and docs/guides/dns-providers.md: each setting and each command runs as it is.

The name servers and services of the pages are real ones, at other addresses.
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

from certworker.errors import catalogue
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

#: The sections with settings or commands; each has a test below.
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
        A new section needs a test.
        """
        assert SECTIONS[page] == {title for title, section in sections(page).items() if section["sh"]}

    def test_each_failure_of_dns01_is_in_the_table(self) -> None:
        """
        An operator finds the code of the log in the guide.
        """
        table = WILDCARDS.read_text().partition("## If it does not work")[2]
        codes = {kind.code for kind in catalogue() if kind.code.startswith("dns01.")}

        assert codes <= set(re.findall(r"^\| \[`([\w.]+)`\]", table, re.MULTILINE))


class TestWildcards:
    def test_from_nothing_to_covered_names(self, machine: Machine) -> None:
        """
        The commands of the page run in its order, with its settings and its name server.
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
        The record is created in the zone for challenges, and no provider has the zone of the customer.
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
        Appwrite's file passes only its own variables to the service.
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
        The settings are valid together with those of each kind, and each zone has its provider.
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

    def test_the_compose_file_has_all_that_these_settings_need(self, machine: Machine) -> None:
        """
        It adds to the service of docker-compose.yml, mounts each secret that it names, and is valid.
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
        BIND has the key and the policy of the page.
        """
        [settings] = sections(PROVIDERS)["rfc2136"].settings
        with name_server(machine) as server:
            issue(machine, machine.settings(settings), server.address)
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_lexicon(self, machine: Machine) -> None:
        """
        The real dns-lexicon changes a zone of a real PowerDNS.
        """
        _, settings = sections(PROVIDERS)["lexicon"].settings
        secret(machine, "powerdns", API_KEY)
        with PowerDns(machine.root / "pdns", [ZONE, *TOP_LEVEL]) as server:
            machine.places["http://powerdns:8081"] = server.api
            issue(machine, machine.settings(settings), server.address)
            assert server.txt(f"_acme-challenge.{ZONE}") == set()

    def test_exec(self, machine: Machine) -> None:
        """
        The program of the page changes records by an API with a token.
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
        The service gets the JSON of the page, and the user and the password of the settings.
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
        A name is registered, and the CNAME that the command prints leads to its account.
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
        The account in the file of the page is used, and acme-dns gets no request.
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
