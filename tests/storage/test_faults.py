"""
Tests with killed workers and failing disks, while a reader follows the file of Traefik.
"""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.errors import CertworkerError
from tests.storage.disk import read_tree
from tests.storage.reader import followed, found
from tests.storage.restless import NAMES
from tests.storage.site import Site, check_readers, check_recovery
from tests.storage.stored import NAME
from tests.storage.trace import Effect, Trace, fault

#: The directory from which Python can import `tests`.
CHECKOUT = Path(__file__).parents[2]


class TestKilledWorkers:
    def test_a_reader_never_finds_a_mismatched_pair(self, site: Site) -> None:
        """
        A reader finds a matching pair in each read, while sixty publishing workers are killed.
        """
        command = [sys.executable, "-m", "tests.storage.restless", str(site.root), "60"]
        reads, serials = 0, set[str]()
        with subprocess.Popen(command, cwd=CHECKOUT) as workers:
            while workers.poll() is None:
                for name in NAMES:
                    certificate = followed(site.traefik.directory, name)
                    if certificate:
                        reads += 1
                        serials.add(certificate.serial)

        assert workers.returncode == 0
        assert reads > 100
        assert len(serials) > 10
        for name in NAMES:
            assert found(site.volume.directory, name)

    def test_the_next_worker_removes_leftovers(self, site: Site) -> None:
        """
        The next worker removes incomplete generations, which have keys.
        """
        command = [sys.executable, "-m", "tests.storage.restless", str(site.root), "20"]
        subprocess.run(command, cwd=CHECKOUT, check=True)

        site.volume.remove_leftovers()
        site.traefik.remove_leftovers()
        site.volume.prune(site.traefik.served_generations())

        assert [] == list(site.root.rglob("*.tmp"))
        generations = list((site.root / "certificates/.certworker/generations").iterdir())
        assert len(generations) in (3, 4)
        assert all(site.volume.current(name) for name in NAMES)


class TestFailingDisks:
    @pytest.mark.parametrize(
        ("number", "code"),
        [(errno.ENOSPC, "fs.full"), (errno.EROFS, "fs.readonly"), (errno.EIO, "fs.io")],
        ids=["full", "read-only", "broken"],
    )
    def test_the_old_certificate_remains_in_service(self, site: Site, number: int, code: str) -> None:
        """
        If the disk fails from any change of a renewal on, the old certificate remains in service.
        """
        old = site.publish(NAME, token=1)
        before = read_tree(site.root)
        trace = Trace(site.root)
        with trace.recording():
            site.publish(NAME, token=2)

        failures = 0
        for failing in range(len(trace.effects)):
            site.reset_to(before)
            failure = self._failure(site, fault(failing, number))
            if failure:
                failures += 1
                assert code == failure.code
                assert str(site.root) in failure.message
            check_readers(site, set(), old, (NAME,))
            check_recovery(site, (NAME,))

        assert failures > 20

    def _failure(self, site: Site, before: Callable[[Effect], None]) -> CertworkerError | None:
        trace = Trace(site.root)
        trace.before = before
        try:
            with trace.recording():
                site.publish(NAME, token=2)
        except CertworkerError as failure:
            return failure
        return None
