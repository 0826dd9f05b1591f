"""
The answer as a file, for a web server that already serves the domain from a shared volume.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path

from certworker import durable
from certworker.answer import CHALLENGE_PATH, TOKEN, Answer

#: The web server mostly runs as somebody else.
FILE_MODE = 0o644
#: A token, a dot and a thumbprint (RFC 8555, section 8.1) are shorter.
LONGEST_ANSWER = 256
YOUNGEST_LEFTOVER_SECONDS = 1.0


class Webroot:
    """
    A solver that lays each answer as a file below *directory*.

    Args:
        directory: What the web server serves as the root of every name.
        thumbprint: That of our account; files of others are never touched.
    """

    def __init__(self, directory: Path, thumbprint: Callable[[], str]) -> None:
        self._directory = directory / CHALLENGE_PATH.strip("/")
        self._thumbprint = thumbprint

    def present(self, answer: Answer) -> None:
        """
        Write the file, whole from its first moment.

        Raises:
            ValueError: The token is not one, and could be a path.
            CertworkerError: The volume cannot be written.
        """
        path = self._path(answer)
        durable.make_directory(self._directory)
        # Hidden, and renamed when it is whole. It need not last: after a power cut nobody waits for it.
        temporary = self._directory / f".{secrets.token_hex(8)}"
        with durable.told(path):
            temporary.write_text(answer.key_authorization, encoding="ascii")
            temporary.chmod(FILE_MODE)
            temporary.replace(path)

    def clean_up(self, answer: Answer) -> None:
        """
        Remove the file; raises as :meth:`present`.
        """
        path = self._path(answer)
        with durable.told(path):
            path.unlink(missing_ok=True)

    def remove_leftovers(self, live_tokens: Collection[str]) -> None:
        """
        Remove the files that an earlier worker left behind: answers of our account that nobody waits for.

        Args:
            live_tokens: Those of the orders under way. What was written within the last second stays, too:
                its order may have begun after these were read.
        """
        with durable.told(self._directory):
            if not self._directory.is_dir():
                return
            ending = f".{self._thumbprint()}".encode()
            before = time.time() - YOUNGEST_LEFTOVER_SECONDS
            for path in self._directory.iterdir():
                if path.name not in live_tokens and _is_ours(path, ending, before):
                    path.unlink(missing_ok=True)

    def _path(self, answer: Answer) -> Path:
        if not TOKEN.fullmatch(answer.token):
            raise ValueError("not a token of a challenge")
        return self._directory / answer.token


def _is_ours(path: Path, ending: bytes, before: float) -> bool:
    # Other programs may use the same webroot; theirs ends with another thumbprint. Another worker that
    # starts may be removing the same files.
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_mtime >= before:
            return False
        with path.open("rb") as file:
            return file.read(LONGEST_ANSWER).endswith(ending)
    except FileNotFoundError:
        return False
