"""
The stack for Docker Swarm, without an engine. tests/containers/test_swarm.py starts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from certworker.settings import load, variables
from tests.documentation import DOCS

TOP = Path(__file__).parents[2]
FILE = TOP / "contrib" / "swarm" / "compose.yml"

CERTIFICATES, CONFIG = "/storage/certificates", "/storage/config"


@pytest.fixture(scope="module")
def stack() -> Any:
    """
    Return the stack, parsed.
    """
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def services(stack: Any) -> Any:
    """
    Return the services of the stack.
    """
    return stack["services"]


def mounts(service: Any) -> dict[str, str]:
    """
    Return the named volumes of *service* by their paths, without the mode.
    """
    pairs = (volume.split(":")[:2] for volume in service["volumes"] if isinstance(volume, str))
    return {path: name for name, path in pairs}


class TestServices:
    def test_images_and_limits_match_the_compose_file(self, services: Any) -> None:
        """
        The stack has the images, users and limits of docker-compose.yml.
        """
        other = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
        twins = {
            "redis": "redis",
            "traefik": "traefik",
            "routes": "traefik-routes",
            "worker": "appwrite-worker-certificates",
        }
        for name, twin in twins.items():
            service, same = services[name], other[twin]
            limits = service["deploy"]["resources"]["limits"]
            assert (limits["memory"], limits["pids"]) == (same["mem_limit"], same["pids_limit"])
            assert (service.get("user"), service["logging"]) == (same.get("user"), same["logging"])
            assert service["image"] in (same["image"], "${CERTWORKER_IMAGE:-certworker}")
        assert services["redis"]["command"] == other["redis"]["command"]
        assert services["traefik"]["command"] == other["traefik"]["command"]

    def test_each_has_limited_privileges_and_resources(self, services: Any) -> None:
        """
        Each service has no capabilities, a read-only file system, and limits of memory and processes.
        """
        for service in services.values():
            assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
            assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}
            assert set(service["logging"]["options"]) == {"max-size", "max-file"}

    def test_no_service_needs_the_routing_mesh(self, services: Any) -> None:
        """
        Each port is that of the node, and each name leads to the tasks, so visitors keep their addresses.
        """
        ports = [port for service in services.values() for port in service.get("ports", [])]

        assert {"host"} == {port["mode"] for port in ports}
        assert {"dnsrr"} == {service["deploy"]["endpoint_mode"] for service in services.values()}

    @pytest.mark.parametrize("name", ["worker", "mirror"])
    def test_each_variable_is_a_setting(self, services: Any, name: str) -> None:
        """
        certworker accepts the variables of each service, and reads the key from the mounted secret.
        """
        given = {
            variable: value.replace("{{.Node.ID}}", "ar7a7xn9962di2uj7qxl4n6ol")
            for variable, value in services[name]["environment"].items()
        }
        (secret,) = services[name]["secrets"]
        key = given.pop("CERTWORKER_REPLICATION_KEY_FILE")
        settings = load(given)

        assert set(given) | {"CERTWORKER_REPLICATION_KEY_FILE"} <= set(variables())
        assert (key, secret["uid"]) == (f"/run/secrets/{secret['target']}", "10001")
        assert {str(settings.certificates_dir), str(settings.config_dir)} <= set(mounts(services[name]))
        assert str(settings.metrics_address) == "127.0.0.1:8082"

    def test_traefik_and_the_mirror_share_volumes_that_the_worker_does_not_have(self, services: Any) -> None:
        """
        A node with a worker and a proxy has two copies, because two writers would remove each other's files.
        """
        mirror, traefik, worker = (mounts(services[name]) for name in ("mirror", "traefik", "worker"))

        assert traefik == mirror
        assert not set(mirror.values()) & set(worker.values())
        assert mounts(services["routes"]) == {CONFIG: mirror[CONFIG]}
        assert all(volume.endswith(":ro") for volume in services["traefik"]["volumes"])

    def test_traefik_and_the_mirror_are_on_the_same_nodes(self, services: Any) -> None:
        """
        Traefik, the mirror and the routes have the same nodes, and the mirror checks Traefik on its own.
        """
        traefik, mirror, routes = (services[name] for name in ("traefik", "mirror", "routes"))

        assert (
            traefik["deploy"]["placement"] == mirror["deploy"]["placement"] == routes["deploy"]["placement"]
        )
        assert f"{traefik['hostname']}:443" == mirror["environment"]["CERTWORKER_PROXY_ADDRESS"]

    def test_only_members_of_its_network_reach_redis(self, stack: Any) -> None:
        """
        Redis has no password, so its network is internal, encrypted between the nodes, and without Traefik.
        """
        members = {name for name, service in stack["services"].items() if "redis" in service["networks"]}

        assert members == {"redis", "worker", "mirror"}
        assert stack["networks"]["redis"] == {"internal": True, "driver_opts": {"encrypted": "true"}}


class TestChallengeRoute:
    def test_it_leads_to_the_mirrors(self, stack: Any) -> None:
        """
        The route precedes the redirect to HTTPS, and leads to the port of the mirrors.
        """
        routes = yaml.safe_load((FILE.parent / stack["configs"]["acme-challenge"]["file"]).read_text())[
            "http"
        ]
        redirect = dict(option.split("=") for option in stack["services"]["traefik"]["command"])
        priority = int(redirect["--entrypoints.web.http.redirections.entrypoint.priority"])
        (server,) = routes["services"]["acme-challenge"]["loadBalancer"]["servers"]
        port = stack["services"]["mirror"]["environment"]["CERTWORKER_HTTP_ADDRESS"].partition(":")[2]

        assert routes["routers"]["acme-challenge"]["priority"] == priority + 1
        assert server["url"] == f"http://mirror:{port}"


class TestGuide:
    def test_its_labels_and_its_secret_are_those_of_the_stack(self, stack: Any) -> None:
        """
        The guide sets each label that a service requires, and creates the secret.
        """
        guide = (DOCS / "guides" / "several-hosts.md").read_text()
        for service in stack["services"].values():
            (constraint,) = service["deploy"]["placement"]["constraints"]
            assert f"--label-add {constraint.removeprefix('node.labels.').replace(' == ', '=')} " in guide
        assert f"docker secret create {stack['secrets']['replication-key']['name']} -" in guide
