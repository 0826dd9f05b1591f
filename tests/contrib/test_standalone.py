"""
The compose file for certworker without Appwrite, and the secrets that it mounts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.servers.redis import RedisServer

TOP = Path(__file__).parents[2]
FILE = TOP / "docker-compose.standalone.yml"
ROUTES = TOP / "traefik" / "standalone.yml"
GUIDE = TOP / "docs" / "guides" / "redis.md"
HERE = TOP / "contrib" / "standalone"

#: Where compose mounts a secret.
MOUNTED = "/run/secrets/"


@pytest.fixture(scope="module")
def services() -> Any:
    """
    Return the services of the file.
    """
    return yaml.safe_load(FILE.read_text())["services"]


@pytest.fixture(scope="module")
def routes() -> Any:
    """
    Return Traefik's dynamic configuration.
    """
    return yaml.safe_load(ROUTES.read_text())["http"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """
    Return the directory that the script creates in a copy of the project.
    """
    shutil.copytree(HERE, tmp_path / "contrib" / "standalone")
    make(tmp_path)
    return tmp_path / "secrets"


def make(project: Path) -> None:
    """
    Run the script in *project*.
    """
    subprocess.run([project / "contrib" / "standalone" / "make-secrets"], check=True, capture_output=True)


class TestServices:
    def test_no_name_is_a_name_of_appwrite(self) -> None:
        """
        The file has no name of Appwrite, except the prefix of some settings.
        """
        document = yaml.safe_load(FILE.read_text())
        names = {*document["services"], *document["volumes"], *document["networks"], *document["configs"]}

        assert not {name for name in names if "appwrite" in name}

    def test_images_and_limits_match_the_other_file(self, services: Any) -> None:
        """
        Both compose files have the same images, limits and privileges.
        """
        other = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
        kept = (
            "image",
            "user",
            "mem_limit",
            "pids_limit",
            "read_only",
            "cap_drop",
            "security_opt",
            "logging",
        )
        twins = {
            "redis": "redis",
            "routes": "traefik-routes",
            "traefik": "traefik",
            "certworker": "appwrite-worker-certificates",
        }

        for name, twin in twins.items():
            assert {key: services[name].get(key) for key in kept} == {
                key: other[twin].get(key) for key in kept
            }
        assert services["traefik"]["command"] == other["traefik"]["command"]

    def test_the_application_has_no_unnecessary_privileges(self, services: Any) -> None:
        """
        The application has the restrictions of the other services, and no access to Redis.
        """
        app = services["app"]

        assert (app["read_only"], app["cap_drop"]) == (True, ["ALL"])
        assert app["networks"] == ["default"]
        assert app["logging"] == services["redis"]["logging"]

    def test_each_mounted_file_exists_or_is_created(self, secrets: Path) -> None:
        """
        Each mounted file exists, or the script creates it.
        """
        document = yaml.safe_load(FILE.read_text())
        made = {f"./secrets/{path.name}" for path in secrets.iterdir()}

        assert {each["file"] for each in document["secrets"].values()} == made
        assert all((TOP / each["file"]).is_file() for each in document["configs"].values())

    def test_the_worker_reads_the_mounted_password(self, services: Any) -> None:
        """
        The setting for the password names the file of the secret.
        """
        worker = services["certworker"]
        environment = dict(entry.split("=", 1) for entry in worker["environment"] if "=" in entry)

        assert [environment["_APP_REDIS_PASS_FILE"].removeprefix(MOUNTED)] == worker["secrets"]
        assert worker["env_file"] == [".env"]

    def test_each_directory_of_the_worker_is_a_volume(self, services: Any) -> None:
        """
        Each directory that the worker writes is a volume.
        """
        worker = services["certworker"]
        mounted = dict(reversed(volume.split(":")) for volume in worker["volumes"])
        directories = {
            entry.split("=")[1] for entry in worker["environment"] if entry.split("=")[0].endswith("_DIR")
        }

        assert directories == set(mounted)
        assert [volume.split(":")[:2] for volume in services["traefik"]["volumes"]] == [
            [mounted[path], path] for path in ("/storage/certificates", "/storage/config")
        ]

    def test_redis_and_routes_are_ready_before_their_users(self, services: Any) -> None:
        """
        The worker starts after Redis, and Traefik starts after its routes, so a start logs no error.
        """
        assert services["certworker"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert services["traefik"]["depends_on"] == {
            "routes": {"condition": "service_completed_successfully"}
        }


class TestRoutes:
    def test_challenges_go_to_the_worker_and_other_requests_to_the_application(
        self, routes: Any, services: Any
    ) -> None:
        """
        The routes have the addresses of the services, and port 80 has only the route of the challenges.
        """
        urls = {
            name: routes["services"][router["service"]]["loadBalancer"]["servers"][0]["url"]
            for name, router in routes["routers"].items()
        }

        assert urls == {
            "acme-challenge": "http://certworker:8080",
            "app": f"http://app:{services['app']['entrypoint'][-1]}",
        }
        assert routes["routers"]["acme-challenge"]["entryPoints"] == ["web"]
        assert (routes["routers"]["app"]["entryPoints"], routes["routers"]["app"]["tls"]) == (
            ["websecure"],
            {},
        )

    def test_challenges_have_a_higher_priority_than_the_redirect(self, routes: Any, services: Any) -> None:
        """
        The route of the challenges has a higher priority than the redirect to HTTPS.
        """
        options = dict(option[2:].split("=", 1) for option in services["traefik"]["command"])
        redirection = int(options["entrypoints.web.http.redirections.entrypoint.priority"])

        assert redirection < routes["routers"]["acme-challenge"]["priority"]

    def test_the_routes_are_in_the_directory_of_traefik(self, services: Any) -> None:
        """
        The service writes the routes to the directory that Traefik reads.
        """
        installed = services["routes"]

        assert installed["entrypoint"][-2:] == [installed["configs"][0]["target"], "/storage/config/"]
        assert "--providers.file.directory=/storage/config" in services["traefik"]["command"]


class TestSecrets:
    def test_containers_can_read_them_and_other_users_cannot(self, secrets: Path) -> None:
        """
        The users of the containers can read the secrets, and no other user can enter the directory.
        """
        assert secrets.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o644}

    def test_a_second_run_changes_nothing(self, secrets: Path) -> None:
        """
        A second run of the script does not change the password, which running services use.
        """
        before = {path.name: path.read_bytes() for path in secrets.iterdir()}
        make(secrets.parent)

        assert before == {path.name: path.read_bytes() for path in secrets.iterdir()}
        assert len(set(before.values())) == 3

    def test_the_rights_match_the_guide(self) -> None:
        """
        The rights of the users are the lines of the guide, which tests/test_security.py tests.
        """
        guide = GUIDE.read_text()
        users = dict(re.findall(r"^user (\w+) on #\w+ (.*)$", (HERE / "users.acl").read_text(), re.M))

        assert users == {
            user: re.findall(rf"^{user} on >PASSWORD (.*)$", guide, re.M)[0]
            for user in ("certworker", "producer")
        }

    def test_redis_grants_each_user_its_rights(self, secrets: Path, services: Any, tmp_path: Path) -> None:
        """
        A Redis with the options of the file accepts each user. Without a password, it allows only a ping.
        """
        options = dict(pairwise(services["redis"]["command"][1:]))
        assert options["--aclfile"].removeprefix(MOUNTED) in services["redis"]["secrets"]
        server = RedisServer(tmp_path / "redis")
        server.start("--aclfile", str(secrets / "redis-users.acl"), "--protected-mode", "no")
        try:
            anonymous = Redis(port=server.port)
            worker, producer = (
                Redis(port=server.port, username=user, password=(secrets / f"redis-{user}").read_text())
                for user in ("certworker", "producer")
            )

            assert anonymous.ping()
            with pytest.raises(NoPermissionError):
                anonymous.get("certworker:agenda")
            assert worker.set("certworker:test", 1)
            with pytest.raises(NoPermissionError):
                producer.get("certworker:test")
            assert producer.hset("rq:job:issue-producer-1", "status", "queued")
        finally:
            server.kill()
