"""
Whether what the worker keeps outlives the container that it runs in.

A CA signs the same names five times a week. A worker that loses its certificates with every
`docker compose down` is refused after the fifth.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import gettempdir

from certworker.errors.fs import NotPersistent
from certworker.settings import Settings

#: Docker and Podman leave one of these in each container.
CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))

#: What is mounted where, as this process sees it; proc(5) has the format.
MOUNTS = Path("/proc/self/mountinfo")

#: Where an engine keeps a volume that has no name. One is made for each VOLUME of the image that the
#: compose file does not mention; after `docker compose down` nobody finds it again.
ANONYMOUS_VOLUME = re.compile(r"/volumes/[0-9a-f]{64}/_data(/|$)")

IN_MEMORY = ("tmpfs", "ramfs")

#: What stands where nothing else is mounted.
ROOT = ("/", Path("/"), "")

BLANKS = re.compile(r"\\([0-7]{3})")


def non_persistent_directories(settings: Settings) -> list[NotPersistent]:
    """
    One failure for each directory of *settings* that is lost with this container.

    None outside of a container, none where the CA is the embedded one, and none for a directory for
    temporary files: nobody expects that to be kept.
    """
    embedded = settings.authority.kind == "development"
    if embedded or not any(mark.exists() for mark in CONTAINER_MARKERS):
        return []
    kept = {
        settings.certificates_dir: "appwrite-certificates",
        settings.config_dir: "appwrite-config",
    }
    if not settings.state_dir.is_relative_to(settings.certificates_dir):
        kept[settings.state_dir] = "certworker-state"
    mounts = MOUNTS.read_text()
    return [
        NotPersistent(path=directory, reason=reason, volume=volume)
        for directory, volume in kept.items()
        if not directory.is_relative_to(gettempdir())
        if (reason := reason_not_persistent(directory, mounts))
    ]


def reason_not_persistent(directory: Path, mounts: str) -> str | None:
    """
    Why *directory* is lost with the container, or None if it is not.

    Args:
        directory: An absolute path; it need not exist.
        mounts: The text of :data:`MOUNTS`.
    """
    around = (mount for mount in map(_mount, mounts.splitlines()) if directory.is_relative_to(mount[1]))
    # The innermost, and of several in one place the last: it covers the others.
    *_, (inside, point, kind) = sorted((ROOT, *around), key=lambda mount: len(mount[1].parts))
    if kind in IN_MEMORY:
        return "it lies in memory"
    if point == Path("/"):
        return "it is not on a volume"
    if ANONYMOUS_VOLUME.search(inside):
        return "its volume has no name"
    return None


def _mount(line: str) -> tuple[str, Path, str]:
    # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS…] - KIND SOURCE OPTIONS, with blanks as \040.
    fields, _, rest = line.partition(" - ")
    _, _, _, inside, point, *_ = fields.split(" ")
    return inside, Path(BLANKS.sub(lambda code: chr(int(code[1], 8)), point)), rest.split(" ")[0]
