"""
The manifests for Kubernetes: valid by its schemas, and consistent with the image and the settings.

tests/containers/test_kubernetes.py runs the containers of the proxy pod. No test starts a cluster.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from certworker.cli import COMMANDS
from certworker.settings import Settings, load, variables
from certworker.version import __version__
from tests.documentation import DOCS

TOP = Path(__file__).parents[2]
PLACE = TOP / "contrib" / "kubernetes"

#: The oldest and the newest release of the package with the schemas.
RELEASES = ("1.25", "1.37")

DOCUMENTS: list[Any] = [
    document for path in sorted(PLACE.iterdir()) for document in yaml.safe_load_all(path.read_text())
]
BY_NAME = {(document["kind"], document["metadata"]["name"]): document for document in DOCUMENTS}
WORKLOADS = {document["kind"]: document for document in DOCUMENTS if "template" in document.get("spec", {})}
PODS = {kind: document["spec"]["template"]["spec"] for kind, document in WORKLOADS.items()}


def containers(pod: Any) -> dict[str, Any]:
    """
    Return all containers of *pod* by their names.
    """
    return {container["name"]: container for container in pod.get("initContainers", []) + pod["containers"]}


CONTAINERS = {name: each for pod in PODS.values() for name, each in containers(pod).items()}
WORKER, MIRROR, TRAEFIK = (CONTAINERS[name] for name in ("worker", "mirror", "traefik"))


def environment(container: Any) -> dict[str, str]:
    """
    Return the variables of *container*, with those of its ConfigMaps.
    """
    found = dict[str, str]()
    for source in container.get("envFrom", []):
        found |= BY_NAME["ConfigMap", source["configMapRef"]["name"]]["data"]
    for entry in container["env"]:
        reference = entry.get("valueFrom", {}).get("configMapKeyRef")
        found[entry["name"]] = (
            BY_NAME["ConfigMap", reference["name"]]["data"][reference["key"]] if reference else entry["value"]
        )
    return found


def settings(container: Any) -> Settings:
    """
    Return the settings of *container* without its secret.
    """
    given = environment(container)
    del given["CERTWORKER_REPLICATION_KEY_FILE"]
    return load(given)


class TestManifests:
    @pytest.mark.parametrize("release", RELEASES)
    def test_each_is_valid(self, release: str) -> None:
        """
        Each manifest is valid by the schemas of Kubernetes, without unknown fields.
        """
        for document in DOCUMENTS:
            kubernetes_validate.validate(document, release, strict=True)

    def test_selectors_match_labels(self) -> None:
        """
        Each workload selects its own pods, and the service selects the pods of the worker.
        """
        labels = [each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS.values()]
        service = BY_NAME["Service", "certworker-worker"]["spec"]

        assert labels == [each["spec"]["selector"]["matchLabels"] for each in WORKLOADS.values()]
        assert service["selector"] in labels
        assert WORKLOADS["StatefulSet"]["spec"]["serviceName"] == "certworker-worker"
        assert {each["targetPort"] for each in service["ports"]} <= {each["name"] for each in WORKER["ports"]}

    @pytest.mark.parametrize("kind", PODS)
    def test_mounts_match_volumes(self, kind: str) -> None:
        """
        Each mount has a volume, each volume has a mount, and each ConfigMap exists.
        """
        pod, claims = PODS[kind], WORKLOADS[kind]["spec"].get("volumeClaimTemplates", [])
        given = {volume["name"] for volume in pod["volumes"]}
        given |= {claim["metadata"]["name"] for claim in claims}
        mounted = {mount["name"] for each in containers(pod).values() for mount in each["volumeMounts"]}
        maps = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}

        assert given == mounted
        assert all(("ConfigMap", name) in BY_NAME for name in maps)

    def test_no_volume_of_the_image_hides_a_mount(self) -> None:
        """
        No mount is above a volume of the image, because an engine mounts a new volume there.
        """
        (line,) = re.findall(r"^VOLUME (.*)$", (TOP / "Dockerfile").read_text(), re.MULTILINE)
        hidden = {parent for volume in re.findall(r'"([^"]+)"', line) for parent in Path(volume).parents}
        mounts = {Path(mount["mountPath"]) for each in CONTAINERS.values() for mount in each["volumeMounts"]}

        assert Path("/storage") in hidden
        assert not hidden & mounts

    def test_each_pod_has_the_privileges_of_the_image(self) -> None:
        """
        The uid is that of the image. No container has capabilities, except the one that sets the owner.
        """
        (user,) = re.findall(r"^USER (\d+):\d+$", (TOP / "Dockerfile").read_text(), re.MULTILINE)
        for pod in PODS.values():
            context = pod["securityContext"]
            assert {int(user)} == {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
            assert context["runAsNonRoot"] is True
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        for name, container in CONTAINERS.items():
            context = container["securityContext"]
            assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
            assert context["capabilities"] == {"drop": ["ALL"]} | (
                {"add": ["CHOWN"]} if name == "owner" else {}
            )
            assert context.get("runAsUser") == (0 if name == "owner" else None)

    def test_images_are_those_of_the_project(self) -> None:
        """
        Traefik is that of docker-compose.yml, and all other containers have this version of certworker.
        """
        compose = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
        images = {container["image"] for name, container in CONTAINERS.items() if name != "traefik"}

        assert TRAEFIK["image"] == compose["traefik"]["image"]
        assert {f"registry.example.com/certworker:{__version__}"} == images


class TestCertworker:
    @pytest.mark.parametrize("container", [WORKER, MIRROR], ids=["worker", "mirror"])
    def test_each_variable_is_a_setting(self, container: Any) -> None:
        """
        certworker accepts the variables, and its directories are on a mounted volume.
        """
        found = settings(container)
        mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}

        assert set(environment(container)) <= set(variables())
        assert all(directory.parent in mounts for directory in (found.certificates_dir, found.config_dir))
        assert Path(environment(container)["CERTWORKER_REPLICATION_KEY_FILE"]).parent in mounts

    def test_each_command_exists(self) -> None:
        """
        The arguments of both containers and the command of each probe are commands of certworker.
        """
        probes = [WORKER["readinessProbe"], WORKER["livenessProbe"], MIRROR["livenessProbe"]]

        assert [WORKER["args"], MIRROR["args"]] == [["work"], ["mirror"]]
        assert {"work", "mirror", "health"} <= set(COMMANDS)
        assert [["certworker", "health"]] * 3 == [probe["exec"]["command"] for probe in probes]

    def test_the_addresses_in_the_pod_match(self) -> None:
        """
        The route of challenges leads to the mirror, and the mirror checks the TLS port of Traefik.
        """
        routes = yaml.safe_load(BY_NAME["ConfigMap", "certworker-routes"]["data"]["acme-challenge.yml"])[
            "http"
        ]
        (server,) = routes["services"]["acme-challenge"]["loadBalancer"]["servers"]
        ports = {port["name"]: port["containerPort"] for port in TRAEFIK["ports"]}
        options = dict(option.removeprefix("--entrypoints.").split("=", 1) for option in TRAEFIK["args"])

        assert server["url"] == f"http://{settings(MIRROR).http_address}"
        assert str(settings(MIRROR).proxy_address) == f"127.0.0.1:{ports['websecure']}"
        assert {f":{port}" for port in ports.values()} == {
            options["web.address"],
            options["websecure.address"],
        }
        priority = int(options["web.http.redirections.entrypoint.priority"])
        assert routes["routers"]["acme-challenge"]["priority"] == priority + 1
        assert TRAEFIK["readinessProbe"]["tcpSocket"]["port"] in ports
        assert options["--providers.file.directory"] == str(settings(MIRROR).config_dir)


class TestGuide:
    GUIDE = (DOCS / "guides" / "several-hosts.md").read_text().partition("## Kubernetes\n")[2]

    def test_it_creates_what_the_manifests_need(self) -> None:
        """
        The commands create the secret with its key, and the label of the nodes. No test runs kubectl.
        """
        (secret,) = {
            volume["secret"]["secretName"]
            for pod in PODS.values()
            for volume in pod["volumes"]
            if "secret" in volume
        }
        ((label, value),) = PODS["DaemonSet"]["nodeSelector"].items()
        key = Path(environment(WORKER)["CERTWORKER_REPLICATION_KEY_FILE"]).name

        assert f"create secret generic {secret} --from-literal={key}=" in self.GUIDE
        assert f"kubectl label node node1 {label}={value}\n" in self.GUIDE
        assert "--filename contrib/kubernetes/\n" in self.GUIDE
        assert f"exec {WORKLOADS['StatefulSet']['metadata']['name']}-0 -- certworker " in self.GUIDE
