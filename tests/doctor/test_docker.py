"""
Tests of the findings about Docker and the container of Traefik.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from certworker.doctor.docker import DOCKER, PORTS, PROJECT, SERVICE, TRAEFIK, VOLUMES, docker_findings
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.report import examine
from certworker.settings import load
from tests.servers.engine import Engine, Listed
from tests.servers.ports import free_port

#: The host name of a container, as the engine sets it.
HOST_NAME = "8dfafdbc3a40"

ALL_ADDRESSES = "0.0.0.0"


def mounted(**volumes: str) -> list[dict[str, str]]:
    """
    Return the mounts of *volumes* below /storage, as in a list of the engine.
    """
    return [{"Name": name, "Destination": f"/storage/{where}"} for where, name in volumes.items()]


def published(*ports: int, address: str = ALL_ADDRESSES) -> list[dict[str, Any]]:
    """
    Return the published *ports*, as in a list of the engine.
    """
    return [{"IP": address, "PublicPort": port, "PrivatePort": port, "Type": "tcp"} for port in ports]


MOUNTS = mounted(certificates="shop_certificates", config="shop_config")
LABELS = {PROJECT: "shop", SERVICE: "traefik"}
TRAEFIK_1 = Listed("shop-traefik-1", LABELS, more={"Ports": published(80, 443), "Mounts": MOUNTS})
WORKER = Listed("shop-worker-1", {PROJECT: "shop"}, more={"Id": HOST_NAME.ljust(64, "0"), "Mounts": MOUNTS})


@pytest.fixture
def docker() -> Iterator[Engine]:
    """
    Yield an engine that runs Traefik and the container of this process.
    """
    with Engine(set()) as docker:
        docker.listed = [WORKER, TRAEFIK_1]
        yield docker


def found(docker: Engine, **more: str) -> Mapping[str, Finding]:
    """
    Return the findings about *docker*, by subject.
    """
    variables = {
        "CERTWORKER_DOCKER_HOST": docker.address,
        "CERTWORKER_CERTIFICATES_DIR": "/storage/certificates",
        "CERTWORKER_CONFIG_DIR": "/storage/config",
    }
    return {finding.subject: finding for finding in docker_findings(load({**variables, **more}), HOST_NAME)}


class TestEngine:
    def test_without_an_address_there_is_no_finding(self) -> None:
        """
        Without the address of an engine, there is no finding, because most workers need none.
        """
        assert [] == list(docker_findings(load({}), HOST_NAME))

    def test_a_healthy_machine_passes(self, docker: Engine) -> None:
        """
        A healthy machine passes each check, with one request to the engine.
        """
        findings = found(docker)

        assert [DOCKER, TRAEFIK, PORTS, VOLUMES] == list(findings)
        assert {Verdict.WELL} == {finding.verdict for finding in findings.values()}
        assert 1 == len(docker.asked)

    def test_an_unreachable_engine_is_reported(self) -> None:
        """
        The warning about an unreachable engine has its address.
        """
        address = f"tcp://127.0.0.1:{free_port()}"
        (finding,) = docker_findings(load({"CERTWORKER_DOCKER_HOST": address}), HOST_NAME)

        assert (Verdict.WARN, "reload.engine") == (finding.verdict, finding.code)
        assert address in finding.text

    def test_a_refused_list_is_a_warning_only_with_labels(self, docker: Engine) -> None:
        """
        A refused list is a warning if the worker reads labels. Reloads by name do not need the list.
        """
        docker.refusing = "/containers/json"
        reloads = found(docker, CERTWORKER_RELOAD="web:HUP")[DOCKER]
        labels = found(docker, CERTWORKER_DOCKER_LABELS="true")[DOCKER]

        assert Verdict.SKIPPED is reloads.verdict
        assert (Verdict.WARN, "label.refused") == (labels.verdict, labels.code)
        assert "CONTAINERS=1" in labels.remedy

    def test_the_report_has_the_finding(self, environ: dict[str, str], docker: Engine) -> None:
        """
        The finding is in the section of the machine.
        """
        findings = examine(environ | {"CERTWORKER_DOCKER_HOST": docker.address})

        assert ["Machine"] == [each.section for each in findings if each.subject == DOCKER]


class TestTraefik:
    def test_a_stopped_container_is_reported(self, docker: Engine) -> None:
        """
        A stopped Traefik is a failure, and the remedy has the command that starts it.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, state="exited")]
        finding = found(docker)[TRAEFIK]

        assert (Verdict.FAIL, "shop-traefik-1 is not running (exited).") == (finding.verdict, finding.text)
        assert finding.remedy.endswith("docker compose up -d traefik")

    def test_a_missing_container_is_a_warning(self, docker: Engine) -> None:
        """
        A missing Traefik is a warning. The doctor does not search for it if the proxy is off.
        """
        docker.listed = [WORKER]

        assert Verdict.WARN is found(docker)[TRAEFIK].verdict
        assert [DOCKER] == list(found(docker, CERTWORKER_PROXY_ADDRESS="off"))

    def test_it_is_found_by_its_image(self, docker: Engine) -> None:
        """
        Traefik is found by its image, if Compose has not labeled its container.
        """
        docker.listed = [WORKER, Listed("edge", more={**TRAEFIK_1.more, "Image": "docker.io/traefik:v3"})]

        assert "edge is running" == found(docker)[TRAEFIK].text

    def test_the_container_of_the_same_project_is_preferred(self, docker: Engine) -> None:
        """
        With several containers of Traefik, the finding is about the one of the same project.
        """
        other = Listed("other-traefik-1", {PROJECT: "other", SERVICE: "traefik"}, "exited")
        docker.listed = [other, WORKER, TRAEFIK_1]

        assert "shop-traefik-1 is running" == found(docker)[TRAEFIK].text


