"""
Tests of the files of an account.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from threading import Thread

import pytest

from certworker.acme import account as module
from certworker.acme.account import AccountFiles
from certworker.certificates import PrivateKey
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.fs import VolumeLocked

URL = "https://ca.example/directory"


@pytest.fixture
def files(tmp_path: Path) -> AccountFiles:
    """
    Return the files of an account that does not exist yet.
    """
    return AccountFiles(tmp_path / "accounts" / "ca", URL)


class TestKey:
    def test_a_pipe_instead_of_the_key_file_blocks_no_worker(self, files: AccountFiles) -> None:
        """
        A pipe is refused immediately. A blocking open would wait until another program opens the pipe.
        """
        with files.locked():
            os.mkfifo(files.key_path)

        with pytest.raises(AccountKeyUnreadable, match="not a regular file"):
            files.read()

    def test_reading_creates_no_key(self, files: AccountFiles) -> None:
        """
        Reading creates no file, so the doctor can check a new volume.
        """
        assert files.read() is None

    def test_the_key_is_created_once(self, files: AccountFiles) -> None:
        """
        The second worker reads the key of the first worker.
        """
        with files.locked():
            first = files.make_key()
            second = files.make_key()

        assert first.thumbprint == second.thumbprint

    def test_the_thumbprint_follows_rfc_7638(self, files: AccountFiles) -> None:
        """
        The thumbprint is the hash of the sorted members without spaces, as the CA computes it.
        """
        with files.locked():
            account = files.make_key()
        numbers = account.key.key.public_key().public_numbers()
        members = {"crv": "P-256", "kty": "EC", "x": _b64(numbers.x), "y": _b64(numbers.y)}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()

        assert _encoded(hashlib.sha256(canonical).digest()) == account.thumbprint

    def test_the_next_key_is_created_once_and_replaces_the_key(
        self, files: AccountFiles, tmp_path: Path
    ) -> None:
        """
        An interrupted key change continues with the same key, because the CA may already know it.
        """
        with files.locked():
            first = files.make_key()
            following = files.make_next_key()
            again = files.make_next_key()
            assert files.changing
            assert 0o600 == (tmp_path / "accounts/ca/key.next.pem").stat().st_mode & 0o777
            files.promote_next_key()

        present = files.read()
        assert following == again
        assert present is not None
        assert (present.key, files.next_key(), files.changing) == (following, None, False)
        assert first.key != following

    def test_the_next_key_can_be_dropped(self, files: AccountFiles) -> None:
        """
        A next key that the CA does not know is removed, and the account uses its key.
        """
        with files.locked():
            first = files.make_key()
            files.make_next_key()
            files.drop_next_key()

        assert first == files.read()
        assert not files.changing

    @pytest.mark.parametrize("kind", ["ec384", "rsa2048"])
    def test_a_key_of_another_type_is_refused(self, files: AccountFiles, tmp_path: Path, kind: str) -> None:
        """
        A key of another type than P-256 is refused, because the CA would refuse each signature.
        """
        with files.locked():
            files.make_key()
        key = PrivateKey.generate("ec384" if kind == "ec384" else "rsa2048")
        (tmp_path / "accounts" / "ca" / "key.pem").write_bytes(key.pem)

        with pytest.raises(AccountKeyUnreadable, match="not a P-256 key"):
            files.read()

    def test_a_directory_instead_of_the_key_file_is_reported(
        self, files: AccountFiles, tmp_path: Path
    ) -> None:
        """
        A directory at the path of the key is reported. Docker creates a directory if a file to mount
        is missing.
        """
        (tmp_path / "accounts" / "ca" / "key.pem").mkdir(parents=True)

        with pytest.raises(AccountKeyUnreadable, match="Is a directory"):
            files.read()

    def test_a_retired_key_is_stored_without_its_url(self, files: AccountFiles) -> None:
        """
        A retired key is stored as a backup, and its URL is removed. The URL belongs to the old key.
        """
        with files.locked():
            old = files.make_key()
            files.remember("https://ca.example/acct/1", None)
            retired = files.retire_key()
            new = files.make_key()

        assert retired.is_file()
        assert old.thumbprint != new.thumbprint
        assert new.url is None


class TestLock:
    def test_threads_wait_for_one_another(self, files: AccountFiles) -> None:
        """
        The second thread waits for the lock. Each thread opens a descriptor, so flock also locks
        between threads.
        """
        order = []

        def other() -> None:
            with files.locked():
                order.append("other")

        with files.locked():
            thread = Thread(target=other)
            thread.start()
            thread.join(timeout=0.1)
            order.append("first")
        thread.join()

        assert ["first", "other"] == order

    def test_a_lock_that_another_worker_holds_for_too_long_is_reported(
        self, files: AccountFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The wait for the lock of a frozen worker ends with a failure. The kernel itself has no limit.
        """
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
        other = AccountFiles(tmp_path / "accounts" / "ca", URL)

        with files.locked(), pytest.raises(VolumeLocked, match="held the lock"), other.locked():
            pass

        with other.locked():
            assert other.make_key()


def _b64(number: int) -> str:
    return _encoded(number.to_bytes(32, "big"))


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
