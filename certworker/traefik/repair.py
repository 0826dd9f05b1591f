"""
The repair of Traefik's files for all names on the volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from certworker.traefik.file_format import Damage


def repair_all(
    traefik: TraefikConfig, store: CertificateStore, served: Mapping[str, Path]
) -> dict[str, Damage]:
    """
    Write Traefik's files for all names in one burst, each with the generation of the name in *served*.

    Only files that are wrong are written, unless the layout changes. A name that was removed after *served*
    was read is not served again.

    Returns:
        The damage of each file that was written, by name.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The layout could not be changed, no file could
            be written, or the file of a removed name could not be removed.
        ValueError: The path of the volume contains a Go template, which Traefik would render.
    """
    written = traefik.repair(served, complete=True)
    for name in written:
        if store.links.target_of(name) is None:
            traefik.remove(name)
    return written
