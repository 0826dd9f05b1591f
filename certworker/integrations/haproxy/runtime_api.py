"""
The commands of the runtime API about certificates (HAProxy Management Guide, section 9.3).

An empty line ends the text of a certificate, and HAProxy would run the lines after it as commands. So only
certificates and keys that certworker has encoded itself are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

from certworker.certificates import Certificate
from certworker.deadline import Deadline
from certworker.errors import printable

#: The time limit of one command.
LONGEST_SECONDS = 10.0

#: The maximum number of characters of a command. HAProxy's limit is tune.bufsize, by default 16,384 bytes.
LONGEST_COMMAND = 16_000

#: A path that has no other meaning in a command.
PATH = re.compile(r"[A-Za-z0-9._:/+-]+", re.ASCII)

PEM = re.compile(rb"(?:[A-Za-z0-9+/= -]+\n)+")

_FIELD = re.compile(r"^(Serial|Status): *(\S+) *$", re.MULTILINE)


class CommandFailed(Exception):
    """
    HAProxy refuses a command, or does not respond. The text is a clause with the reason.
    """


class NoResponse(CommandFailed):
    """
    HAProxy does not respond, so no other command would succeed.
    """


class RuntimeApi:
    """
    The runtime API at the Unix socket *path*. Each command uses its own connection.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self) -> str:
        """
        Return the id of the process that responds. A restart or a reload starts another process.

        Raises:
            CommandFailed: HAProxy does not respond, or another program does.
        """
        found = re.search(r"^Pid: *(\d+)", self._command("show info"), re.MULTILINE)
        if found is None:
            raise CommandFailed("the response is not from HAProxy")
        return found[1]

    def certificates(self) -> set[str]:
        """
        Return the paths of the certificates that HAProxy has loaded.

        Raises:
            CommandFailed: HAProxy does not respond.
        """
        return _paths_in(self._command("show ssl cert"))

    def lists(self) -> set[str]:
        """
        Return the paths of the lists of certificates (`crt-list`) that HAProxy has loaded.

        Raises:
            CommandFailed: HAProxy does not respond.
        """
        return _paths_in(self._command("show ssl crt-list"))

    def state(self, path: str) -> tuple[int, bool]:
        """
        Return the serial number of the certificate *path*, or 0 if it has none, and whether HAProxy uses it.

        Raises:
            CommandFailed: HAProxy does not respond, or :data:`PATH` does not match the path.
        """
        fields = dict(_FIELD.findall(self._command(f"show ssl cert {_safe(path)}")))
        try:
            return int(fields.get("Serial", "0"), 16), fields.get("Status") == "Used"
        except ValueError:
            return 0, False

    def put(self, path: str, certificate: Certificate, *, is_new: bool) -> None:
        """
        Replace the content of the certificate *path*. Connections in progress are not affected.

        Args:
            is_new: Whether HAProxy has not loaded this path.

        Raises:
            CommandFailed: HAProxy does not respond or refuses the certificate, the certificate is too long
                or not plain PEM, or :data:`PATH` does not match the path.
        """
        pem = certificate.fullchain_pem + certificate.key.pem
        if not PEM.fullmatch(pem):
            raise CommandFailed("the certificate has lines that are not PEM")
        text = f"set ssl cert {_safe(path)} <<\n{pem.decode()}"
        if len(text) > LONGEST_COMMAND:
            raise CommandFailed(
                f"the certificate and its chain have more than {LONGEST_COMMAND:,} characters"
            )
        if is_new:
            self._expect(f"new ssl cert {path}", "New empty certificate")
        # During an unfinished transaction, HAProxy changes the certificate of that transaction instead of the
        # one in the command. A worker that is killed between `set` and `commit` leaves such a transaction.
        success = f"for certificate {path}!"
        try:
            self._expect(text, success)
        except CommandFailed as failed:
            if isinstance(failed, NoResponse) or not self._abort(PurePath(path).parent.parent):
                raise
            self._expect(text, success)
        self._expect(f"commit ssl cert {path}", "Success!")

    def add_to_list(self, crt_list: str, path: str) -> None:
        """
        Add the certificate *path* to the list *crt_list*, so that HAProxy serves it.

        Raises:
            CommandFailed: HAProxy does not respond, or refuses the certificate, or :data:`PATH` does not
                match a path.
        """
        self._expect(f"add ssl crt-list {_safe(crt_list)} {_safe(path)}", "Success!")

    def remove(self, path: str, lists: Iterable[str]) -> None:
        """
        Remove the certificate *path* from *lists* and from the memory of HAProxy.

        Raises:
            CommandFailed: HAProxy does not respond, or needs the certificate, or :data:`PATH` does not match
                a path.
        """
        for crt_list in lists:
            self._command(f"del ssl crt-list {_safe(crt_list)} {_safe(path)}")
        self._expect(f"del ssl cert {_safe(path)}", "deleted")

    def _abort(self, directory: PurePath) -> bool:
        """
        Abort the transactions of certificates below *directory*, and return whether there were any.
        """
        lines = self._command("show ssl cert").splitlines()
        begun = [line[1:].strip() for line in lines if line.startswith(f"*{directory}/")]
        for path in begun:
            self._expect(f"abort ssl cert {_safe(path)}", "aborted")
        return bool(begun)

    def _expect(self, command: str, success: str) -> None:
        response = self._command(command)
        if success not in response:
            raise CommandFailed(printable(" ".join(response.split()), 200) or "no response")

    def _command(self, text: str) -> str:
        received = b""
        try:
            with Deadline(LONGEST_SECONDS).connect_unix(self._path) as connection:
                # The line feed after a payload ends it, and that after a command ends the command.
                connection.sendall(f"{text}\n".encode())
                while part := connection.recv(65_536):
                    received += part
        except (ConnectionResetError, BrokenPipeError):
            raise CommandFailed("it closed the connection, as it does if tune.bufsize is small") from None
        except OSError as error:
            raise NoResponse(error.strerror or str(error)) from error
        return received.decode(errors="replace")


def _paths_in(response: str) -> set[str]:
    # The line of a transaction begins with a star, and a comment with a number sign.
    return {line.strip() for line in response.splitlines() if line.startswith("/")}


def _safe(path: str) -> str:
    if not PATH.fullmatch(path):
        raise CommandFailed("its path has characters with another meaning in a command")
    return path
