"""
Tests of the pause between two changes of Traefik's directory.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from certworker.traefik.reload_interval import (
    LEAST_SECONDS,
    MOST_SECONDS,
    ReloadInterval,
    Size,
    reload_seconds,
)
from tests.storage.stored import NAME

#: A program that stores a certificate and waits to publish it, as a job at a busy Traefik does.
WAITING = """
import sys
from functools import partial
from pathlib import Path
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik import reload_interval
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer

root, name = Path(sys.argv[1]), sys.argv[2]
reload_interval.LEAST_SECONDS = reload_interval.MOST_SECONDS = 3600.0
volume, traefik = CertificateStore(root / "certificates"), TraefikConfig(root / "config")
for token in (1, 2):
    slot = JobSlot(lambda: print("waiting", flush=True), lambda: True) if token == 2 else NO_SLOT
    stored = volume.store(Signer().certificate(name), authority="x", kind="public", token=token)
    traefik.publish(stored, slot=slot)
    volume.mark_published(stored)
"""


class TestReloadSeconds:
    @pytest.mark.parametrize(
        ("size", "measured"),
        [
            (Size(100, 100), 0.2),
            (Size(1_000, 1_000), 0.6),
            (Size(5_000, 5_000), 2.9),
            (Size(10_000, 10_000), 6.3),
            (Size(20_000, 20_000), 13.1),
            (Size(10_000, 40), 3.0),
        ],
        ids=str,
    )
    def test_the_numbers_match_the_measurements(self, size: Size, measured: float) -> None:
        """
        The seconds are those that were measured with Traefik.
        """
        assert measured == pytest.approx(reload_seconds(size), rel=0.25, abs=0.1)

    def test_the_time_at_the_proxy_counts(self) -> None:
        """
        A slower machine needs a longer pause. With few certificates, the measured time has other reasons.
        """
        expected = reload_seconds(Size(10_000, 40))

        assert 9 == reload_seconds(Size(10_000, 40), 6)
        assert 4 * expected == reload_seconds(Size(10_000, 40), 600)
        assert expected / 4 == reload_seconds(Size(10_000, 40), 0.01)
        assert reload_seconds(Size(100, 100)) == reload_seconds(Size(100, 100), 6)


class TestSeconds:
    def test_reloads_take_a_tenth_of_a_processor(self) -> None:
        """
        The pause grows with the certificates, and has a limit below that of a job.
        """
        sizes = [Size(certificates, 100) for certificates in (500, 10_000, 500_000)]
        pauses = [ReloadInterval(partial(Size, size.certificates, size.files)).seconds() for size in sizes]

        assert [LEAST_SECONDS, 10 * reload_seconds(Size(10_000, 100)), MOST_SECONDS] == pytest.approx(pauses)

    def test_the_certificates_are_counted_again(self) -> None:
        """
        Other workers add certificates, so the number is counted again after a while.
        """
        sizes, now = iter([Size(0, 0), Size(10_000, 10_000)]), [0.0]
        interval = ReloadInterval(lambda: next(sizes), clock=lambda: now[0])

        assert [LEAST_SECONDS] * 2 == [interval.seconds(), interval.seconds()]
        now[0] = 61
        assert interval.seconds() > 60


def test_a_worker_that_is_killed_while_a_change_waits_loses_nothing(tmp_path: Path) -> None:
    """
    After `kill -9`, the old certificate is served, and the next attempt publishes the new one.
    """
    program = [sys.executable, "-c", WAITING, str(tmp_path), NAME]
    with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        assert b"waiting\n" == process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    volume, traefik = CertificateStore(tmp_path / "certificates"), TraefikConfig(tmp_path / "config")
    old, new = traefik.files(NAME), volume.unpublished((NAME,))
    assert (-signal.SIGKILL, True) == (process.returncode, old is not None)
    assert new is not None
    assert old != (new.directory / "fullchain.pem", new.directory / "privkey.pem")
    assert traefik.publish(new)
    assert (new.directory / "fullchain.pem", new.directory / "privkey.pem") == traefik.files(NAME)
    assert [] == list(tmp_path.glob("config/.certworker/*.ready"))
