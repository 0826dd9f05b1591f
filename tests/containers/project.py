"""
The project with `docker compose`, its docker-compose.yml and an .env file, as an operator runs it.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from certworker.devca.proxy import handshake
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PROMETHEUS, PYTHON, REDIS, TRAEFIK
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

TOP = Path(__file__).parents[2]
OURS = (TOP / "docker-compose.yml", Path(__file__).parent / "override.yml")
WORKER = "appwrite-worker-certificates"

PATIENCE_SECONDS = 100.0
#: The pause between two checks. Each check starts programs, which use the processor.
PAUSE_SECONDS = 0.3

#: A prefix that some releases of compose add to each line, even without a terminal.
CLEAR_THE_LINE = "\x1b[2K"


class Project:
    """
    The services of docker-compose.yml, or of other *files*, with *pebble* as their CA.

    Attributes:
        settings: The content of the .env file. A test may change it before :meth:`up`.
    """

    def __init__(
        self,
        docker: Docker,
        name: str,
        pebble: ContainedPebble,
        directory: Path,
        files: Sequence[Path] = OURS,
    ) -> None:
        self.pebble = pebble
        self._docker = docker
        self._name = name
        self._dotenv = directory / "dotenv"
        self._files = [*files]
        self._https_port = free_port()
        self.settings = {
            "_APP_ENV": "production",
            "_APP_DOMAIN": "main.internal",
            "_APP_EMAIL_CERTIFICATES": "ops@example.org",
            "_APP_HTTP_PORT": f"127.0.0.1:{free_port()}",
            "_APP_HTTPS_PORT": f"127.0.0.1:{self._https_port}",
            "CERTWORKER_AUTHORITY": "https://pebble:14000/dir",
            "CERTWORKER_CA_BUNDLE": "/pebble.pem",
            "CERTWORKER_PRIVATE_NETWORK": "true",
            "TEST_PROJECT": name,
            "TEST_CA_BUNDLE": str(pebble.ca_bundle),
            "TEST_REDIS": REDIS,
            "TEST_TRAEFIK": TRAEFIK,
            "TEST_PROMETHEUS": PROMETHEUS,
        }

    def also(self, override: Path) -> None:
        """
        Add a compose file to docker-compose.yml.
        """
        self._files.append(override)

    def without(self, override: Path) -> None:
        """
        Remove a compose file that :meth:`also` added.
        """
        self._files.remove(override)

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        """
        Run `docker compose ARGUMENTS`, and return its output.
        """
        return self._docker("compose", *self._options(), *arguments, stdin=stdin)

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run `docker compose ARGUMENTS`, and return its result with any exit code.
        """
        return self._docker.attempt("compose", *self._options(), *arguments)

    def type_in(self, script: str, directory: Path) -> None:
        """
        Run the shell *script* in *directory*. Its `docker compose` uses this project.
        """
        ours = shlex.join(["docker", "compose", *self._options()])
        subprocess.run(
            ["sh", "-e", "-c", script.replace("docker compose", ours)],
            cwd=directory,
            env=dict(self._docker.variables),
            check=True,
        )

    def up(self, *options: str) -> None:
        """
        Create and start the services.
        """
        self.compose("up", "--detach", *options)

    def remove(self) -> None:
        """
        Remove the project and its volumes.
        """
        self.attempt("down", "--volumes", "--timeout", "0")

    def logs(self, *options: str, service: str = WORKER) -> str:
        """
        Return the log of the worker, or of another *service*.
        """
        shown = self.compose("logs", "--no-log-prefix", *options, service)
        return shown.replace(CLEAR_THE_LINE, "")

    def wait_for_line(
        self,
        pattern: str,
        *options: str,
        times: int = 1,
        seconds: float = PATIENCE_SECONDS,
        service: str = WORKER,
    ) -> str:
        """
        Wait for the *times*-th log line with *pattern* of the worker or of another *service*, and return it.
        """

        def lines() -> list[str]:
            return self.logs(*options, service=service).splitlines()

        def line() -> str | None:
            found = [line for line in lines() if re.search(pattern, line)]
            return found[times - 1] if len(found) >= times else None

        missing = f"no line with {pattern!r} in:\n"
        return wait_until(
            line, lambda: missing + self.logs(service=service), seconds, pause_seconds=PAUSE_SECONDS
        )

    def worker(self, *command: str) -> str:
        """
        Run a certworker *command* in the worker's container, and return its output.
        """
        return self.compose("exec", "--no-TTY", WORKER, "certworker", *command)

    def redis(self, *command: str) -> str:
        """
        Run redis-cli in the container of Redis, and return its output. Redis may be just starting.
        """

        def answer() -> str | None:
            ended = self.attempt("exec", "--no-TTY", "redis", "redis-cli", *command)
            return ended.stdout if ended.returncode == 0 else None

        return wait_until(answer, lambda: self.compose("logs", "redis"), PATIENCE_SECONDS)

    def request(self, *domains: str, force: bool = False) -> None:
        """
        Put *domains* on the queue, in the wire format of docs/reference/queue-protocol.md.
        """
        for domain in domains:
            job = secrets.token_hex(8)
            call = json.dumps(["certworker.issue", None, [], {"domain": domain, "force": force}])
            self.redis("HSET", f"rq:job:{job}", "data", call, "origin", "certificates")
            self.redis("RPUSH", "rq:queue:certificates", job)

    def visit(self, name: str, root: Path | None = None) -> str:
        """
        Return the serial number of the certificate that Traefik serves for *name*, verified with the CA's
        root or with *root*.

        Traefik reads a new file within two seconds, or later on a busy machine.
        """
        root = root or self.pebble.root()

        def shown() -> str | None:
            try:
                return str(handshake(name, self._https_port, root)["serialNumber"])
            except OSError:
                return None

        return wait_until(
            shown,
            lambda: f"no trusted certificate for {name}:\n{self.compose('logs', 'traefik')}",
            PATIENCE_SECONDS,
            pause_seconds=PAUSE_SECONDS,
        )

    def crash(self) -> None:
        """
        Kill the worker's process as the kernel does when memory runs out, without the engine.
        """
        pid = self.inspect("{{.State.Pid}}")
        kill = ("--entrypoint", "python3", PYTHON, "-c", f"import os; os.kill({pid}, 9)")
        self._docker("run", "--rm", "--pid", "host", "--network", "none", *kill)

    def container(self, service: str = WORKER) -> str:
        """
        Return the id of the first container of *service*, which may be stopped.
        """
        return self.compose("ps", "--all", "--quiet", service).split()[0]

    def inspect(self, template: str, service: str = WORKER) -> str:
        """
        Return the output of `docker inspect` for the container of *service*, by a Go template.
        """
        return self._docker("inspect", "--format", template, self.container(service)).strip()

    def wait_for_health(self, state: str) -> None:
        """
        Wait until the health of the worker's container is *state*.
        """
        wait_until(
            lambda: self.inspect("{{.State.Health.Status}}") == state or None,
            lambda: f"not {state}: {self.inspect('{{json .State.Health}}')}",
            PATIENCE_SECONDS,
            pause_seconds=PAUSE_SECONDS,
        )

    def _options(self) -> list[str]:
        self._dotenv.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        files = [word for file in self._files for word in ("--file", str(file))]
        return ["--ansi", "never", "--project-name", self._name, "--env-file", str(self._dotenv), *files]
