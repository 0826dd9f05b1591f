"""
The part of Appwrite's core that requests certificates: PHP with php-redis in a separate container.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.containers.docker import Docker
from tests.containers.images import PHP
from tests.integrations.appwrite import core

TOP = Path(__file__).parents[2]

#: The program that sends Appwrite's message in the format of utopia-php/queue.
MESSAGES = Path(core.__file__).with_name("utopia.php")

#: The program that sends it in the format of php-resque, as releases of 2021 do.
JOBS_OF_RESQUE = MESSAGES.with_name("resque.php")

#: The program that sends it in the wire format of RQ (docs/reference/queue-protocol.md).
JOBS = TOP / "examples" / "producer.php"


@dataclass(frozen=True)
class ContainedCore:
    """
    A producer on *network*, where Redis has the name `redis`.
    """

    docker: Docker
    network: str

    def send_messages(self, *domains: str) -> None:
        """
        Put a message of Appwrite for each of *domains* on Appwrite's queue.
        """
        self._php(MESSAGES, "6379", json.dumps([core.payload(domain) for domain in domains]))

    def send_jobs_of_resque(self, *domains: str) -> None:
        """
        Put a job of an old Appwrite for each of *domains* on Appwrite's queue.
        """
        one_by_one = f'for domain; do php /{JOBS_OF_RESQUE.name} 6379 "$domain"; done'
        self._run(JOBS_OF_RESQUE, "sh", "-e", "-c", one_by_one, "sh", *domains)

    def enqueue_jobs(self, *domains: str) -> None:
        """
        Put a job for each of *domains* on certworker's queue.
        """
        self._php(JOBS, *domains)

    def _php(self, script: Path, *arguments: str) -> None:
        self._run(script, "php", f"/{script.name}", *arguments)

    def _run(self, script: Path, *command: str) -> None:
        self.docker(
            *("run", "--rm", "--network", self.network, "--env", "_APP_REDIS_HOST=redis"),
            *("--volume", f"{script}:/{script.name}:ro", PHP, *command),
        )
