"""
Logs the errors of a component, each type at most once an hour while it lasts, and chooses growing pauses.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from certworker.errors import CertworkerError, Interrupted, Severity
from certworker.errors.worker import Unexpected

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0

#: An error that lasts is logged again after this time.
REPEAT_SECONDS = 3600.0
#: The shortest time between two log lines about an error that comes and goes.
SHORTEST_REPEAT_SECONDS = 60.0
#: The maximum number of error types in memory. One more clears the memory.
MAX_TYPES = 100

Result = TypeVar("Result")


def unexplained(_error: BaseException) -> None:
    """
    Return None: no exception is explained.
    """
    return


class Faults:
    """
    Logs the errors of one component, and chooses growing pauses between its attempts.

    A type of error that lasts is logged at most once an hour. If it returns after a success, it is logged
    again, but not within a minute of its last log line. The type of a CertworkerError is its code. The type
    of any other exception is its class and the line that raised it.

    A CertworkerError, including one that *explain* returns, is logged with its message. Any other exception
    is logged with its traceback (`worker.unexpected`).

    Args:
        component: The name of the component in the log.
        explain: Returns the CertworkerError for an exception of another library, or None.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        component: str,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._component = component
        self._explain = explain
        self._clock = clock
        self._logged: dict[object, float] = {}
        self._last_success = float("-inf")
        self._began: float | None = None
        self._pause = 0.0

    def failed(self, error: BaseException) -> float:
        """
        Log *error*, unless its type was logged recently; return the seconds until the next attempt.

        One loop of each process reports an unusable Redis, so this method does not log it. In a worker, that
        is the job loop; in `certworker web` and `certworker mirror`, it is
        :func:`certworker.redis.health.outage_watch`.
        """
        failure = error if isinstance(error, CertworkerError) else self._explain(error)
        now = self._clock()
        if not _is_reported_by_another_loop(failure) and self._is_new(failure or error, now):
            self._began = now if self._began is None else self._began
            if failure:
                logger.warning("%s · certworker retries", failure, extra={"code": failure.code})
            else:
                log_unexpected(self._component, error)
        self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return self._pause

    def succeeded(self) -> None:
        """
        Record a success, and log the end of a failure. The next pause is the shortest one again.
        """
        self._pause = 0.0
        if not self._logged:
            return
        now = self._last_success = self._clock()
        if self._began is not None:
            logger.info("%s recovered after %.0f s", self._component, now - self._began)
            self._began = None
        earliest = now - SHORTEST_REPEAT_SECONDS
        self._logged = {key: time for key, time in self._logged.items() if time > earliest}

    def _is_new(self, error: BaseException, now: float) -> bool:
        key = _key(error)
        logged = self._logged.get(key, float("-inf"))
        if now - logged < (SHORTEST_REPEAT_SECONDS if logged <= self._last_success else REPEAT_SECONDS):
            return False
        if len(self._logged) >= MAX_TYPES:
            self._logged.clear()
        self._logged[key] = now
        return True


def log_unexpected(component: str, error: BaseException, effect: str = "certworker continues") -> None:
    """
    Log the unexpected *error* of *component* with its traceback, and the *effect* of the error.
    """
    logger.error(
        "[%s] unexpected error in %s; %s. %s",
        Unexpected.code,
        component,
        effect,
        Unexpected.remedy_template,
        extra={"code": Unexpected.code},
        exc_info=error,
    )


def optional(
    subject: str,
    step: Callable[[], Result],
    otherwise: Result,
    explain: Callable[[BaseException], CertworkerError | None] = unexplained,
) -> Result:
    """
    Return the result of *step*, or log its failure and return *otherwise*.

    Args:
        subject: The name of the step in the log.
        step: An optional step.
        otherwise: The result if the step fails.
        explain: Returns the CertworkerError for an exception of another library, or None.
    """
    try:
        return step()
    except Interrupted as end:
        _log_skipped(subject, end.failure)
    except Exception as error:
        if failure := error if isinstance(error, CertworkerError) else explain(error):
            _log_skipped(subject, failure)
        else:
            log_unexpected(subject, error)
    return otherwise


def _log_skipped(subject: str, failure: CertworkerError) -> None:
    logger.warning(
        "%s failed; certworker continues without it: %s", subject, failure, extra={"code": failure.code}
    )


def _is_reported_by_another_loop(failure: CertworkerError | None) -> bool:
    # See :meth:`Faults.failed`.
    return failure is not None and failure.code.startswith("redis.") and failure.severity is Severity.FATAL


def _key(error: BaseException) -> object:
    if isinstance(error, CertworkerError):
        return error.code
    trace = traceback.extract_tb(error.__traceback__)
    return (type(error), trace[-1].filename, trace[-1].lineno) if trace else type(error)
