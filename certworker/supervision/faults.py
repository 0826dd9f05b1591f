"""
The log of what goes wrong in a loop: each kind once, with growing pauses.
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

#: The same fault is logged again after this time, as long as it lasts.
REPEAT_SECONDS = 3600.0
#: A fault that comes and goes is logged at most so often.
SHORTEST_REPEAT_SECONDS = 60.0
#: So many kinds of faults are remembered.
MOST_KINDS = 100

Result = TypeVar("Result")


def unexplained(_error: BaseException) -> None:
    """
    Explain nothing.
    """
    return


class Faults:
    """
    The log of what goes wrong in one place: each kind once, with growing pauses between attempts.

    A CertworkerError is logged as its sentence, any other exception with its traceback (`worker.unexpected`).

    Args:
        place: Where, for people.
        explain: Returns the CertworkerError behind another library's exception, or None.
        clock: Seconds.
    """

    def __init__(
        self,
        place: str,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._explain = explain
        self._clock = clock
        self._logged: dict[object, float] = {}
        self._began: float | None = None
        self._pause = 0.0

    def failed(self, error: BaseException) -> float:
        """
        Log *error* unless its kind is known; return the seconds to wait before the next attempt.
        """
        failure = error if isinstance(error, CertworkerError) else self._explain(error)
        now = self._clock()
        if not _is_reported_by_the_job_loop(failure) and self._is_news(failure or error, now):
            self._began = now if self._began is None else self._began
            if failure:
                logger.warning("%s · certworker tries again", failure, extra={"code": failure.code})
            else:
                log_unexpected(self._place, error)
        self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return self._pause

    def over(self) -> None:
        """
        Note a success: the pauses begin again with the shortest one.
        """
        self._pause = 0.0
        if not self._logged:
            return
        now = self._clock()
        if self._began is not None:
            logger.info("%s works again after %.0f s", self._place, now - self._began)
            self._began = None
        earliest = now - SHORTEST_REPEAT_SECONDS
        self._logged = {kind: moment for kind, moment in self._logged.items() if moment > earliest}

    def _is_news(self, error: BaseException, now: float) -> bool:
        kind = _kind_of(error)
        if now - self._logged.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._logged) >= MOST_KINDS:
            self._logged.clear()
        self._logged[kind] = now
        return True


def log_unexpected(place: str, error: BaseException) -> None:
    """
    Log *error*, which nobody expected in *place*, with its traceback.
    """
    logger.error(
        "[%s] unexpected error in %s; certworker continues. %s",
        Unexpected.code,
        place,
        Unexpected.remedy_template,
        extra={"code": Unexpected.code},
        exc_info=error,
    )


def optional(
    place: str,
    step: Callable[[], Result],
    otherwise: Result,
    explain: Callable[[BaseException], CertworkerError | None] = unexplained,
) -> Result:
    """
    Return the result of *step*, or *otherwise* if it fails: the failure is logged, and changes nothing else.

    Args:
        place: What is optional, for people.
        explain: Returns the CertworkerError behind another library's exception, or None.
    """
    try:
        return step()
    except Interrupted as end:
        _log_skipped(place, end.failure)
    except Exception as error:
        if failure := error if isinstance(error, CertworkerError) else explain(error):
            _log_skipped(place, failure)
        else:
            log_unexpected(place, error)
    return otherwise


def _log_skipped(place: str, failure: CertworkerError) -> None:
    logger.warning("%s failed, and nothing else: %s", place, failure, extra={"code": failure.code})


def _is_reported_by_the_job_loop(failure: CertworkerError | None) -> bool:
    # A Redis that nobody can use is reported once for the whole worker.
    return failure is not None and failure.code.startswith("redis.") and failure.severity is Severity.FATAL


def _kind_of(error: BaseException) -> object:
    if isinstance(error, CertworkerError):
        return error.code
    trace = traceback.extract_tb(error.__traceback__)
    return (type(error), trace[-1].filename, trace[-1].lineno) if trace else type(error)
