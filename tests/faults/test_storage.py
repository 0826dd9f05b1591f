"""
A volume that fails during a renewal, and a volume whose fault a check finds before the order.
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
    Return the number of requests of *kind* that the CA received.
    """
    return sum(asked.kind == kind for asked in authority.requests)


def failure_of(app: App) -> CertworkerError | None:
    """
    Return the failure of a renewal for NAME, or None.
    """
    try:
        app.issuance.issue((NAME,), force=True)
    except CertworkerError as failure:
        return failure
    return None


class TestFailingDisks:
    @DISKS
    def test_after_a_failure_at_each_change_a_certificate_is_in_service(
        self, renewable: App, tmp_path: Path, number: int, code: str
    ) -> None:
        """
        A certificate stays in service if the disk fails at any change of a renewal.
        """
        failures = changes = 0
        while True:
            serial = in_service(renewable, NAME)
            trace = Trace(tmp_path)
            trace.before = fault(changes, number)
            with trace.recording():
                failure = failure_of(renewable)
            if failure is None:
                # Later changes only remove old files, after the new certificate is in service.
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


class TestCheckedBefore:
    @DISKS
    def test_a_failed_disk_is_reported_without_an_order(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path, number: int, code: str
    ) -> None:
        """
        certworker reports the failed disk, and places no order for a certificate that it cannot store.
        """
        trace = Trace(tmp_path)
        trace.before = fault(0, number)
        with trace.recording():
            failure = failure_of(app)

        assert failure is not None
        assert code == failure.code
        assert 0 == ordered(app_authority)

    @pytest.mark.parametrize("place", ["certificates", "config"])
    def test_a_directory_of_another_user_is_reported_without_an_order(
        self,
        reachable: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        place: str,
    ) -> None:
        """
        certworker reports the directory with its owner and the command that corrects it, and places no order.
        """
        url = app_authority.directory_url
        with open_app(reachable, connection, url, http_port) as former:
            former.issuance.issue((NAME,))
        # A worker caches a passed check for a minute, so the test uses another worker.
        with open_app(reachable, connection, url, http_port) as app:
            before, serial = ordered(app_authority), in_service(app, NAME)
            with another_user(reachable, reachable / place):
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
    Yield a directory that each user can enter. The directories of pytest are only for their owner.
    """
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        yield place


@contextmanager
def another_user(place: Path, forbidden: Path) -> Iterator[None]:
    """
    Become a user, for the duration of the context, who owns all files in *place* except *forbidden*.

    Root becomes the user `nobody`. For other users, *forbidden* becomes read-only.
    """
    own_id = os.geteuid()
    if own_id == 0:
        for each in place.rglob("*"):
            if each != forbidden:
                os.chown(each, 65534, 65534, follow_symlinks=False)
        os.seteuid(65534)
    else:
        forbidden.chmod(0o555)
    try:
        yield
    finally:
        os.seteuid(own_id)
        forbidden.chmod(0o755)
