"""
Waiting for other writers, which ends.
"""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from certworker.errors.machine import VolumeLocked
from certworker.serving.volume import Volume
from tests.serving.authority import Signer
from tests.serving.stored import NAME, store


class TestWriteLock:
    def test_waiting_ends(self, tmp_path: Path, signer: Signer) -> None:
        """
        A worker that hangs while it holds the lock must not hang all the others.
        """
        volume = Volume(tmp_path, patience_seconds=0.05)
        store(volume, signer.certificate(NAME))

        with (tmp_path / ".certworker/lock").open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(VolumeLocked) as caught:
                store(volume, signer.certificate(NAME), token=2)

        assert "0.05 seconds" in caught.value.message
        store(volume, signer.certificate(NAME), token=2)

    def test_a_hanging_thread_ends_the_waiting_of_its_neighbours(
        self, tmp_path: Path, signer: Signer
    ) -> None:
        """
        The slots of one worker wait for each other in memory; that ends, too.
        """
        volume = Volume(tmp_path, patience_seconds=0.05)
        certificate = signer.certificate(NAME)
        entered, leave = threading.Event(), threading.Event()

        def hang() -> None:
            with volume._linking.held():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=hang)
        thread.start()
        entered.wait(10)
        began = time.monotonic()
        with pytest.raises(VolumeLocked):
            store(volume, certificate)
        leave.set()
        thread.join()

        assert time.monotonic() - began < 5
