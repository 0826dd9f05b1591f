"""
The account on the volume: its key, and its URL at the CA, shared by all workers.

    STATE_DIR/accounts/LABEL/key.pem        the key, 0600; made once, replaced only by:
    STATE_DIR/accounts/LABEL/key.next.pem   the next one, while the CA is told of it and until it is known
    STATE_DIR/accounts/LABEL/key.pem.bak    the key of an ended account; further ones: key.pem.2.bak, …
    STATE_DIR/accounts/LABEL/account.json   the URL; can be asked for again with the key
    STATE_DIR/accounts/LABEL/lock           held while one worker makes or changes them

A key that another worker has changed is seen at once: what is kept in memory counts only as long as the files
are the same.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.json_util import encode_b64jose
from josepy.jwk import JWKEC

from certworker.acme.jws import Signer
from certworker.acme.transport import resolved
from certworker.certificates import PrivateKey
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.fs import VolumeLocked
from certworker.storage import durable
from certworker.storage.shared_directory import SharedDirectory

#: The shape of account.json.
SCHEMA = 1
KEY_MODE = 0o600
#: A key has some hundred bytes, and a URL is shorter.
LARGEST_FILE_BYTES = 64 * 1024
#: Longer than an exchange with the CA, during which another worker may hold the lock.
LOCK_SECONDS = 60.0
LOCK_PAUSE_SECONDS = 0.02
DIRECTORY_MODE = 0o700


@dataclass(frozen=True)
class Account:
    """
    The account as the volume knows it.
    """

    key: JWKEC = field(repr=False)
    #: Its URL at the CA; None: to be asked for.
    url: str | None = None
    #: The contact that the CA was told last.
    contact: str | None = None

    @property
    def signer(self) -> Signer:
        """
        The account, to sign requests.
        """
        return Signer(self.key, self.url)

    @cached_property
    def thumbprint(self) -> str:
        """
        The fingerprint of the key (RFC 7638); the second half of each answer to a challenge.
        """
        return encode_b64jose(self.key.thumbprint(hash_function=hashes.SHA256))


class AccountFiles:
    """
    The files of one CA's account.

    Args:
        directory: STATE_DIR/accounts/LABEL; made when it is needed.
        directory_url: The CA; a URL that another CA gave is not used.
    """

    def __init__(self, directory: Path, directory_url: str) -> None:
        self._directory = directory
        self._directory_url = directory_url
        self.key_path = directory / "key.pem"
        self._next_key_path = directory / "key.next.pem"
        self._account_path = directory / "account.json"
        #: What was read last, and of which files.
        self._read: tuple[object, Account] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Let only one thread of one worker on this volume change the account.

        Raises:
            VolumeLocked: Another one has held the lock for :data:`LOCK_SECONDS`, a frozen worker for example.
            CertworkerError: The volume cannot be written.
        """
        durable.make_directory(self._directory, DIRECTORY_MODE)
        path = self._directory / "lock"
        with durable.translate_os_errors(path):
            file = path.open("ab")
        with file:
            end = time.monotonic() + LOCK_SECONDS
            while not _is_taken(file, path):
                if time.monotonic() > end:
                    raise VolumeLocked(path=path, seconds=f"{LOCK_SECONDS:g}")
                # Not in the kernel: the time limit of a job must be able to end it.
                time.sleep(LOCK_PAUSE_SECONDS)
            # Closing it ends the lock, as the end of the process does.
            yield

    def remove_leftovers(self) -> None:
        """
        Remove what a crash left half-written; keys may be among it.

        Raises:
            VolumeReadOnly, VolumeFault: It is not possible.
        """
        # Every writer holds this lock, alone.
        SharedDirectory(self._directory, self._directory / "lock").remove_leftovers()

    def read(self) -> Account | None:
        """
        The account; None: there is no key yet.

        Raises:
            AccountKeyUnreadable: There is one, but it cannot be read, or is not an elliptic-curve key.
        """
        files = _identity(self.key_path), _identity(self._account_path)
        if (last := self._read) and last[0] == files:
            return last[1]
        key = _read_key(self.key_path)
        if key is None:
            return None
        account = Account(key, *self._known())
        self._read = files, account
        return account

    @property
    def changing(self) -> bool:
        """
        Whether a change of the key has begun of which nobody knows the end.
        """
        return self._next_key_path.exists()

    def next_key(self) -> JWKEC | None:
        """
        The key that replaces the present one; None: no change is under way.

        Raises:
            AccountKeyUnreadable: There is one, but it cannot be read.
        """
        return _read_key(self._next_key_path)

    def next_key_age(self) -> timedelta:
        """
        Return how long ago the next key was made; zero if there is none.
        """
        with durable.translate_os_errors(self._next_key_path):
            try:
                made = self._next_key_path.stat().st_mtime
            except FileNotFoundError:
                return timedelta(0)
        return timedelta(seconds=time.time() - made)

    def make_next_key(self) -> JWKEC:
        """
        The key that will replace the present one, durable from here on. To be called under the lock.
        """
        while (key := self.next_key()) is None:
            durable.write(self._next_key_path, PrivateKey.generate("ec256").pem, KEY_MODE)
        return key

    def promote_next_key(self) -> None:
        """
        Let the next key be the key: the CA knows it. To be called under the lock.
        """
        with durable.translate_os_errors(self.key_path):
            self._next_key_path.replace(self.key_path)
        durable.sync_directory(self._directory)

    def drop_next_key(self) -> None:
        """
        Stay with the present key: the CA never heard of the next one. To be called under the lock.
        """
        durable.remove(self._next_key_path)

    def make_key(self) -> Account:
        """
        The account, with a new key if there is none. To be called under the lock.
        """
        if (account := self.read()) is not None:
            return account
        durable.write(self.key_path, PrivateKey.generate("ec256").pem, KEY_MODE)
        return self.make_key()

    def remember(self, url: str, contact: str | None) -> None:
        """
        Keep what the CA knows of the account. To be called under the lock.
        """
        known = {"schema": SCHEMA, "directory": self._directory_url, "url": url, "contact": contact}
        durable.write(self._account_path, json.dumps(known, indent=2).encode() + b"\n", KEY_MODE)

    def retire_key(self) -> Path:
        """
        Put the key aside, keeping it, and return where it is. To be called under the lock.
        """
        kept = self._backup_path()
        with durable.translate_os_errors(kept):
            self._account_path.unlink(missing_ok=True)
            self.key_path.replace(kept)
        durable.sync_directory(self._directory)
        return kept

    def _backup_path(self) -> Path:
        """
        Return where the key is kept; no key of an earlier account is there.
        """
        first = self.key_path.with_name("key.pem.bak")
        others = (self.key_path.with_name(f"key.pem.{number}.bak") for number in count(2))
        return next(path for path in chain([first], others) if not path.exists())

    def _known(self) -> tuple[str | None, str | None]:
        """
        The account's URL and contact; what is damaged, or of another CA under the same label, is unknown.
        """
        try:
            known = json.loads(durable.read(self._account_path, LARGEST_FILE_BYTES))
            if known["directory"] == self._directory_url:
                # Raises where the URL is none: the key finds the right one.
                return resolved(known["url"], ""), _text(known["contact"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass
        return None, None


def _is_taken(file: BinaryIO, path: Path) -> bool:
    with durable.translate_os_errors(path):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    # Each change of content, mode or place changes the second one.
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _read_key(path: Path) -> JWKEC | None:
    try:
        key = load_pem_private_key(durable.read(path, LARGEST_FILE_BYTES), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccountKeyUnreadable(path=path, reason=error.strerror) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AccountKeyUnreadable(path=path, reason="it is damaged") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise AccountKeyUnreadable(path=path, reason="it is not a P-256 key")
    return JWKEC(key=key)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
