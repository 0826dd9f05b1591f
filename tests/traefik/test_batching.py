"""
Changes of the watched directory are gathered, so that Traefik does not reload for each certificate of a
backlog.
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
from certworker.traefik import batching
from certworker.traefik.batching import PAUSE_SECONDS, READY, BatchedWriter
from tests.servers.worker import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Burst:
    """
    When a worker took the lock, and the time of the directory when it had changed it.
    """

    began: float
    changed: float


class RecordingLock(WriteLock):
    """
    Records how often it was asked for, and in *bursts* when *directory* was changed.
    """

    def __init__(self, directory: Path, bursts: list[Burst], patience_seconds: float = 30) -> None:
        super().__init__(directory / ".certworker/lock", patience_seconds)
        self._directory = directory
        self._bursts = bursts
        self.attempts = 0

    @contextmanager
    def held(self, patience_seconds: float | None = None) -> Iterator[None]:
        """
        Hold the lock.
        """
        self.attempts += 1
        with super().held(patience_seconds):
            began, before = time.time(), self._directory.stat().st_mtime_ns
            yield
            if (after := self._directory.stat().st_mtime_ns) != before:
                self._bursts.append(Burst(began, after / 1e9))


def publication(
    directory: Path,
    *,
    is_outdated: Callable[[bytes, Path], bool] = lambda _content, _file: False,
    lock: WriteLock | None = None,
) -> BatchedWriter:
    """
    Return the writer of another worker for the same *directory*.
    """
    place = directory / ".certworker"
    place.mkdir(parents=True, exist_ok=True)
    workshop = SharedDirectory(place, place / "writing.lock")
    return BatchedWriter(directory, workshop, lock or WriteLock(place / "lock", 30), is_outdated)


def busy(publish: Callable[[JobSlot], None], given_back: list[None] | None = None) -> None:
    """
    Publish like a job while other jobs are running.
    """
    noted: list[None] = [] if given_back is None else given_back
    publish(JobSlot(lambda: noted.append(None), lambda: True))


def slot_while(has_contention: Callable[[], bool]) -> JobSlot:
    """
    Return the slot of a job that waits for as long as others are at work.
    """
    return JobSlot(lambda: None, has_contention)


def waiting(directory: Path) -> int:
    """
    Return the number of changes that wait.
    """
    return len(list(directory.glob(f".certworker/*{READY}")))


@pytest.fixture
def endless_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make the pause between two bursts longer than any test.
    """
    monkeypatch.setattr(batching, "PAUSE_SECONDS", 3_600.0)


