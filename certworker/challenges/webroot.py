"""
The answer as a file, for a web server that already serves the domain from a shared volume.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN, Http01Challenge
from certworker.storage import durable
from certworker.storage.shared_directory import LEAST_AGE_SECONDS, SharedDirectory

#: The web server mostly runs as another user.
FILE_MODE = 0o644
#: A token, a dot and a thumbprint (RFC 8555, section 8.1) are shorter.
MAX_RESPONSE_BYTES = 256
#: A file that is not complete is hidden; no other program names its files like this.
TEMPORARY = ".certworker-"


class Webroot:
    """
    A solver that lays each answer as a file below *directory*.

    Args:
        directory: What the web server serves as the root of every name.
        thumbprint: That of our account; files of others are never touched.
        least_age_seconds: What is younger was not left behind by a crash.
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

    def present(self, answer: Http01Challenge) -> None:
        """
        Write the file, complete from its first moment.

        Raises:
            ValueError: The token is not one, and could be a path.
            CertworkerError: The volume cannot be written.
        """
        path = self._path(answer)
        durable.make_directory(self._directory)
        # Hidden, and renamed when it is complete. After a power cut no order waits for it: it is not fsynced.
        temporary = self._directory / f"{TEMPORARY}{secrets.token_hex(8)}"
        with self._shared.writing(), durable.translate_os_errors(path):
            try:
                temporary.write_text(answer.key_authorization, encoding="ascii")
                temporary.chmod(FILE_MODE)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def clean_up(self, answer: Http01Challenge) -> None:
        """
        Remove the file; raises as :meth:`present`.
        """
        path = self._path(answer)
        with durable.translate_os_errors(path):
            path.unlink(missing_ok=True)

    def remove_leftovers(self, live_tokens: Callable[[], Collection[str]]) -> None:
        """
        Remove the files that an earlier worker left behind: answers of our account that no order waits for.

        Args:
            live_tokens: Return those of the orders under way. It is called after the files were listed: an
                order shares its token before it writes the file.
        """

        def ours(paths: Sequence[Path]) -> list[Path]:
            live, ending = live_tokens(), f".{self._thumbprint()}".encode()
            return [
                path
                for path in paths
                if path.name.startswith(TEMPORARY) or (path.name not in live and _is_ours(path, ending))
            ]

        self._shared.remove_leftovers(ours)

    def _path(self, answer: Http01Challenge) -> Path:
        if not TOKEN.fullmatch(answer.token):
            raise ValueError("not a token of a challenge")
        return self._directory / answer.token


def _is_ours(path: Path, ending: bytes) -> bool:
    # Other programs may use the same webroot; theirs ends with another thumbprint. Another worker that
    # starts may be removing the same files.
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(MAX_RESPONSE_BYTES).endswith(ending)
    except FileNotFoundError:
        return False
