"""
The response as a file, for a web server that already serves the domain from a shared volume.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN, Http01Challenge
from certworker.storage import durable
from certworker.storage.shared_directory import LEAST_AGE_SECONDS, SharedDirectory

#: The web server usually runs as another user.
FILE_MODE = 0o644
#: The maximum number of bytes to read from a file. A response (RFC 8555, section 8.1) is shorter.
MAX_RESPONSE_BYTES = 256
#: The prefix of incomplete files, which hides them. No other program uses this prefix.
TEMPORARY = ".certworker-"


class Webroot:
    """
    A solver that writes each response as a file below *directory*.

    Args:
        directory: The document root of the web server for all names.
        thumbprint: Returns the thumbprint of the account. This class removes no responses of other accounts.
        least_age_seconds: The minimum age of a leftover. Another worker may still be writing a younger file.
    """

    def __init__(
        self,
        directory: Path,
        thumbprint: Callable[[], str],
        *,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self._directory = directory / CHALLENGE_PATH.strip("/")
        self._shared = SharedDirectory(
            self._directory,
            self._directory.parent / ".certworker.lock",
            least_age_seconds=least_age_seconds,
        )
        self._thumbprint = thumbprint

    def present(self, challenge: Http01Challenge) -> None:
        """
        Write the file atomically, so that the web server never reads an incomplete one.

        Raises:
            ValueError: The token is invalid, and could contain a path.
            CertworkerError: The file cannot be written.
        """
        path = self._path(challenge)
        durable.make_directory(self._directory, once=True)
        # The rename publishes the complete file. It needs no fsync: after a power failure, certworker writes
        # a new response.
        temporary = self._directory / f"{TEMPORARY}{secrets.token_hex(8)}"
        with self._shared.writing():
            durable.write_unsynced(path, challenge.key_authorization.encode("ascii"), FILE_MODE, temporary)

    def clean_up(self, challenge: Http01Challenge) -> None:
        """
        Remove the file.

        Raises:
            ValueError: The token is invalid.
            CertworkerError: The file cannot be removed.
        """
        path = self._path(challenge)
        with durable.translate_os_errors(path):
            path.unlink(missing_ok=True)

    def remove_leftovers(self, live_tokens: Callable[[], Collection[str]]) -> None:
        """
        Remove the files of killed workers: incomplete files, and responses of this account to unknown tokens.

        Args:
            live_tokens: Returns the shared tokens. This method lists the files before it calls the function,
                because a worker shares each token before it writes the file.

        Raises:
            CertworkerError: The directory or the account key cannot be read, or a file cannot be removed.
            redis.RedisError: *live_tokens* needs Redis, and Redis failed.
        """

        def leftovers(paths: Sequence[Path]) -> list[Path]:
            live, ending = live_tokens(), f".{self._thumbprint()}".encode()
            return [
                path
                for path in paths
                if path.name.startswith(TEMPORARY) or (path.name not in live and _has_ending(path, ending))
            ]

        self._shared.remove_leftovers(leftovers)

    def _path(self, challenge: Http01Challenge) -> Path:
        if not TOKEN.fullmatch(challenge.token):
            raise ValueError("not a challenge token")
        return self._directory / challenge.token


def _has_ending(path: Path, ending: bytes) -> bool:
    # Other programs may use the same webroot, with another thumbprint. Another worker may be removing the
    # same files.
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(MAX_RESPONSE_BYTES).endswith(ending)
    except FileNotFoundError:
        return False
