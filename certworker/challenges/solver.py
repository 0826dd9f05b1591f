"""
Answers to challenges, put where the CA looks while it looks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from certworker.challenges.challenge import Http01Challenge
from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)


class Solver(Protocol):
    """
    A place where the CA may find an answer.
    """

    def present(self, answer: Http01Challenge) -> None:
        """
        Put *answer* there; when this returns, the CA may look.
        """

    def clean_up(self, answer: Http01Challenge) -> None:
        """
        Take *answer* away; nothing happens if it is not there.
        """


@contextmanager
def present(answers: Sequence[Http01Challenge], solvers: Sequence[Solver]) -> Iterator[None]:
    """
    Let all *answers* stand at all *solvers* for the length of the block.

    What cannot be taken away afterwards is said and left: it does no harm, and the outcome of the order
    matters more. The next start of the worker takes it away.
    """
    try:
        for answer in answers:
            for solver in solvers:
                solver.present(answer)
        yield
    finally:
        for answer in answers:
            for solver in solvers:
                _clean_up(solver, answer)


def _clean_up(solver: Solver, answer: Http01Challenge) -> None:
    try:
        solver.clean_up(answer)
    except CertworkerError as failure:
        logger.warning(
            "an answer to a challenge could not be taken away: %s",
            failure.message,
            extra={"domain": answer.name, "code": failure.code},
        )
