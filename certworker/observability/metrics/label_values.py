"""
The values of labels from closed sets: no CA, job or file can add series to the metrics with these labels.
"""

from __future__ import annotations

from collections.abc import Iterable

from certworker.errors import catalog
from certworker.tracing.steps import JOB_STEPS

#: The HTTP statuses of RFC 8555 and of the servers in front of a CA. Each other status counts as its class.
STATUSES = frozenset({200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 415, 429, 500, 502, 503, 504})
#: The status of a request without a usable answer.
NO_ANSWER = 0

#: The codes of all failures, and the empty string for no failure.
CODES = frozenset({"", *(kind.code for kind in catalog())})

#: The value for everything outside a closed set.
OTHER = "other"
#: The issuer of a name without a certificate, and the status of a request without a usable answer.
NONE = "none"


def status_of(status: int) -> str:
    """
    Return the value of the label `status` for *status*: an HTTP status, or :data:`NO_ANSWER`.
    """
    if status == NO_ANSWER:
        return NONE
    if status in STATUSES:
        return str(status)
    return f"{status // 100}xx" if 100 <= status <= 599 else OTHER


def code_of(code: str) -> str:
    """
    Return *code* if it is in the catalog, or else :data:`OTHER`.
    """
    return code if code in CODES else OTHER


def step_of(step: str) -> str:
    """
    Return *step* if it is a step of a job, or else :data:`OTHER`.
    """
    return step if step in JOB_STEPS else OTHER


class Issuers:
    """
    The issuers that may be values of a label: *labels*.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self.labels = tuple(dict.fromkeys(labels))

    def value_of(self, label: str) -> str:
        """
        Return *label* if it is known, :data:`NONE` if it is empty, and :data:`OTHER` for any other.
        """
        if not label:
            return NONE
        return label if label in self.labels else OTHER
