"""
`certworker work`: the worker, with its options and exit codes.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

import click

from certworker.errors import CertworkerError, Interrupted
from certworker.errors.config import InvalidSettings
from certworker.errors.fs import VolumeReadOnly
from certworker.observability import log
from certworker.preflight.checkers import volume_checks
from certworker.ratelimits.limits import SETTING
from certworker.runtime import run_worker
from certworker.settings import Settings, environment_warnings, load
from certworker.state.locks import LEASE_SECONDS
from certworker.supervision import log_unexpected

logger = logging.getLogger(__name__)


@click.command()
@click.option(
    "--override-limits",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="A file with higher limits that a CA has granted, instead of CERTWORKER_LIMITS_FILE.",
)
def command(override_limits: str | None) -> None:
    """
    Take requests from the queue, and issue and renew the certificates.

    The worker runs until SIGTERM. It then gives the running jobs 25 seconds to finish; jobs that need longer
    return to the queue. All settings come from the environment.

    \b
    Example:
      _APP_REDIS_HOST=localhost certworker work
    """
    try:
        overridden = {SETTING: override_limits} if override_limits else {}
        settings = load({**os.environ, **overridden})
    except InvalidSettings as failure:
        log.configure("human", "info", sys.stdout)
        _log_warnings()
        _log_settings(failure)
        sys.exit(2)
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
    _log_warnings()
    threading.excepthook = log_thread_exception
    sys.exit(exit_code_of("the worker", lambda: work(settings)))


def exit_code_of(program: str, run: Callable[[], int]) -> int:
    """
    Call *run*, which runs *program* until a signal stops it, and return its exit code.

    If *run* fails, log the failure, and return 2 for wrong settings, otherwise 1.
    """
    try:
        code = run()
        logger.info("stopped", extra={"event": "stop"})
    except CertworkerError as failure:
        _log(failure)
        code = 2 if failure.code.startswith("config.") else 1
    except Exception as error:
        log_unexpected(program, error, "it stops")
        code = 1
    return code


def log_thread_exception(ended: threading.ExceptHookArgs) -> None:
    """
    Log the exception that ended a thread, in the format of the log.

    A time limit may interrupt a thread whose job has just ended. The interruption loses nothing, and is not
    logged.
    """
    error = ended.exc_value or ended.exc_type()
    if not isinstance(error, Interrupted):
        log_unexpected(f"the thread {ended.thread.name if ended.thread else 'unknown'}", error)


def work(settings: Settings, *, lease_seconds: int = LEASE_SECONDS) -> int:
    """
    Run the worker until SIGTERM; return its exit code: 2 if a directory of *settings* is not writable.

    Args:
        settings: Read from the environment.
        lease_seconds: How many seconds the names and jobs of a killed worker stay locked.
    """
    if failures := _unwritable(settings):
        for failure in failures:
            _log(failure)
        return 2
    return run_worker(settings, lease_seconds=lease_seconds)


def _log_warnings() -> None:
    for warning in environment_warnings(os.environ):
        logger.warning("%s", warning, extra={"event": "start"})


def _log_settings(failure: InvalidSettings) -> None:
    # Each finding has its own line, because together they may exceed the maximum length of a line.
    for finding in failure.findings:
        logger.error("[%s] %s.", failure.code, finding, extra={"code": failure.code})
    logger.error("invalid settings: %d. %s", len(failure.findings), failure.remedy)


def _log(failure: CertworkerError) -> None:
    logger.error("%s", failure, extra={"code": failure.code})


def _unwritable(settings: Settings) -> list[VolumeReadOnly]:
    """
    Return the failures of directories whose mount or owner the operator has to change.
    """
    failures = []
    for check in volume_checks(settings):
        try:
            check()
        except VolumeReadOnly as failure:
            failures.append(failure)
        except CertworkerError:
            continue  # A full disk, for example, may get space later: each job checks that.
    return failures
