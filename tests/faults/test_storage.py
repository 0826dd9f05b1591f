"""
A volume that fails in the middle of a renewal, and one that is known to fail before it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from tests.app_fixture import open_app
from tests.faults.service import NAME, in_service
from tests.servers.faulty_authority import FaultyAuthority
from tests.storage.trace import Trace, fault

DISKS = pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "fs.full"),
        (errno.EROFS, "fs.readonly"),
        (errno.EIO, "fs.io"),
        (errno.EACCES, "fs.readonly"),
    ],
    ids=["full", "read-only", "broken", "wrong-owner"],
)


@pytest.fixture
def renewable(app: App) -> App:
    """
    Open an app with a certificate for NAME in service.
    """
    app.issuance.issue((NAME,))
    return app


def ordered(authority: FaultyAuthority, kind: str = "newOrder") -> int:
    """
    How many requests of *kind* the CA got.
    """
    return sum(asked.kind == kind for asked in authority.requests)


def failure_of(app: App) -> CertworkerError | None:
    """
    How a renewal for NAME fails; None: it does not.
    """
    try:
        app.issuance.issue((NAME,), force=True)
    except CertworkerError as failure:
        return failure
    return None


class TestFailingDisks:
    @DISKS
    def test_the_old_certificate_serves_on_from_each_change_of_a_renewal(
        self, renewable: App, tmp_path: Path, number: int, code: str
    ) -> None:
        """
        The disk fails from the n-th change on, and works again for the next n.
        """
        failures = changes = 0
        while True:
            serial = in_service(renewable, NAME)
            trace = Trace(tmp_path)
            trace.before = fault(changes, number)
            with trace.recording():
                failure = failure_of(renewable)
            if failure is None:
                # What is left to fail is tidying up after a certificate that is in service.
                if serial != in_service(renewable, NAME) and changes > failures + 3:
                    break
                changes += 1
                continue
            failures += 1
            changes += 1
            assert code == failure.code, failure
            assert str(tmp_path) in failure.message
            assert failure.remedy
            assert in_service(renewable, NAME)

        assert failures > 10
        assert None is failure_of(renewable)


class TestKnownBefore:
    @DISKS
    def test_a_failed_disk_is_reported_and_nothing_is_ordered(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path, number: int, code: str
    ) -> None:
        """
        An order for a certificate that cannot be stored would only use up a limit.
        """
        trace = Trace(tmp_path)
        trace.before = fault(0, number)
        with trace.recording():
            failure = failure_of(app)

        assert failure is not None
        assert code == failure.code
        assert 0 == ordered(app_authority)

    @pytest.mark.parametrize("place", ["certificates", "config"])
    def test_a_directory_of_another_user_is_reported_with_its_owner_and_nothing_is_ordered(
        self,
        reachable: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        place: str,
    ) -> None:
        """
        After a restore from a backup, most often.
        """
        url = app_authority.directory_url
        with open_app(reachable, connection, url, http_port) as former:
            former.issuance.issue((NAME,))
        # A check that passed is cached for a minute, but not in another worker.
        with open_app(reachable, connection, url, http_port) as app:
            before, serial = ordered(app_authority), in_service(app, NAME)
            with nobody(reachable, reachable / place):
                failure = failure_of(app)

            assert failure is not None
            assert "fs.readonly" == failure.code
            assert f"{reachable / place} belongs to " in failure.message
            assert f"-R {65534 if os.geteuid() == 0 else os.geteuid()} " in failure.remedy
            assert before == ordered(app_authority)
            assert serial == in_service(app, NAME)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """
    A directory that everybody can enter; those of pytest are for their owner alone.
    """
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        yield place


@contextmanager
def nobody(place: Path, forbidden: Path) -> Iterator[None]:
    """
    Be somebody, for the length of the block, who owns everything in *place* but may not write *forbidden*.

    Root becomes nobody for that.
    """
    us = os.geteuid()
    if us == 0:
        for each in place.rglob("*"):
            if each != forbidden:
                os.chown(each, 65534, 65534, follow_symlinks=False)
        os.seteuid(65534)
    else:
        forbidden.chmod(0o555)
    try:
        yield
    finally:
        os.seteuid(us)
        forbidden.chmod(0o755)