class TestPublish:
    def test_the_first_change_is_made_at_once(self, tmp_path: Path) -> None:
        """
        The first change after a pause is made at once, also under load.
        """
        writer = publication(tmp_path)
        os.utime(tmp_path, (0, 0))
        given_back: list[None] = []
        busy(lambda slot: writer.publish("1", {"a.yml": b"a"}, slot), given_back)

        assert [] == given_back
        assert b"a" == (tmp_path / "a.yml").read_bytes()

    @pytest.mark.usefixtures("endless_pause")
    def test_without_others_at_work_every_change_is_made_at_once(self, tmp_path: Path) -> None:
        """
        Without other running jobs there is nothing to gather.
        """
        writer = publication(tmp_path)
        for number in range(5):
            writer.publish("1", {"a.yml": b"%d" % number}, slot_while(lambda: False))

        assert b"4" == (tmp_path / "a.yml").read_bytes()

    def test_under_load_changes_come_in_bursts(self, tmp_path: Path) -> None:
        """
        Sixty jobs of three workers within five seconds cause few events, and each returns once its file is
        there. From the begin of a burst to the next one there is a whole pause.
        """
        bursts: list[Burst] = []
        workers = [publication(tmp_path, lock=RecordingLock(tmp_path, bursts)) for _ in range(3)]
        os.utime(tmp_path, (0, 0))

        def job(number: int) -> None:
            time.sleep(number / 12)
            busy(lambda slot: workers[number % 3].publish(f"{number:03}", {f"{number}.yml": b"x"}, slot))
            assert (tmp_path / f"{number}.yml").exists()

        with ThreadPoolExecutor(60) as threads:
            list(threads.map(job, range(60)))

        assert len(bursts) > 1
        # The clock of a file system is some milliseconds behind.
        assert all(after.changed - burst.began > PAUSE_SECONDS - 0.1 for burst, after in pairwise(bursts))
        assert [".certworker"] == [path.name for path in tmp_path.iterdir() if path.suffix != ".yml"]

    @pytest.mark.usefixtures("endless_pause")
    def test_who_waits_gives_the_slot_back(self, tmp_path: Path) -> None:
        """
        Otherwise four slots would do two jobs a second.
        """
        writer = publication(tmp_path)
        writer.publish("1", {"a.yml": b"a"})
        given_back: list[None] = []
        writer.publish("2", {"b.yml": b"b"}, JobSlot(lambda: given_back.append(None), lambda: not given_back))

        assert [None] == given_back
        assert b"b" == (tmp_path / "b.yml").read_bytes()

    @pytest.mark.usefixtures("endless_pause")
    def test_it_ends_when_no_other_job_runs(self, tmp_path: Path) -> None:
        """
        The last change of a burst does not wait for others.
        """
        writer = publication(tmp_path)
        writer.publish("1", {"a.yml": b"a"})
        polls = iter([True] * 5)
        writer.publish("2", {"b.yml": b"b"}, slot_while(lambda: next(polls, False)))

        assert [] == list(polls)
        assert b"b" == (tmp_path / "b.yml").read_bytes()

    @pytest.mark.usefixtures("endless_pause")
    def test_the_later_one_wins(self, tmp_path: Path) -> None:
        """
        Two certificates of one name may wait together.
        """
        writer = publication(tmp_path)
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

    def test_what_is_outdated_by_then_is_left_out(self, tmp_path: Path) -> None:
        """
        Another worker may have written a newer file in between, or removed the name.
        """
        writer = publication(tmp_path, is_outdated=lambda content, _file: content == b"old")
        writer.publish("0", {"a.yml": b"new"})
        busy(lambda slot: writer.publish("1", {"a.yml": b"old", "b.yml": b"fine"}, slot))

        assert (b"new", b"fine") == tuple((tmp_path / name).read_bytes() for name in ("a.yml", "b.yml"))

    def test_what_a_dead_worker_left_ready_goes_with_the_next_change(self, tmp_path: Path) -> None:
        """
        A ready directory is always complete.
        """
        ready = tmp_path / ".certworker/000000000001-00.ready"
        ready.mkdir(parents=True)
        (ready / "left.yml").write_bytes(b"left")
        publication(tmp_path).publish("2", {"a.yml": b"a"})

        assert b"left" == (tmp_path / "left.yml").read_bytes()
        assert not ready.exists()

    def test_the_fault_of_one_is_not_that_of_another(self, tmp_path: Path) -> None:
        """
        One of the files cannot be moved, because a directory has its name.
        """
        writer = publication(tmp_path)
        (tmp_path / "a.yml").mkdir()
        with ThreadPoolExecutor(2) as threads:
            broken = threads.submit(busy, lambda slot: writer.publish("1", {"a.yml": b"a"}, slot))
            fine = threads.submit(busy, lambda slot: writer.publish("2", {"b.yml": b"b"}, slot))

        fine.result()
        with pytest.raises(VolumeFault, match=r"a\.yml"):
            broken.result()
        assert b"b" == (tmp_path / "b.yml").read_bytes()
        assert {"lock", "writing.lock"} == {path.name for path in (tmp_path / ".certworker").iterdir()}

    def test_a_lock_that_is_never_free_is_reported_in_time(self, tmp_path: Path) -> None:
        """
        All waiting jobs fail at the same time, not one after the other: few of them try the lock.
        """
        lock = RecordingLock(tmp_path, [], 0.5)
        writer = publication(tmp_path, lock=lock)
        # Each job waits for a whole pause, however late it begins.
        os.utime(tmp_path, (2**32, 2**32))
        with WriteLock(tmp_path / ".certworker/lock").held(), ThreadPoolExecutor(8) as threads:
            jobs = [
                threads.submit(busy, partial(writer.publish, order, {"a.yml": b"b"})) for order in "12345678"
            ]
            assert [VolumeLocked] * 8 == [type(job.exception()) for job in jobs]

        assert lock.attempts < 8

    @pytest.mark.usefixtures("endless_pause")
    def test_what_is_withdrawn_does_not_come_back(self, tmp_path: Path) -> None:
        """
        A name that is removed while its file waits stays removed.
        """
        writer = publication(tmp_path)
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
