"""
Tests of the keys of pending orders.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from certworker.acme.order_keys import OLDEST, OrderKeys
from certworker.errors.fs import VolumeReadOnly
from tests.storage.trace import Effect, Trace

URL = "https://ca/order/1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """
    Return the directory of the keys, which does not exist yet.
    """
    return tmp_path / "state" / "orders" / "ca"


@pytest.fixture
def keys(directory: Path) -> OrderKeys:
    """
    Return a store without keys.
    """
    return OrderKeys(directory, "ec256")


class TestKeys:
    def test_a_pipe_instead_of_the_file_is_no_key(self, keys: OrderKeys, directory: Path) -> None:
        """
        A pipe counts as missing immediately. A blocking open would wait until another program opens the
        pipe.
        """
        directory.mkdir(parents=True)
        os.mkfifo(keys._path(URL))

        assert keys.find(URL) is None

    def test_a_key_is_found_again_after_a_crash(self, keys: OrderKeys, directory: Path) -> None:
        """
        Another process finds the key of the order. A certificate without its key is useless.
        """
        made = keys.make(URL)
        found = OrderKeys(directory, "rsa2048").find(URL)

        assert found is not None
        assert made.pem == found.pem

    def test_each_order_has_its_own_key(self, keys: OrderKeys) -> None:
        """
        Each order has a new key, so a renewal replaces a stolen key.
        """
        assert keys.make(URL).pem != keys.make(URL + "2").pem

    def test_other_users_cannot_read_a_key(self, keys: OrderKeys, directory: Path) -> None:
        """
        Only the owner can read the private key of a future certificate.
        """
        keys.make(URL)
        (file,) = directory.glob("*.pem")

        assert (0o700, 0o600) == (directory.stat().st_mode & 0o777, file.stat().st_mode & 0o777)

    def test_a_damaged_key_counts_as_missing(self, keys: OrderKeys, directory: Path) -> None:
        """
        A damaged key counts as missing. A new order replaces it, without any action by the operator.
        """
        keys.make(URL)
        (file,) = directory.glob("*.pem")
        file.write_bytes(b"damaged")

        assert keys.find(URL) is None

    def test_a_key_is_removed_with_its_order(self, keys: OrderKeys, directory: Path) -> None:
        """
        The key is removed with its order, and no unused key remains on the volume.
        """
        keys.make(URL)
        keys.forget(URL)
        keys.forget(URL)

        assert keys.find(URL) is None
        assert [] == list(directory.iterdir())

    def test_a_volume_that_cannot_be_written_is_reported(self, forbidden: Path) -> None:
        """
        The failure precedes the signing request, whose key would be lost.
        """
        with pytest.raises(VolumeReadOnly):
            OrderKeys(forbidden / "ca", "ec256").make(URL)


class TestRemoveStale:
    def test_the_key_of_an_expired_order_is_removed(self, keys: OrderKeys, directory: Path) -> None:
        """
        The age of the file decides, because Redis may lose the URL of the order.
        """
        keys.make(URL)
        (old,) = directory.glob("*.pem")
        before = time.time() - OLDEST.total_seconds() - timedelta(hours=1).total_seconds()
        os.utime(old, (before, before))
        keys.make(URL + "2")
        keys.remove_stale()

        assert keys.find(URL) is None
        assert keys.find(URL + "2") is not None

    def test_an_incomplete_key_of_a_crash_is_removed(self, keys: OrderKeys, directory: Path) -> None:
        """
        A worker that ends while it writes a key leaves only the incomplete key, which is removed in time.
        """
        trace = Trace(directory.parent)

        def end_the_worker(effect: Effect) -> None:
            if effect.verb == "write":
                raise KeyboardInterrupt

        directory.mkdir(parents=True)
        trace.before = end_the_worker
        with trace.recording(), pytest.raises(KeyboardInterrupt):
            keys.make(URL)
        assert [keys._path(URL)] == list(directory.iterdir())
        before = time.time() - OLDEST.total_seconds() - timedelta(hours=1).total_seconds()
        os.utime(keys._path(URL), (before, before))
        keys.remove_stale()

        assert [] == list(directory.iterdir())

    def test_a_missing_directory_is_no_failure(self, keys: OrderKeys) -> None:
        """
        The removal succeeds without a directory, as at the first start of a worker.
        """
        keys.remove_stale()
