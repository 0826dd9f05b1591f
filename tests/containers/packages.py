"""
Packages of Debian 13 on a Debian that may be older: an engine, and a root file system for its containers.

They provide containers on a machine that can install packages but has no access to an image registry. The
tests unpack the engine into a directory, because the packages of Debian 12 are too old for the compose files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

RELEASE = "trixie"

ENGINE = ("docker.io", "docker-cli", "containerd", "docker-buildx", "docker-compose")

#: The packages of the substitutes.
INSIDE = (
    *("ca-certificates", "pebble", "php-cli", "php-redis", "prometheus"),
    *("python3", "python3-pip", "python3-venv", "redis-server"),
)

#: Programs that the machine needs, and their packages. The runc of Debian 13 requires a newer libc.
TOOLS = {
    "gpg": "gpg",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
}

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

#: The official Python image has no bytecode of the standard library, and neither has its substitute.
WITHOUT_BYTECODE = 'find "$1"/usr/lib/python3* -name __pycache__ -prune -exec rm -r {} +'

#: The CA bundle of the machine. It may have the root of a proxy that inspects TLS, which the images need,
#: too.
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
WITH_OUR_TRUST = (f"--customize-hook=upload {TRUSTED} {TRUSTED}",) if TRUSTED.exists() else ()


class Packages:
    """
    Files from Debian 13, which the tests download to *directory* once.
    """

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._lists = directory / "lists"
        self._say = say

    def engine(self) -> Path:
        """
        Return the root of an unpacked engine: `usr/bin/docker`, `usr/sbin/dockerd` and the rest.
        """
        engine = self._directory / "engine"
        if not engine.exists():
            self._say("Downloading the Docker engine of Debian 13 (90 MB).")
            unfinished = self._fresh("engine.unfinished")
            archives = self._fresh("archives")
            self._apt("update")
            self._apt("download", *ENGINE, there=archives)
            for archive in archives.glob("*.deb"):
                run("dpkg", "-x", str(archive), str(unfinished))
            for done in (archives, self._lists):
                shutil.rmtree(done)
            unfinished.rename(engine)
        return engine

    def root_file_system(self) -> Path:
        """
        Return a tar file of a small Debian 13 with Python, Redis and Pebble. The caller removes it after the
        import.
        """
        self._say("Creating a root file system from Debian 13 packages.")
        archive = self._directory / "debian.tar"
        run(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(INSIDE)}"),
            *(f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "man", "locale")),
            f"--customize-hook={WITHOUT_BYTECODE}",
            *WITH_OUR_TRUST,
            *(RELEASE, str(archive), str(self._sources())),
        )
        return archive

    def _fresh(self, name: str) -> Path:
        directory = self._directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return directory

    def _apt(self, *arguments: str, there: Path | None = None) -> None:
        (self._lists / "partial").mkdir(parents=True, exist_ok=True)
        options = {
            "Dir::State::lists": self._lists,
            "Dir::Etc::sourcelist": self._sources(),
            "Dir::Etc::sourceparts": "/nonexistent",
            "Dir::Cache::archives": self._lists,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Sandbox::User": "root",
        }
        settings = (f"--option={name}={value}" for name, value in options.items())
        run("apt-get", "--quiet=2", *settings, *arguments, there=there)

    def _sources(self) -> Path:
        sources = self._directory / "sources.list"
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        sources.write_text(f"deb [signed-by={keyring}] {_mirror()} {RELEASE} main\n")
        return sources


def install_tools(say: Callable[[str], None]) -> None:
    """
    Install the missing programs of :data:`TOOLS` from the Debian of the machine.
    """
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool, path=PATH) is None]
    if missing:
        say(f"Installing {', '.join(missing)}.")
        run("apt-get", "--quiet=2", "update")
        run("apt-get", "--quiet=2", "install", "--yes", "--no-install-recommends", *missing)


def run(*command: str, there: Path | None = None, stdin: str = "") -> str:
    """
    Run *command*, and return its output.

    Raises:
        RuntimeError: The command failed. The message has the reason.
    """
    environment = os.environ | {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(
        command, cwd=there, env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{command[0]} failed: {(ended.stderr or ended.stdout).strip()[-500:]}")
    return ended.stdout


def _mirror() -> str:
    # The machine has access to the mirror that it uses.
    form = ("--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)")
    for line in run("apt-get", "indextargets", *form, "Created-By: Packages").splitlines():
        origin, codename, uri = line.split(" ", 2)
        if origin == "Debian" and "-" not in codename:
            return uri
    raise RuntimeError("apt has no Debian mirror on this machine. Run: apt-get update")