class TestPorts:
    @pytest.mark.parametrize(
        ("ports", "expected"),
        [
            (
                published(8080, 443),
                "Traefik does not publish port 80 for other machines; it publishes 0.0.0.0:443, 0.0",
            ),
            (published(80, 443, address="127.0.0.1"), "Traefik does not publish port 80 or 443 for"),
            ([{"PrivatePort": 80, "Type": "tcp"}], "it publishes no port."),
            (published(80, 443, address="hello"), "it publishes no port."),
        ],
    )
    def test_an_unpublished_port_is_a_warning(
        self, docker: Engine, ports: list[dict[str, Any]], expected: str
    ) -> None:
        """
        A port that is not published, or only on the loopback interface, is a warning.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, more={"Ports": ports, "Mounts": MOUNTS})]
        finding = found(docker)[PORTS]

        assert Verdict.WARN is finding.verdict
        assert expected in finding.text

    @pytest.mark.parametrize(
        ("port", "ports", "expected"),
        [
            ("80", published(), 'forwards them, add "80:80" and "443:443" under ports:'),
            ("80", published(443), 'forwards it, add "80:80" under ports:'),
            ("8080", published(80, 443), 'forwards it, add "8080:8080" under ports:'),
        ],
    )
    def test_the_remedy_has_only_the_missing_ports(
        self, docker: Engine, port: str, ports: list[dict[str, Any]], expected: str
    ) -> None:
        """
        The remedy contains only the missing ports, with the port of the setting.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, more={"Ports": ports, "Mounts": MOUNTS})]

        assert expected in found(docker, CERTWORKER_HTTP01_PORT=port)[PORTS].remedy

    def test_on_the_host_network_all_ports_are_reachable(self, docker: Engine) -> None:
        """
        A container on the host network passes the check, although it publishes no port.
        """
        more = {"HostConfig": {"NetworkMode": "host"}, "Mounts": MOUNTS}
        docker.listed = [WORKER, replace(TRAEFIK_1, more=more)]

        assert Verdict.WELL is found(docker)[PORTS].verdict


class TestVolumes:
    @pytest.mark.parametrize(
        ("mounts", "expected"),
        [
            (
                mounted(certificates="shop_certificates", config="other"),
                "At /storage/config, Traefik has other, and",
            ),
            (
                mounted(config="shop_config"),
                "At /storage/certificates, Traefik has nothing, and this container has shop",
            ),
            (
                mounted(certs="shop_certificates", config="shop_config"),
                "At /storage/certificates, Traefik has nothing",
            ),
        ],
    )
    def test_other_mounts_are_a_failure(
        self, docker: Engine, mounts: list[dict[str, str]], expected: str
    ) -> None:
        """
        Different mounts are a failure, because Traefik would serve its default certificate.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, more={**TRAEFIK_1.more, "Mounts": mounts})]
        finding = found(docker)[VOLUMES]

        assert Verdict.FAIL is finding.verdict
        assert expected in finding.text
        assert finding.remedy

    def test_missing_mounts_are_a_failure(self, docker: Engine) -> None:
        """
        Two containers without volumes share no directory, which is a failure.
        """
        docker.listed = [replace(each, more={**each.more, "Mounts": None}) for each in (WORKER, TRAEFIK_1)]

        assert Verdict.FAIL is found(docker)[VOLUMES].verdict

    def test_outside_of_a_container_the_check_is_skipped(self, docker: Engine) -> None:
        """
        Outside of a container the doctor has no mounts to compare, so it skips the check.
        """
        docker.listed = [TRAEFIK_1]

        assert Verdict.SKIPPED is found(docker)[VOLUMES].verdict
