"""
The common parts of the CAs of this stage: a process, a name server, and the search for the program.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.request import urlopen

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certworker.devca.hierarchy import Hierarchy
from tests.interop.relay import Relay
from tests.servers.nameserver import NameServer
from tests.servers.ports import free_port
from tests.servers.web import Respond, WebServer

#: The time limit of a start on a busy machine.
PATIENCE_SECONDS = 60

#: The address of another server, to which a test directs the CA.
ELSEWHERE = "127.0.0.9"

#: The message about a missing program.
INSTALL = "{program} is missing. Install it and run the tests: make test-interop"


class ForeignAuthority:
    """
    A CA in a separate process. As a context manager it starts and stops.

    Attributes:
        names: The name server of the CA. Each name is at 127.0.0.1, unless a test sets another address.
        http_port: The port from which it fetches the responses to HTTP-01 challenges.
        ca_bundle: The root of its TLS certificate. None means that it uses HTTP.
    """

    #: The name of the CA in the ids of tests.
    title: ClassVar[str]
    #: Whether it reports the reason of a failed validation.
    tells_why: ClassVar[bool] = True
    #: Whether it can change the key of an account (RFC 8555, section 7.3.5).
    changes_keys: ClassVar[bool] = False
    #: Whether it accepts the key of a certificate as a proof for its revocation (section 7.6).
    takes_the_key_of_a_certificate: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.http_port = free_port()
        self.ca_bundle: Path | None = None
        self.log = directory / "log"
        self.names = NameServer()
        self._process: subprocess.Popen[bytes] | None = None
        #: A relay for CAs that have no setting for the resolver and for the port of validation.
        self.relay = Relay(self.names.addresses, self.http_port)

    @property
    def directory_url(self) -> str:
        """
        The URL of the ACME directory.
        """
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        """
        Write the files of this CA, and return the command that starts it.
        """
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """
        Return the additional environment variables of the process.
        """
        return {"HOME": str(self.directory), "HTTP_PROXY": "", "http_proxy": ""}

    @contextmanager
    def away(self) -> Iterator[None]:
        """
        Stop the process for the duration of the context. Its files stay.
        """
        self._end()
        yield
        self._start()

    @contextmanager
    def misled(self, name: str, respond: Respond | None) -> Iterator[None]:
        """
        Direct only the CA to another server for *name*. None means that no server listens there.
        """
        self.names.addresses[name] = ELSEWHERE
        try:
            with WebServer(respond, ELSEWHERE, self.http_port) if respond else nullcontext():
                yield
        finally:
            del self.names.addresses[name]

    def __enter__(self) -> Self:
        self.relay.__enter__()
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        self.relay.__exit__(None, None, None)
        self.names.stop()

    def hierarchy(self) -> tuple[Path, Path, Path]:
        """
        Return the files of a new root, of an intermediate, and of the key of the intermediate.
        """
        made = Hierarchy.open(self.directory / "hierarchy", datetime.now(UTC))
        openssl = PrivateFormat.TraditionalOpenSSL
        key = made.intermediate.key.private_bytes(Encoding.PEM, openssl, NoEncryption())
        files = [self.directory / name for name in ("root.pem", "intermediate.pem", "intermediate.key")]
        for file, content in zip(files, (made.root.pem, made.intermediate.pem, key), strict=True):
            file.write_bytes(content)
        return files[0], files[1], files[2]

    def _start(self) -> None:
        command = self.command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **self.environment()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            # The file of its root may not exist yet.
            with suppress(OSError, ValueError):
                context = ssl.create_default_context(cafile=self.ca_bundle) if self.ca_bundle else None
                with urlopen(self.directory_url, timeout=5, context=context) as answer:  # noqa: S310 (a CA of the tests)
                    json.load(answer)
                    return
            time.sleep(0.05)
        self._end()
        raise RuntimeError(f"{self.title} does not answer:\n{self.log.read_text()[-4000:]}")


def program(name: str) -> str:
    """
    Return the path of the program *name*.

    Raises:
        RuntimeError: It is missing; the text says how to install it.
    """
    if found := shutil.which(name):
        return found
    raise RuntimeError(INSTALL.format(program=name))


def interpreter_of(name: str) -> str:
    """
    Return the interpreter of the virtual environment *name* within that of the tests.

    Raises:
        RuntimeError: It is missing; the text says how to install it.
    """
    place = os.environ.get(f"{name.upper()}_PYTHON") or Path(sys.prefix) / name / "bin" / "python"
    if found := shutil.which(place):
        return found
    raise RuntimeError(INSTALL.format(program=name))
