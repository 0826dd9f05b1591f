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
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from certworker.errors.fs import VolumeFault, VolumeLocked
from certworker.job_slot import JobSlot
from certworker.storage.shared_directory import SharedDirectory, WriteLock
from certworker.traefik.batching import PAUSE_SECONDS, BatchedWriter

pytestmark = pytest.mark.slow


def publication(
    directory: Path,
    *,
    is_outdated: Callable[[bytes, Path], bool] = lambda _content, _file: False,
    patience_seconds: float = 30,
) -> BatchedWriter:
    """
    Return the writer of another worker for the same *directory*.
    """
    place = directory / ".certworker"
    place.mkdir(parents=True, exist_ok=True)
    workshop = SharedDirectory(place, place / "writing.lock")
    return BatchedWriter(directory, workshop, WriteLock(place / "lock", patience_seconds), is_outdated)


@contextmanager
def changes(directory: Path) -> Iterator[list[float]]:
    """
    Return the times at which *directory* was changed, within some milliseconds.
    """
    moments: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        seen = directory.stat().st_mtime_ns
        while not stop.wait(0.002):
            if (found := directory.stat().st_mtime_ns) != seen:
                seen = found
                moments.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield moments
    time.sleep(0.05)
    stop.set()
    watcher.join()


def bursts(moments: list[float]) -> list[float]:
    """
    Return those of *moments* at which a burst began.
    """
    return [now for before, now in zip([-9.0, *moments], moments, strict=False) if now - before > 0.2]


def busy(publish: Callable[[JobSlot], None], given_back: list[None] | None = None) -> None:
    """
    Publish like a job while other jobs are running.
    """
    noted: list[None] = [] if given_back is None else given_back
    publish(JobSlot(lambda: noted.append(None), lambda: True))


class TestPublish:
    def test_the_first_change_is_made_at_once(self, tmp_path: Path) -> None:
        """
        The first change after a pause is made at once, also under load.
        """
        writer = publication(tmp_path)
        os.utime(tmp_path, (0, 0))
        began = time.monotonic()
        busy(lambda slot: writer.publish("1", {"a.yml": b"a"}, slot))

        assert time.monotonic() - began < 1
        assert b"a" == (tmp_path / "a.yml").read_bytes()

    def test_without_others_at_work_every_change_is_made_at_once(self, tmp_path: Path) -> None:
        """
        Without other running jobs there is nothing to gather.
        """
        writer = publication(tmp_path)
        began = time.monotonic()
        for number in range(5):
            writer.publish("1", {"a.yml": b"%d" % number})

        assert time.monotonic() - began < 1
        assert b"4" == (tmp_path / "a.yml").read_bytes()

    def test_under_load_changes_come_in_bursts(self, tmp_path: Path) -> None:
        """
        Sixty jobs of three workers within five seconds cause at most four events, and each returns once its
        file is there.
        """
        workers = [publication(tmp_path) for _ in range(3)]
        os.utime(tmp_path, (0, 0))

        def job(number: int) -> float:
            time.sleep(number / 12)
            began = time.monotonic()
            busy(lambda slot: workers[number % 3].publish(f"{number:03}", {f"{number}.yml": b"x"}, slot))
            assert (tmp_path / f"{number}.yml").exists()
            return time.monotonic() - began

        with changes(tmp_path) as moments, ThreadPoolExecutor(60) as threads:
            took = list(threads.map(job, range(60)))

        starts = bursts(moments)
        assert len(starts) <= 4
        assert all(after - before > PAUSE_SECONDS - 0.1 for before, after in pairwise(starts))
        assert max(took) < PAUSE_SECONDS + 1
        assert [".certworker"] == [path.name for path in tmp_path.iterdir() if path.suffix != ".yml"]

    def test_who_waits_gives_the_slot_back(self, tmp_path: Path) -> None:
        """
        Otherwise four slots would do two jobs a second.
        """
        writer = publication(tmp_path)
        given_back: list[None] = []
        busy(lambda slot: writer.publish("1", {"a.yml": b"a"}, slot), given_back)
        busy(lambda slot: writer.publish("2", {"b.yml": b"b"}, slot), given_back)

        assert 1 <= len(given_back) <= 2

    def test_it_ends_when_no_other_job_runs(self, tmp_path: Path) -> None:
        """
        The last change of a burst does not wait for others.
        """
        writer = publication(tmp_path)
        writer.publish("1", {"a.yml": b"a"})
        others = threading.Event()
        others.set()
        threading.Timer(0.3, others.clear).start()
        began = time.monotonic()
        writer.publish("2", {"b.yml": b"b"}, JobSlot(lambda: None, others.is_set))

        assert 0.2 < time.monotonic() - began < 1

    def test_the_later_one_wins(self, tmp_path: Path) -> None:
        """
        Two certificates of one name may wait together.
        """
        writer = publication(tmp_path)
        writer.publish("0", {"a.yml": b"0"})
        with ThreadPoolExecutor(3) as threads:
            for order in ("3", "1", "2"):
                threads.submit(busy, partial(writer.publish, order, {"a.yml": order.encode()}))

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
        All waiting jobs fail at the same time, not one after the other.
        """
        writer = publication(tmp_path, patience_seconds=0.2)
        writer.publish("0", {"a.yml": b"a"})
        began = time.monotonic()
        with WriteLock(tmp_path / ".certworker/lock").held(), ThreadPoolExecutor(8) as threads:
            jobs = [
                threads.submit(busy, partial(writer.publish, order, {"a.yml": b"b"})) for order in "12345678"
            ]
            assert [VolumeLocked] * 8 == [type(job.exception()) for job in jobs]

        assert time.monotonic() - began < PAUSE_SECONDS + 3

    def test_what_is_withdrawn_does_not_come_back(self, tmp_path: Path) -> None:
        """
        A name that is removed while its file waits stays removed.
        """
        writer = publication(tmp_path)
        writer.publish("0", {"a.yml": b"a"})
        with ThreadPoolExecutor(1) as threads:
            job = threads.submit(busy, lambda slot: writer.publish("1", {"b.yml": b"b"}, slot))
            time.sleep(0.3)
            writer.withdraw("b.yml")
            job.result()

        assert not (tmp_path / "b.yml").exists()
