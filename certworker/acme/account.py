"""
The files of the account: its key and its URL at the CA, shared by all workers.

    STATE_DIR/accounts/LABEL/key.pem        the key, mode 0600; a key change replaces it
    STATE_DIR/accounts/LABEL/key.next.pem   the next key, until the result of a key change is known
    STATE_DIR/accounts/LABEL/key.pem.bak    the key of a deactivated account; further ones: key.pem.2.bak, …
    STATE_DIR/accounts/LABEL/account.json   the contact, and the URL, which the CA also returns for the key
    STATE_DIR/accounts/LABEL/lock           the lock of a process that creates or changes the files

A change by another worker takes effect immediately: the cached account is valid only for unchanged files.
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

from certworker.acme.session import Signer
from certworker.acme.transport import resolved
from certworker.certificates import PrivateKey
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.fs import VolumeLocked
from certworker.storage import durable
from certworker.storage.shared_directory import SharedDirectory

#: The version of account.json.
SCHEMA = 1
KEY_MODE = 0o600
#: The maximum size of a file. The key and account.json have a few hundred bytes each.
LARGEST_FILE_BYTES = 64 * 1024
#: The timeout for the lock. Another thread or process may hold it during a few requests to the CA.
LOCK_SECONDS = 60.0
LOCK_PAUSE_SECONDS = 0.02
DIRECTORY_MODE = 0o700


@dataclass(frozen=True)
class Account:
    """
    The account on the volume.
    """

    key: JWKEC = field(repr=False)
    #: The URL at the CA; None if unknown.
    url: str | None = None
    #: The e-mail address that the CA has; None if the account has none, or if it is unknown.
    contact: str | None = None

    @property
    def signer(self) -> Signer:
        """
        Return the signer of requests.
        """
        return Signer(self.key, self.url)

    @cached_property
    def thumbprint(self) -> str:
        """
        Return the thumbprint of the key (RFC 7638), the second half of each key authorization.
        """
        return encode_b64jose(self.key.thumbprint(hash_function=hashes.SHA256))


class AccountFiles:
    """
    The files of the account at one CA.

    Args:
        directory: STATE_DIR/accounts/LABEL, created with the first key.
        directory_url: The URL of the CA's directory. A stored account URL of another CA is ignored.
    """

    def __init__(self, directory: Path, directory_url: str) -> None:
        self._directory = directory
        self._directory_url = directory_url
        self.key_path = directory / "key.pem"
        self._next_key_path = directory / "key.next.pem"
        self._account_path = directory / "account.json"
        #: The account that was read last, and the identity of its files.
        self._read: tuple[object, Account] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Hold the lock that allows only one thread of one process to change the account.

        Raises:
            VolumeLocked: Another thread or process has held the lock for :data:`LOCK_SECONDS`.
            CertworkerError: The volume is not writable.
        """
        durable.make_directory(self._directory, DIRECTORY_MODE)
        path = self._directory / "lock"
        with durable.translate_os_errors(path):
            file = path.open("ab")
        with file:
            end = time.monotonic() + LOCK_SECONDS
            while not _try_lock(file, path):
                if time.monotonic() > end:
                    raise VolumeLocked(path=path, seconds=f"{LOCK_SECONDS:g}")
                # The program polls instead of waiting in the kernel, so that a job's time limit can end
                # the wait.
                time.sleep(LOCK_PAUSE_SECONDS)
            # Closing the file releases the lock, as does the end of the process.
            yield

    def remove_leftovers(self) -> None:
        """
        Remove incomplete files after a crash. They may contain keys.

        Raises:
            VolumeReadOnly, VolumeFault: A file cannot be removed.
        """
        # Each writer holds this lock exclusively.
        SharedDirectory(self._directory, self._directory / "lock").remove_leftovers()

    def read(self) -> Account | None:
        """
        Return the account, or None if there is no key.

        Raises:
            AccountKeyUnreadable: The key cannot be read, or is not a P-256 key.
        """
        files = _identity(self.key_path), _identity(self._account_path)
        if (last := self._read) and last[0] == files:
            return last[1]
        key = _read_key(self.key_path)
        if key is None:
            return None
        account = Account(key, *self._known(Account(key).thumbprint))
        self._read = files, account
        return account

    @property
    def changing(self) -> bool:
        """
        Whether a key change has begun, and its result is unknown.
        """
        return self._next_key_path.exists()

    def next_key(self) -> JWKEC | None:
        """
        Return the key that replaces the current one, or None if no key change has begun.

        Raises:
            AccountKeyUnreadable: The next key cannot be read, or is not a P-256 key.
        """
        return _read_key(self._next_key_path)

    def next_key_age(self) -> timedelta:
        """
        Return the age of the next key, or zero if there is none.
        """
        with durable.translate_os_errors(self._next_key_path):
            try:
                created = self._next_key_path.stat().st_mtime
            except FileNotFoundError:
                return timedelta(0)
        return timedelta(seconds=time.time() - created)

    def make_next_key(self) -> JWKEC:
        """
        Return the next key, and store a new one if there is none. The caller holds the lock.
        """
        while (key := self.next_key()) is None:
            durable.write(self._next_key_path, PrivateKey.generate("ec256").pem, KEY_MODE)
        return key

    def promote_next_key(self) -> None:
        """
        Replace the key with the next key, which the CA knows. The caller holds the lock.
        """
        account = self.read()
        with durable.translate_os_errors(self.key_path):
            self._next_key_path.replace(self.key_path)
        durable.sync_directory(self._directory)
        if account and account.url:
            self.remember(account.url, account.contact)

    def drop_next_key(self) -> None:
        """
        Remove the next key, which the CA does not know. The caller holds the lock.
        """
        durable.remove(self._next_key_path)

    def make_key(self) -> Account:
        """
        Return the account, and store a new key if there is none. The caller holds the lock.
        """
        if (account := self.read()) is not None:
            return account
        durable.write(self.key_path, PrivateKey.generate("ec256").pem, KEY_MODE)
        return self.make_key()

    def remember(self, url: str, contact: str | None) -> None:
        """
        Store the URL and the contact of the account to which the stored key belongs.

        The caller holds the lock.
        """
        fields = {
            "schema": SCHEMA,
            "directory": self._directory_url,
            "url": url,
            "contact": contact,
            "thumbprint": self.make_key().thumbprint,
        }
        durable.write(self._account_path, json.dumps(fields, indent=2).encode() + b"\n", KEY_MODE)

    def retire_key(self) -> Path:
        """
        Move the key to a backup file, and return the path of this file. Remove account.json.

        The caller holds the lock.
        """
        backup = self._backup_path()
        with durable.translate_os_errors(backup):
            self._account_path.unlink(missing_ok=True)
            self.key_path.replace(backup)
        durable.sync_directory(self._directory)
        return backup

    def _backup_path(self) -> Path:
        """
        Return an unused path for the key of a deactivated account.
        """
        first = self.key_path.with_name("key.pem.bak")
        others = (self.key_path.with_name(f"key.pem.{number}.bak") for number in count(2))
        return next(path for path in chain([first], others) if not path.exists())

    def _known(self, thumbprint: str) -> tuple[str | None, str | None]:
        """
        Return the URL and the contact of the account whose key has this *thumbprint*.

        Both are None if the file is missing, unreadable or damaged, or is for another CA or another key. A
        file of an earlier version has no thumbprint.
        """
        try:
            fields = json.loads(durable.read(self._account_path, LARGEST_FILE_BYTES))
            if (self._directory_url, thumbprint) == (
                fields["directory"],
                fields.get("thumbprint", thumbprint),
            ):
                # An invalid URL raises an error. The CA then returns the URL for the key.
                return resolved(fields["url"], ""), _text(fields["contact"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass
        return None, None


def _try_lock(file: BinaryIO, path: Path) -> bool:
    with durable.translate_os_errors(path):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    # Each change of the content or the mode, and each rename, changes st_ctime_ns.
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def _read_key(path: Path) -> JWKEC | None:
    try:
        key = load_pem_private_key(durable.read(path, LARGEST_FILE_BYTES), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccountKeyUnreadable(path=path, reason=error.strerror) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AccountKeyUnreadable(path=path, reason="damaged") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise AccountKeyUnreadable(path=path, reason="not a P-256 key")
    return JWKEC(key=key)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
