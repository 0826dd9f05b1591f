"""
Tests of batched changes to the watched directory, so that Traefik does not reload for each certificate.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from certworker.errors.fs import VolumeFault, VolumeLocked
from certworker.job_slot import JobSlot
from certworker.storage.shared_directory import SharedDirectory, WriteLock
from certworker.traefik import batching, reload_interval
from certworker.traefik.batching import READY, STAGED, BatchedWriter
from certworker.traefik.layout import Layout
from certworker.traefik.reload_interval import LEAST_SECONDS, ReloadInterval, Size
from tests.servers.worker import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Burst:
    """
    The time when a worker took the lock, and the time of its change to the directory.
    """

    began: float
    changed: float


class RecordingLock(WriteLock):
    """
    A lock that counts its attempts, and records each change of *directory* in *bursts*.
    """

    def __init__(self, directory: Path, bursts: list[Burst], timeout_seconds: float = 30) -> None:
        super().__init__(directory / ".certworker/lock", timeout_seconds)
        self._directory = directory
        self._bursts = bursts
        self.attempts = 0

    @contextmanager
    def held(self, timeout_seconds: float | None = None) -> Iterator[None]:
        """
        Hold the lock, and record a change to the directory.
        """
        self.attempts += 1
        with super().held(timeout_seconds):
            began, before = time.time(), self._directory.stat().st_mtime_ns
            yield
            if (after := self._directory.stat().st_mtime_ns) != before:
                self._bursts.append(Burst(began, after / 1e9))


def writer_for(
    directory: Path,
    *,
    is_outdated: Callable[[bytes, bytes], bool] = lambda _content, _found: False,
    lock: WriteLock | None = None,
    size: Size | None = None,
) -> BatchedWriter:
    """
    Return a writer for *directory*, like that of another worker.
    """
    private = directory / ".certworker"
    private.mkdir(parents=True, exist_ok=True)
    shared = SharedDirectory(private, private / "writing.lock")
    layout = Layout(directory, private, "per-name", is_outdated)
    interval = ReloadInterval(lambda: size or layout.size())
    return BatchedWriter(directory, shared, lock or WriteLock(private / "lock", 30), layout, interval)


def publish_under_load(publish: Callable[[JobSlot], None], releases: list[None] | None = None) -> None:
    """
    Publish as a job does while other jobs are running, and record each release of its slot.
    """
    recorded: list[None] = [] if releases is None else releases
    publish(JobSlot(lambda: recorded.append(None), lambda: True))


def slot_while(has_contention: Callable[[], bool]) -> JobSlot:
    """
    Return the slot of a job that waits as long as *has_contention* returns True.
    """
    return JobSlot(lambda: None, has_contention)


def waiting(directory: Path) -> int:
    """
    Return the number of waiting changes.
    """
    return len(list(directory.glob(f".certworker/*{READY}")))


@pytest.fixture
def endless_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make the delay between two bursts longer than any test.
    """
    for module, name in (
        (reload_interval, "LEAST_SECONDS"),
        (reload_interval, "MOST_SECONDS"),
        (batching, "LEAST_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 3_600.0)


class TestManyCertificates:
    """
    With many certificates, changes wait for an interval that grows with them, also without other jobs.
    """

    @pytest.fixture
    def busy(self, tmp_path: Path) -> BatchedWriter:
        """
        Return a writer for a directory with many certificates, which has just changed it.
        """
        writer = writer_for(tmp_path, size=Size(20_000, 20_000))
        os.utime(tmp_path, (0, 0))
        releases: list[None] = []
        writer.publish("0", {"a.yml": b"a"}, JobSlot(lambda: releases.append(None), lambda: False))
        assert [] == releases, "the first change after a quiet time waited"
        return writer

    def test_the_next_change_waits_without_its_slot(self, tmp_path: Path, busy: BatchedWriter) -> None:
        """
        The change waits although no other job runs, and the job ends after its file is written.
        """
        released, stopping = threading.Event(), threading.Event()
        busy.is_stopping = stopping.is_set
        with ThreadPoolExecutor(1) as threads:
            job = threads.submit(busy.publish, "1", {"b.yml": b"b"}, JobSlot(released.set, lambda: False))
            assert released.wait(30)
            assert (1, False, False) == (waiting(tmp_path), (tmp_path / "b.yml").exists(), job.done())
            assert busy.pause_left() > 60
            # Traefik also reads the files below the watched directory, unless they have another extension.
            assert [] == list(tmp_path.glob(".certworker/**/*.yml"))
            stopping.set()  # a worker that stops does not wait
            job.result()

        assert b"b" == (tmp_path / "b.yml").read_bytes()

    def test_commands_do_not_wait(self, tmp_path: Path, busy: BatchedWriter) -> None:
        """
        A change by a command, or by the repair, is written immediately, with the waiting ones.
        """
        ready = tmp_path / f".certworker/0{READY}"
        ready.mkdir()
        (ready / f"b{STAGED}").write_bytes(b"b")

        busy.publish("1", {"c.yml": b"c"})

        assert (b"b", b"c") == tuple((tmp_path / name).read_bytes() for name in ("b.yml", "c.yml"))


class TestPublish:
    def test_the_first_change_is_written_at_once(self, tmp_path: Path) -> None:
        """
        The first change after a delay is written immediately, also under load.
        """
        writer = writer_for(tmp_path)
        os.utime(tmp_path, (0, 0))
        releases: list[None] = []
        publish_under_load(lambda slot: writer.publish("1", {"a.yml": b"a"}, slot), releases)

        assert [] == releases
        assert b"a" == (tmp_path / "a.yml").read_bytes()

    @pytest.mark.usefixtures("endless_delay")
    def test_without_other_jobs_every_change_is_written_at_once(self, tmp_path: Path) -> None:
        """
        Without other running jobs, each change is written immediately.
        """
        writer = writer_for(tmp_path)
        for number in range(5):
            writer.publish("1", {"a.yml": b"%d" % number}, slot_while(lambda: False))

        assert b"4" == (tmp_path / "a.yml").read_bytes()

    def test_under_load_changes_are_written_in_bursts(self, tmp_path: Path) -> None:
        """
        Many jobs of three workers cause few bursts, and each job returns once its file exists.

        The time between two bursts is at least the delay.
        """
        bursts: list[Burst] = []
        workers = [writer_for(tmp_path, lock=RecordingLock(tmp_path, bursts)) for _ in range(3)]
        os.utime(tmp_path, (0, 0))

        def job(number: int) -> None:
            time.sleep(number / 12)
            publish_under_load(
                lambda slot: workers[number % 3].publish(f"{number:03}", {f"{number}.yml": b"x"}, slot)
            )
            assert (tmp_path / f"{number}.yml").exists()

        with ThreadPoolExecutor(60) as threads:
            list(threads.map(job, range(60)))

        assert len(bursts) > 1
        # The clock of a file system can be some milliseconds behind.
        assert all(after.changed - burst.began > LEAST_SECONDS - 0.1 for burst, after in pairwise(bursts))
        assert [".certworker"] == [path.name for path in tmp_path.iterdir() if path.suffix != ".yml"]

    @pytest.mark.usefixtures("endless_delay")
    def test_a_waiting_job_releases_its_slot(self, tmp_path: Path) -> None:
        """
        A job that waits for the next burst releases its slot for other jobs.
        """
        writer = writer_for(tmp_path)
        writer.publish("1", {"a.yml": b"a"})
        releases: list[None] = []
        writer.publish("2", {"b.yml": b"b"}, JobSlot(lambda: releases.append(None), lambda: not releases))

        assert [None] == releases
        assert b"b" == (tmp_path / "b.yml").read_bytes()

    @pytest.mark.usefixtures("endless_delay")
    def test_the_wait_ends_when_no_other_job_runs(self, tmp_path: Path) -> None:
        """
        The wait for the next burst ends when no other job is running.
        """
        writer = writer_for(tmp_path)
        writer.publish("1", {"a.yml": b"a"})
        polls = iter([True] * 5)
        writer.publish("2", {"b.yml": b"b"}, slot_while(lambda: next(polls, False)))

        assert [] == list(polls)
        assert b"b" == (tmp_path / "b.yml").read_bytes()

    @pytest.mark.usefixtures("endless_delay")
    def test_the_latest_change_wins(self, tmp_path: Path) -> None:
        """
        Of several waiting changes of one file, the latest is written.
        """
        writer = writer_for(tmp_path)
        writer.publish("0", {"a.yml": b"0"})
        gathered = threading.Event()

        def has_contention() -> bool:
            if waiting(tmp_path) == 3:
                gathered.set()
            return not gathered.is_set()

        with ThreadPoolExecutor(3) as threads:
            for order in ("3", "1", "2"):
                threads.submit(writer.publish, order, {"a.yml": order.encode()}, slot_while(has_contention))

        assert b"3" == (tmp_path / "a.yml").read_bytes()

    def test_an_outdated_change_is_left_out(self, tmp_path: Path) -> None:
        """
        A waiting change is left out if it is outdated when the burst is written.
        """
        writer = writer_for(tmp_path, is_outdated=lambda content, _found: content == b"old")
        writer.publish("0", {"a.yml": b"new"})
        publish_under_load(lambda slot: writer.publish("1", {"a.yml": b"old", "b.yml": b"fine"}, slot))

        assert (b"new", b"fine") == tuple((tmp_path / name).read_bytes() for name in ("a.yml", "b.yml"))

    def test_a_change_of_a_killed_worker_is_written(self, tmp_path: Path) -> None:
        """
        A ready change of a killed worker, which is complete, is written with the next change.
        """
        ready = tmp_path / ".certworker/000000000001-00.ready"
        ready.mkdir(parents=True)
        (ready / f"left{STAGED}").write_bytes(b"left")
        writer_for(tmp_path).publish("2", {"a.yml": b"a"})

        assert b"left" == (tmp_path / "left.yml").read_bytes()
        assert not ready.exists()

    def test_the_failure_of_one_change_does_not_affect_another(self, tmp_path: Path) -> None:
        """
        If one file cannot be written, its job fails and the other one succeeds.
        """
        writer = writer_for(tmp_path)
        (tmp_path / "a.yml").mkdir()
        with ThreadPoolExecutor(2) as threads:
            broken = threads.submit(
                publish_under_load, lambda slot: writer.publish("1", {"a.yml": b"a"}, slot)
            )
            fine = threads.submit(publish_under_load, lambda slot: writer.publish("2", {"b.yml": b"b"}, slot))

        fine.result()
        with pytest.raises(VolumeFault, match=r"a\.yml"):
            broken.result()
        assert b"b" == (tmp_path / "b.yml").read_bytes()
        assert {"lock", "writing.lock"} == {path.name for path in (tmp_path / ".certworker").iterdir()}

    def test_waiting_for_the_lock_ends(self, tmp_path: Path) -> None:
        """
        All waiting jobs fail at the same time, because few of them try the lock.
        """
        lock = RecordingLock(tmp_path, [], 0.5)
        writer = writer_for(tmp_path, lock=lock)
        # The time of the directory is in the future, so that each job waits for the complete delay.
        os.utime(tmp_path, (2**32, 2**32))
        with WriteLock(tmp_path / ".certworker/lock").held(), ThreadPoolExecutor(8) as threads:
            jobs = [
                threads.submit(publish_under_load, partial(writer.publish, order, {"a.yml": b"b"}))
                for order in "12345678"
            ]
            assert [VolumeLocked] * 8 == [type(job.exception()) for job in jobs]

        assert lock.attempts < 8

    @pytest.mark.usefixtures("endless_delay")
    def test_a_withdrawn_file_is_not_written(self, tmp_path: Path) -> None:
        """
        The waiting file of a removed name is not written.
        """
        writer = writer_for(tmp_path)
        writer.publish("0", {"a.yml": b"a"})
        withdrawn = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            job = threads.submit(
                writer.publish, "1", {"b.yml": b"b"}, slot_while(lambda: not withdrawn.is_set())
            )
            wait_until(lambda: waiting(tmp_path) or None, lambda: "no change waits")
            writer.withdraw("b.yml")
            withdrawn.set()
            job.result()

        assert not (tmp_path / "b.yml").exists()
