"""
What Docker knows of Traefik.
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

#: As the engine gives it to a container.
HOST_NAME = "8dfafdbc3a40"

EVERYWHERE = "0.0.0.0"


def mounted(**volumes: str) -> list[dict[str, str]]:
    """
    Mounts of *volumes* below /storage, as a list of the engine shows them.
    """
    return [{"Name": name, "Destination": f"/storage/{where}"} for where, name in volumes.items()]


def published(*ports: int, address: str = EVERYWHERE) -> list[dict[str, Any]]:
    """
    The published *ports*, as a list of the engine shows them.
    """
    return [{"IP": address, "PublicPort": port, "PrivatePort": port, "Type": "tcp"} for port in ports]


MOUNTS = mounted(certificates="shop_certificates", config="shop_config")
LABELS = {PROJECT: "shop", SERVICE: "traefik"}
TRAEFIK_1 = Listed("shop-traefik-1", LABELS, more={"Ports": published(80, 443), "Mounts": MOUNTS})
WORKER = Listed("shop-worker-1", {PROJECT: "shop"}, more={"Id": HOST_NAME.ljust(64, "0"), "Mounts": MOUNTS})


@pytest.fixture
def docker() -> Iterator[Engine]:
    """
    An engine that runs Traefik and this very process.
    """
    with Engine(set()) as docker:
        docker.listed = [WORKER, TRAEFIK_1]
        yield docker


def found(docker: Engine, **more: str) -> Mapping[str, Finding]:
    """
    The lines that the doctor has of *docker*, by subject.
    """
    variables = {
        "CERTWORKER_DOCKER_HOST": docker.address,
        "CERTWORKER_CERTIFICATES_DIR": "/storage/certificates",
        "CERTWORKER_CONFIG_DIR": "/storage/config",
    }
    return {finding.subject: finding for finding in docker_findings(load({**variables, **more}), HOST_NAME)}


class TestEngine:
    def test_where_nobody_has_named_one_nothing_is_said(self) -> None:
        """
        Most workers need none, and a line about it would only raise a question.
        """
        assert [] == list(docker_findings(load({}), HOST_NAME))

    def test_a_healthy_machine_is_well(self, docker: Engine) -> None:
        """
        One request is enough.
        """
        findings = found(docker)

        assert [DOCKER, TRAEFIK, PORTS, VOLUMES] == list(findings)
        assert {Verdict.WELL} == {finding.verdict for finding in findings.values()}
        assert 1 == len(docker.asked)

    def test_one_that_does_not_answer_is_reported(self) -> None:
        """
        With where it was sought.
        """
        address = f"tcp://127.0.0.1:{free_port()}"
        (finding,) = docker_findings(load({"CERTWORKER_DOCKER_HOST": address}), HOST_NAME)

        assert (Verdict.WARN, "reload.engine") == (finding.verdict, finding.code)
        assert address in finding.text

    def test_a_refused_list_is_a_warning_only_where_labels_are_wanted(self, docker: Engine) -> None:
        """
        For reloads by name it should be refused.
        """
        docker.refusing = "/containers/json"
        reloads = found(docker, CERTWORKER_RELOAD="web:HUP")[DOCKER]
        labels = found(docker, CERTWORKER_DOCKER_LABELS="true")[DOCKER]

        assert Verdict.SKIPPED is reloads.verdict
        assert (Verdict.WARN, "label.refused") == (labels.verdict, labels.code)
        assert "CONTAINERS=1" in labels.remedy

    def test_it_stands_in_the_report(self, environ: dict[str, str], docker: Engine) -> None:
        """
        Among the lines of the machine.
        """
        findings = examine(environ | {"CERTWORKER_DOCKER_HOST": docker.address})

        assert ["Machine"] == [each.section for each in findings if each.subject == DOCKER]


class TestTraefik:
    def test_one_that_has_ended_is_reported(self, docker: Engine) -> None:
        """
        With what to type.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, state="exited")]
        finding = found(docker)[TRAEFIK]

        assert (Verdict.FAIL, "shop-traefik-1 does not run (exited).") == (finding.verdict, finding.text)
        assert finding.remedy.endswith("docker compose up -d traefik")

    def test_one_that_is_not_there_is_a_warning(self, docker: Engine) -> None:
        """
        It may run elsewhere. With such a setting it is not searched for.
        """
        docker.listed = [WORKER]

        assert Verdict.WARN is found(docker)[TRAEFIK].verdict
        assert [DOCKER] == list(found(docker, CERTWORKER_PROXY_ADDRESS="off"))

    def test_it_may_be_known_by_its_image(self, docker: Engine) -> None:
        """
        Not every installation uses compose.
        """
        docker.listed = [WORKER, Listed("edge", more={**TRAEFIK_1.more, "Image": "docker.io/traefik:v3"})]

        assert "edge runs" == found(docker)[TRAEFIK].text

    def test_that_of_the_same_project_comes_first(self, docker: Engine) -> None:
        """
        A machine may have several.
        """
        other = Listed("other-traefik-1", {PROJECT: "other", SERVICE: "traefik"}, "exited")
        docker.listed = [other, WORKER, TRAEFIK_1]

        assert "shop-traefik-1 runs" == found(docker)[TRAEFIK].text


class TestPorts:
    @pytest.mark.parametrize(
        ("ports", "expected"),
        [
            (
                published(8080, 443),
                "Port 80 of this machine does not lead to it; it publishes 0.0.0.0:443, 0.0",
            ),
            (published(80, 443, address="127.0.0.1"), "Port 80 and 443 of this machine"),
            ([{"PrivatePort": 80, "Type": "tcp"}], "it publishes none."),
        ],
    )
    def test_one_that_is_not_published_is_a_warning(
        self, docker: Engine, ports: list[dict[str, Any]], expected: str
    ) -> None:
        """
        The CA asks at port 80 of this machine; the loopback interface is none of its.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, more={"Ports": ports, "Mounts": MOUNTS})]
        finding = found(docker)[PORTS]

        assert Verdict.WARN is finding.verdict
        assert expected in finding.text

    def test_on_the_network_of_the_machine_all_are(self, docker: Engine) -> None:
        """
        Nothing is published then, and everything is reached.
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
                "At /storage/config it has other, and",
            ),
            (
                mounted(config="shop_config"),
                "At /storage/certificates it has nothing, and this container shop",
            ),
            (
                mounted(certs="shop_certificates", config="shop_config"),
                "At /storage/certificates it has nothing",
            ),
        ],
    )
    def test_other_mounts_are_a_failure(
        self, docker: Engine, mounts: list[dict[str, str]], expected: str
    ) -> None:
        """
        Traefik would serve its default certificate without a log line.
        """
        docker.listed = [WORKER, replace(TRAEFIK_1, more={**TRAEFIK_1.more, "Mounts": mounts})]
        finding = found(docker)[VOLUMES]

        assert Verdict.FAIL is finding.verdict
        assert expected in finding.text
        assert finding.remedy

    def test_none_at_all_is_not_the_same(self, docker: Engine) -> None:
        """
        Two directories without a volume have nothing to do with one another.
        """
        docker.listed = [replace(each, more={**each.more, "Mounts": None}) for each in (WORKER, TRAEFIK_1)]

        assert Verdict.FAIL is found(docker)[VOLUMES].verdict

    def test_outside_of_a_container_they_cannot_be_compared(self, docker: Engine) -> None:
        """
        The command may run outside of containers.
        """
        docker.listed = [TRAEFIK_1]

        assert Verdict.SKIPPED is found(docker)[VOLUMES].verdict
