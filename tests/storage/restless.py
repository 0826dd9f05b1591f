"""
Start workers that publish certificates until they are killed: `restless.py ROOT KILLS`.
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

#: Each worker is killed after at most this number of certificates, and this delay after the last one.
MOST_CERTIFICATES = 4
LONGEST_PAUSE_SECONDS = 0.01


def publish_until_killed(
    volume: CertificateStore, traefik: TraefikConfig, signer: Signer, published: int
) -> None:
    """
    Remove leftovers as a worker does at its start, then publish certificates until killed.

    The function writes one byte to the pipe *published* for each certificate.
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
    Start workers one after another, and kill each at a random time.
    """
    root, kills, random, signer = Path(sys.argv[1]), int(sys.argv[2]), Random(), Signer()
    # Old generations are not pruned: a reader can need one, because they follow within milliseconds.
    volume, traefik = (
        CertificateStore(root / "certificates", keep=1_000_000, least_age_seconds=0),
        TraefikConfig(root / "config", least_age_seconds=0),
    )
    for _ in range(kills):
        reader, published = os.pipe()
        worker = os.fork()
        if worker == 0:
            publish_until_killed(volume, traefik, signer, published)
        os.close(published)
        for _ in range(random.randint(0, MOST_CERTIFICATES)):
            os.read(reader, 1)
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
        os.close(reader)
        if not os.WIFSIGNALED(status):
            sys.exit("a worker ended before it was killed")


if __name__ == "__main__":
    main()
