"""
The settings, commands and files of docs/guides/dashboard.md work without changes.
"""

from __future__ import annotations

import logging
import re
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from certworker.http.throttle import REQUEST_SECONDS
from certworker.settings import load
from certworker.settings.web import TrustedHeader
from certworker.web.server import BOUNDS, log_address, tokens_of
from certworker.web.tokens import TokenFile
from tests.documentation import DOCS, ROOT
from tests.guides import Section, sections
from tests.shell_examples import run_shell

GUIDE = DOCS / "guides" / "dashboard.md"
WORKER = "appwrite-worker-certificates"

#: The program of this checkout.
PROGRAM = {"PYTHONPATH": str(ROOT)}

#: The sections with settings, commands or files. Each has a test below.
SECTIONS = {
    "Open it from another machine",
    "Who may use it",
    "Behind Traefik with a token",
    "Behind Authelia or oauth2-proxy",
    "Only the page",
}


@pytest.fixture(scope="module")
def guide() -> dict[str, Section]:
    """
    Return the sections of the guide.
    """
    return sections(GUIDE)


def settings_in(block: str) -> dict[str, str]:
    """
    Return the settings in *block*.
    """
    return dict(line.split("=", 1) for line in block.splitlines())


class TestGuide:
    def test_each_section_with_a_block_has_a_test(self, guide: dict[str, Section]) -> None:
        """
        The list of sections is complete.
        """
        assert SECTIONS == {title for title, section in guide.items() if section.blocks}

    def test_the_tunnel_leads_to_the_default_address(self, guide: dict[str, Section]) -> None:
        """
        The tunnel ends at the default address, and the compose files publish the port that the text names.
        """
        (command,) = guide["Open it from another machine"].commands
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

        assert f"8081:{load({}).web.address} " in command
        assert ["127.0.0.1:${CERTWORKER_WEB_PORT:-8082}:8082"] == compose["services"][WORKER]["ports"]
        assert "use port 8082 instead of 8081" in GUIDE.read_text()

    def test_the_token_of_the_log_is_found(
        self, guide: dict[str, Section], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The command for the first token finds its line in the log.
        """
        command = guide["Who may use it"].commands[0]
        environment = {"CERTWORKER_CERTIFICATES_DIR": str(tmp_path), "CERTWORKER_WEB_ADDRESS": "0.0.0.0:8082"}
        settings = load(environment)
        assert settings.web.address is not None
        with caplog.at_level(logging.INFO):
            log_address(settings, settings.web.address)
        (tmp_path / "log").write_text(caplog.text)
        compose, _, grep = command.partition(" | ")

        assert f"docker compose logs {WORKER}" == compose
        assert "cw_" in run_shell(f"{grep.strip()} log", tmp_path, PROGRAM)

    def test_the_commands_for_tokens_run(self, guide: dict[str, Section], tmp_path: Path) -> None:
        """
        The commands create, list and revoke tokens, and the hash of a token of one's own is right.
        """
        _, create, manage, digest = guide["Who may use it"].commands
        path = tmp_path / "tokens.json"
        environment = {**PROGRAM, "CERTWORKER_TOKENS_FILE": str(path)}
        run_shell(create, tmp_path, environment)
        reader, operator = TokenFile(path).tokens()
        printed = run_shell(manage.replace("0123456789ab", reader.id), tmp_path, environment)
        own = run_shell(digest, tmp_path, {"TOKEN": "a token of one's own"})
        path.write_text(f"tokens:\n- hash: sha256:{own.split()[0]}\n  role: read\n")

        assert [("read", None), ("operate", "acme")] == [
            (each.role, each.tenant) for each in (reader, operator)
        ]
        assert f"{operator.id}  operate" in printed
        assert TokenFile(path).find("a token of one's own") is not None

    def test_the_file_of_the_example_has_a_token(self, guide: dict[str, Section], tmp_path: Path) -> None:
        """
        The example of the file is valid.
        """
        path = tokens_of(load({"CERTWORKER_TOKENS_FILE": str(tmp_path / "tokens.yml")})).path
        path.write_text(guide["Who may use it"]["yaml"][0])

        assert [("read", "acme")] == [(each.role, each.tenant) for each in TokenFile(path).tokens()]

    def test_traefik_gets_the_address_of_the_container(self, guide: dict[str, Section]) -> None:
        """
        The router leads to the port of the page in the container.
        """
        section = guide["Behind Traefik with a token"]
        http = yaml.safe_load(section["yaml"][0])["http"]
        router, service = http["routers"]["certworker"], http["services"]["certworker"]
        compose = (ROOT / "docker-compose.yml").read_text()

        assert router["service"] in http["services"]
        assert [{"url": f"http://{WORKER}:8082"}] == service["loadBalancer"]["servers"]
        assert "CERTWORKER_WEB_ADDRESS:-0.0.0.0:8082" in compose
        (proxies,) = load(settings_in(section.settings[0])).web.proxies
        assert ip_address("172.18.0.5") in proxies
        assert "/certworker" == load({"CERTWORKER_WEB_PATH": "/certworker"}).web.path

    def test_the_header_of_authelia_is_trusted(self, guide: dict[str, Section]) -> None:
        """
        The header in the settings is the one that Traefik takes from Authelia and removes from clients.
        """
        section = guide["Behind Authelia or oauth2-proxy"]
        authelia, oauth2 = (load(settings_in(block)).web.trusted_header for block in section.settings)
        http = yaml.safe_load(section["yaml"][0])["http"]

        assert TrustedHeader("Remote-User", "operate") == authelia
        assert TrustedHeader("X-Forwarded-User", "read") == oauth2
        (middleware,) = http["routers"]["certworker"]["middlewares"]
        assert ["Remote-User"] == http["middlewares"][middleware]["forwardAuth"]["authResponseHeaders"]

    def test_the_command_of_the_page_alone_exists(self, guide: dict[str, Section], tmp_path: Path) -> None:
        """
        The command and the value that disables the page are those of the program.
        """
        (command,) = guide["Only the page"].commands

        assert "Serve the page and the API" in run_shell(f"{command.strip()} --help", tmp_path, PROGRAM)
        assert "CERTWORKER_WEB_ADDRESS=off" in GUIDE.read_text()
        assert load({"CERTWORKER_WEB_ADDRESS": "off"}).web.address is None

    def test_the_limits_of_the_reference_are_those_of_the_server(self) -> None:
        """
        The table of limits has the values of the server.
        """
        text = (DOCS / "reference" / "http.md").read_text()
        rows = re.findall(r"^\| [a-z ,]+ \| (\d+)", text, re.MULTILINE)

        assert [
            1,
            BOUNDS.connections,
            REQUEST_SECONDS,
            BOUNDS.longest_header // 1024,
            BOUNDS.longest_body // 1024,
        ] == [int(number) for number in rows]
