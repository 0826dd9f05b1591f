"""
Killed workers and failing disks, while a reader follows Traefik's file.
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

#: From where `tests` can be imported.
CHECKOUT = Path(__file__).parents[2]


class TestKilledWorkers:
    def test_a_reader_never_meets_a_broken_pair(self, site: Site) -> None:
        """
        Sixty workers are killed while they publish; the reader reads as fast as it can.
        """
        command = [sys.executable, "-m", "tests.storage.restless", str(site.root), "60"]
        reads, serials = 0, set[str]()
        with subprocess.Popen(command, cwd=CHECKOUT) as restless:
            while restless.poll() is None:
                for name in NAMES:
                    certificate = followed(site.traefik.directory, name)
                    if certificate:
                        reads += 1
                        serials.add(certificate.serial)

        assert restless.returncode == 0
        assert reads > 100
        assert len(serials) > 10
        for name in NAMES:
            assert found(site.volume.directory, name)

    def test_the_next_one_removes_what_they_left(self, site: Site) -> None:
        """
        Half-built generations hold keys.
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
    def test_the_old_certificate_serves_on(self, site: Site, number: int, code: str) -> None:
        """
        The disk fails from each change of a renewal on, until it is repaired.
        """
        old = site.publish(NAME, token=1)
        before = read_tree(site.root)
        trace = Trace(site.root)
        with trace.recording():
            site.publish(NAME, token=2)

        failures = 0
        for failing in range(len(trace.effects)):
            site.become(before)
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
