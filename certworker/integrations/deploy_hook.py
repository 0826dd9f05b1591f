"""
The operator's program that runs after each publication (`CERTWORKER_DEPLOY_HOOK`).

The program runs alongside the jobs, without a shell and without the settings of certworker, which contain
passwords. A program that fails or hangs does not affect the issuance. A failed run is retried after
increasing pauses.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from certworker.errors import CertworkerError, printable
from certworker.errors.reload import HookFailed
from certworker.integrations.publications import Publications
from certworker.renewal.policy import RETRY_PAUSES
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.supervision import Faults, Loop, beat

logger = logging.getLogger(__name__)

#: A program that runs longer is killed together with its children.
DEADLINE_SECONDS = 60.0
#: The time for all programs together when the worker stops.
SHUTDOWN_TIMEOUT_SECONDS = 15.0

#: The interval between two checks of whether a program has ended.
POLL_SECONDS = 0.1
PAUSE_WITHOUT_A_PUBLICATION_SECONDS = 60.0

#: The log shows at most this number of bytes, from the end of the output.
MAX_OUTPUT = 300

#: The pauses after the first failure, the second one, and so on; the last pause repeats.
PAUSES = tuple(pause.total_seconds() for pause in RETRY_PAUSES[HookFailed.retry].pauses)

#: The variables with the files of the certificate.
FILES = {
    "CERTWORKER_CERTIFICATE": "cert.pem",
    "CERTWORKER_CHAIN": "chain.pem",
    "CERTWORKER_FULLCHAIN": "fullchain.pem",
    "CERTWORKER_PRIVATE_KEY": "privkey.pem",
}


@dataclass
class _Pending:
    name: str
    #: When the program next runs for the name, by the monotonic clock.
    at: float
    attempts: int = 0


class DeployHook:
    """
    A thread that runs *program* for each published certificate.

    Args:
        program: The absolute path of the program.
        certificates: The published certificates.
        deadline_seconds: How long one run may take.
        pauses: The seconds before the next run: after the first failure, after the second one, and so on.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        program: Path,
        certificates: CertificateStore,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._program = program
        self._certificates = certificates
        self._deadline = deadline_seconds
        self._pauses = tuple(pauses)
        self._pending: dict[str, _Pending] = {}
        self._publications = Publications(lambda: self.loop.wake(), quiet_seconds=0, longest_burst_seconds=0)
        self.loop = Loop(
            "deploy_hook", self._step, seconds=DEADLINE_SECONDS, faults=Faults("the deploy hook")
        )

    def start(self) -> None:
        """
        Start the thread.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the thread, after one run for each certificate that has had none, if the time suffices.
        """
        self._publications.stop()
        self.loop.finish(SHUTDOWN_TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        Return a version of *issue*, the function behind a job, that runs the program after each new
        certificate.
        """
        return self._publications.after(issue)

    def _step(self) -> float | None:
        now = time.monotonic()
        # A newer certificate for the same name replaces the one that is waiting for another attempt.
        self._pending |= {names[0]: _Pending(names[0], now) for names in self._publications.take() if names}
        stopped = self._publications.stopped
        for pending in [each for each in self._pending.values() if each.at <= now]:
            if not (stopped and pending.attempts):
                self._attempt(pending)
        if stopped:
            return None
        earliest = min((pending.at for pending in self._pending.values()), default=None)
        if earliest is None:
            return PAUSE_WITHOUT_A_PUBLICATION_SECONDS
        return min(PAUSE_WITHOUT_A_PUBLICATION_SECONDS, max(0.0, earliest - time.monotonic()))

    def _attempt(self, pending: _Pending) -> None:
        pending.attempts += 1
        pause = self._pauses[min(pending.attempts, len(self._pauses)) - 1]
        # The time is set before the run, so that an unexpected error does not cause a busy loop.
        pending.at = time.monotonic() + pause
        about = {"domain": pending.name, "event": "hook"}
        try:
            # A name may have been removed in the meantime. Then it has no metadata.
            if metadata := self._certificates.metadata(pending.name):
                self._run(pending.name, metadata)
                logger.info("the deploy hook succeeded", extra=about)
        except CertworkerError as failure:
            fields = {"attempt": pending.attempts, "next_attempt_s": round(pause)}
            logger.warning("%s", failure, extra={**about, "code": failure.code, "fields": fields})
            return
        del self._pending[pending.name]

    def _run(self, name: str, metadata: CertificateMetadata) -> None:
        deadline = SHUTDOWN_TIMEOUT_SECONDS if self._publications.stopped else self._deadline
        directory = self._certificates.links.domain_dir(name)
        try:
            run(self._program, environment(metadata, directory), min(deadline, self._deadline))
        except _Failed as failed:
            raise HookFailed(program=self._program, name=name, reason=failed) from failed


def environment(metadata: CertificateMetadata, directory: Path) -> dict[str, str]:
    """
    Return the variables of the program: those of the certificate, PATH and LANG, and no others.

    Args:
        metadata: The metadata of the certificate.
        directory: The directory of the first name, with the files of the certificate.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "CERTWORKER_DOMAIN": metadata.names[0],
        "CERTWORKER_DOMAINS": " ".join(metadata.names),
        **{variable: str(directory / file) for variable, file in FILES.items()},
        "CERTWORKER_SERIAL": metadata.serial,
        "CERTWORKER_NOT_AFTER": f"{metadata.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }


class _Failed(Exception):
    pass


def run(program: Path, variables: Mapping[str, str], deadline_seconds: float) -> None:
    """
    Run *program* with *variables* as its whole environment, and wait until it ends.

    Raises:
        _Failed: It cannot be started, its exit code is not 0, a signal ends it, or it runs longer than
            *deadline_seconds*.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 (the operator's own setting; no shell reads it)
            [str(program)],
            env=variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _Failed(f"it cannot be started: {getattr(error, 'strerror', None) or error}") from error
    output = b""
    until = time.monotonic() + deadline_seconds
    assert process.stdout  # noqa: S101 (it is a pipe)
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        os.set_blocking(pipe.fileno(), False)
        selector.register(pipe, selectors.EVENT_READ)
        while (code := process.poll()) is None:
            beat()
            if time.monotonic() >= until:
                _kill(process)
                raise _Failed(f"it did not end within {deadline_seconds:.0f} s{_shown(output)}")
            if selector.get_map() and selector.select(POLL_SECONDS):
                output = _read(pipe, selector, output)
            elif not selector.get_map():
                time.sleep(POLL_SECONDS)
        # A child in the background may hold the pipe open. The worker does not wait for such a child.
        if selector.get_map() and selector.select(0):
            output = _read(pipe, selector, output)
    if code:
        raise _Failed(f"exit code {code}{_shown(output)}" if code > 0 else f"signal {-code}{_shown(output)}")


def _read(pipe: IO[bytes], selector: selectors.BaseSelector, output: bytes) -> bytes:
    part = os.read(pipe.fileno(), 65_536)
    if not part:
        selector.unregister(pipe)
    return (output + part)[-MAX_OUTPUT:]


def _shown(output: bytes) -> str:
    text = printable(" ".join(output.decode(errors="replace").split()))
    return f": {text}" if text else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The program leads its own session, so its children belong to its group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
