"""
The remedies of a machine with systemd instead of Docker.

Remedies contain Docker commands, because most installations use Docker. Redis has them in this form, because
machines of both kinds may share it. :attr:`CertworkerError.remedy` is for this machine, and a stored remedy
is adapted when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

#: Docker and Podman each create one of these files in every container.
CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))

#: On a machine with Docker, and in a container, one of these files exists.
MARKERS: tuple[Path, ...] = (*CONTAINER_MARKERS, Path("/var/run/docker.sock"))

#: Patterns for Docker commands, and their replacements on a machine with systemd.
SYSTEMD = (
    (r"docker compose run [^:;]*--entrypoint chown \S+", "sudo chown"),
    (r"docker compose run [^:;]*--entrypoint (\S+) \S+", r"\1"),
    (r"docker compose run --rm --no-deps \S+", "certworker"),
    (r"docker compose pull (?:\S+ )?&& docker compose up -d", "sudo systemctl restart certworker"),
    (r"In a container: docker compose exec -u (\S+) \S+ ", r"Example: sudo -u '#\1' "),
    (r"docker compose exec -e (\S+) -e (\S+) \\\s+\S+ ", r"\1 \2 "),
    (r"docker compose exec \S+ ", ""),
    (r"docker compose (?:up -d|restart) (traefik|redis)\b", r"sudo systemctl restart \1"),
    (
        r"docker compose (?:up -d|restart)(?: --remove-orphans| SERVICE)?",
        "sudo systemctl restart certworker",
    ),
    (r"docker compose logs --tail 200", "journalctl -u certworker -n 200"),
    (r"docker compose logs (\w+)", r"journalctl -u \1 -n 200"),
    (r"docker compose ps (\w+)", r"systemctl status \1"),
    (r"docker compose ps", "systemctl status certworker"),
    (r"docker stats --no-stream", "top -b -n 1"),
    (r"docker system prune", "sudo journalctl --vacuum-size=100M"),
    (r" in \.env\b", " in /etc/certworker/env"),
    (r" (?:in|of) the Compose file", ""),
)


def for_this_machine(text: str) -> str:
    """
    Return *text* with the commands of this machine instead of those of Docker.
    """
    return text if _exist(MARKERS) else without_docker(text)


def without_docker(text: str) -> str:
    """
    Return *text* with the commands of a machine that uses systemd instead of Docker.
    """
    for pattern, command in SYSTEMD:
        text = re.sub(pattern, command, text)
    return text


@cache
def _exist(markers: Sequence[Path]) -> bool:
    return any(map(_exists, markers))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
