"""
Tests of the locks on shared directories, and of the removal of leftovers.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certworker.acme.account import AccountFiles
from certworker.acme.order_keys import OrderKeys
from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.webroot import Webroot
from certworker.errors.fs import VolumeLocked
from certworker.job_slot import JobSlot
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.shared_directory import SharedDirectory
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store, write_plain_files
from tests.storage.trace import Effect, Trace

#: The directory from which Python can import `certworker`.
CHECKOUT = Path(__file__).parents[1]

#: A program that writes a temporary file, reports that, and never finishes it.
WRITER = """
import sys, time
from pathlib import Path
from certworker.storage.shared_directory import SharedDirectory
directory = Path(sys.argv[1])
with SharedDirectory(directory, directory / "lock").writing():
    (directory / "0123456789abcdef.tmp").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


class TestWriteLock:
    def test_waiting_for_the_lock_ends(self, tmp_path: Path, signer: Signer) -> None:
        """
        A store fails with VolumeLocked after the timeout, while another worker holds the lock.
        """
        volume = CertificateStore(tmp_path, timeout_seconds=0.05)
        store(volume, signer.certificate(NAME))

        with (tmp_path / ".certworker/lock").open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(VolumeLocked) as caught:
                store(volume, signer.certificate(NAME), token=2)

        assert "0.05 seconds" in caught.value.message
        store(volume, signer.certificate(NAME), token=2)

    def test_waiting_for_another_thread_ends(self, tmp_path: Path, signer: Signer) -> None:
        """
        Storing a certificate fails with VolumeLocked if another thread does not release the lock in time.
        """
        volume = CertificateStore(tmp_path, timeout_seconds=0.05)
        certificate = signer.certificate(NAME)
        entered, leave = threading.Event(), threading.Event()

        def hang() -> None:
            with volume._linking.held():
                entered.set()
                leave.wait()

        thread = threading.Thread(target=hang)
        thread.start()
        entered.wait()
        with pytest.raises(VolumeLocked):
            store(volume, certificate)
        leave.set()
        thread.join()


def shared(directory: Path) -> SharedDirectory:
    """
    Return *directory* as a shared directory with a short timeout and no minimum age of leftovers.
    """
    return SharedDirectory(directory, directory / "lock", timeout_seconds=0.02, least_age_seconds=0)


