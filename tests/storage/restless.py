"""
Workers that publish one certificate after another, each until it is killed: `restless.py ROOT KILLS`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from random import Random

from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer

NAMES = ("shop.example.com", "www.example.com")

#: A worker is killed after so many certificates, and at most so long after the last of them.
MOST_CERTIFICATES = 4
LONGEST_PAUSE_SECONDS = 0.01


def publish_for_ever(
    volume: CertificateStore, traefik: TraefikConfig, signer: Signer, published: int
) -> None:
    """
    Begin as a worker begins, with the leftovers of the one before, and never end.

    Each certificate is reported by a byte through the pipe *published*.
    """
    volume.remove_leftovers()
    traefik.remove_leftovers()
    volume.prune(traefik.served_generations())
    while True:
        certificate = signer.certificate(*NAMES)
        token = volume.links.highest_token() + 1
        traefik.publish(volume.store(certificate, authority="letsencrypt", kind="public", token=token))
        os.write(published, b".")


def main() -> None:
    """
    Start worker after worker, and kill each at a random time.
    """
    root, kills, random, signer = Path(sys.argv[1]), int(sys.argv[2]), Random(), Signer()
    # Nothing is pruned but leftovers: here generations follow each other in milliseconds, not in months.
    volume, traefik = (
        CertificateStore(root / "certificates", keep=1_000_000, least_age_seconds=0),
        TraefikConfig(root / "config", least_age_seconds=0),
    )
    for _ in range(kills):
        reader, published = os.pipe()
        worker = os.fork()
        if worker == 0:
            publish_for_ever(volume, traefik, signer, published)
        os.close(published)
        for _ in range(random.randint(0, MOST_CERTIFICATES)):
            os.read(reader, 1)
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
        os.close(reader)
        if not os.WIFSIGNALED(status):
            sys.exit("a worker ended by itself")


if __name__ == "__main__":
    main()