@contextmanager
def writer(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """
    Run another process that writes a temporary file in *directory*.
    """
    command = [sys.executable, "-c", WRITER, str(directory)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert "writing\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


class TestSharedDirectory:
    @pytest.mark.parametrize("frozen", [False, True], ids=["at work", "frozen"])
    def test_a_file_of_a_running_process_remains(self, tmp_path: Path, frozen: bool) -> None:
        """
        A temporary file remains until its process ends, even if that process is frozen.
        """
        with writer(tmp_path) as process:
            if frozen:
                process.send_signal(signal.SIGSTOP)
            assert 0 == shared(tmp_path).remove_leftovers()
            process.kill()
            process.wait()

            assert 1 == shared(tmp_path).remove_leftovers()
        assert ["lock"] == [path.name for path in tmp_path.iterdir()]

    @pytest.mark.parametrize(("age", "removed"), [(0, 0), (58, 0), (62, 1), (3600, 1), (-30, 0), (-3600, 1)])
    def test_a_recent_leftover_remains(self, tmp_path: Path, age: float, removed: int) -> None:
        """
        A recent file remains, even without a lock, because an older version takes none.

        A file with a time in the future was written before a correction of the clock.
        """
        leftover = tmp_path / "0123456789abcdef.tmp"
        leftover.write_text("half")
        os.utime(leftover, (time.time() - age,) * 2)

        assert removed == SharedDirectory(tmp_path, tmp_path / "lock").remove_leftovers()

    def test_files_of_other_programs_remain(self, tmp_path: Path) -> None:
        """
        Only paths with the name of a temporary file are removed, with their content.
        """
        for name in ("upload.tmp", "0123456789abcdef", "0123456789ABCDEF.tmp", "mine.yml"):
            (tmp_path / name).write_text("theirs")
        (tmp_path / "0123456789abcdef.tmp").mkdir()
        (tmp_path / "0123456789abcdef.tmp" / "privkey.pem").write_text("half a key")
        (tmp_path / "fedcba9876543210.probe.tmp").symlink_to("nowhere")

        assert 2 == shared(tmp_path).remove_leftovers()
        assert 5 == len(list(tmp_path.iterdir()))

    def test_a_missing_directory_has_no_leftovers(self, tmp_path: Path) -> None:
        """
        A missing directory has no leftovers, and is not created.
        """
        assert 0 == shared(tmp_path / "absent").remove_leftovers()
        assert not (tmp_path / "absent").exists()

    def test_writers_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        """
        Writers share the lock, and only the removal of leftovers is exclusive.
        """
        with shared(tmp_path).writing(), shared(tmp_path).writing():
            pass
        with shared(tmp_path).alone(), pytest.raises(VolumeLocked), shared(tmp_path).writing():
            pass


class Directories:
    """
    All directories of a worker below *root*, without a minimum age of leftovers.
    """

    def __init__(self, root: Path) -> None:
        self.volume = CertificateStore(root / "certificates", least_age_seconds=0, timeout_seconds=0.001)
        self.traefik = TraefikConfig(root / "config", least_age_seconds=0, timeout_seconds=0.001)
        self.webroot = Webroot(root / "certificates", lambda: "thumbprint", least_age_seconds=0)
        self.keys = OrderKeys(root / "state/orders/ca", "ec256")
        self.account = AccountFiles(root / "state/accounts/ca", "https://ca.test/directory")
        self.webroot._shared._lock.timeout_seconds = 0.001

    def clean(self) -> None:
        """
        Remove all leftovers, as a worker does at its start.
        """
        self.volume.remove_leftovers()
        self.volume.prune(self.traefik.served_generations())
        self.traefik.remove_leftovers()
        self.webroot.remove_leftovers(lambda: {"token"})
        self.keys.remove_stale()
        self.account.remove_leftovers()


Action = Callable[[Directories, Signer], object]


def serve_in_a_burst(directories: Directories, signer: Signer) -> None:
    """
    Publish while other jobs wait, so that the change is prepared outside of the directory.
    """
    stored = [store(directories.volume, signer.certificate(f"{name}.localhost")) for name in "ab"]
    for each in stored:
        assert directories.traefik.publish(each, slot=JobSlot(lambda: None, lambda: True))


def adopt(directories: Directories, signer: Signer) -> None:
    """
    Adopt the files of another program as a generation.
    """
    write_plain_files(directories.volume, NAME, signer.certificate(NAME, f"www.{NAME}"))
    assert directories.volume.adopt(NAME)


def check_directories(directories: Directories, _: Signer) -> None:
    """
    Check that the worker can write to the directories.
    """
    directories.volume.check_writable()
    directories.traefik.check_writable()


WRITERS: dict[str, Action] = {
    "a certificate": lambda directories, signer: store(directories.volume, signer.certificate(NAME)),
    "an adoption": adopt,
    "a publication": lambda directories, signer: directories.traefik.publish(
        store(directories.volume, signer.certificate(NAME))
    ),
    "a burst": serve_in_a_burst,
    "an answer": lambda directories, _: directories.webroot.present(
        Http01Challenge(NAME, "token", "token.thumbprint")
    ),
    "a key": lambda directories, _: directories.keys.make("https://ca.test/order/1"),
    "trials": check_directories,
}


class TestEveryWriter:
    @pytest.mark.parametrize("kind", WRITERS)
    def test_a_cleaning_worker_removes_no_file_of_a_writer(
        self, tmp_path: Path, signer: Signer, kind: str
    ) -> None:
        """
        A worker that cleans before any change removes no file of the writer.
        """
        own, other = Directories(tmp_path), Directories(tmp_path)
        trace, steps = Trace(tmp_path), list[Effect]()

        def clean(effect: Effect) -> None:
            steps.append(effect)
            trace.before = lambda _effect: None
            other.clean()
            trace.before = clean

        trace.before = clean
        with trace.recording():
            WRITERS[kind](own, signer)

        assert len(steps) > 3
        assert [] == [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()
