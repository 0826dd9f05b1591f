"""
The forced request of a name: pending until a certificate that is newer than the request is in service.

::

    requested ──► pending ──► first attempt ──► a new certificate is recorded ──► completed
                     ▲              └─► failed: each later attempt is forced, too

Three fields of the record contain the forced request. Each attempt and each check reads them, so a lost job
loses no forced request. The completion is a separate field with the id of its request, so the completion of
an earlier request does not complete a later one. Older workers ignore these fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from certworker.redis.codec import decode_text, decode_time, encode_time, fields_in, names_in, shown_in

#: The request, as JSON.
REQUEST = "forced"
#: The id of the request, and the fencing token of its first attempt.
BEGUN = "forced_begun"
#: The id of the completed request.
COMPLETED = "forced_completed"

#: The maximum number of characters of an id, of the requester, and of the id of a run.
LONGEST_ID = 32
LONGEST_REQUESTER = 100
LONGEST_RUN = 400

#: The maximum number of digits of a fencing token.
TOKEN_DIGITS = 12


@dataclass(frozen=True)
class ForcedRequest:
    """
    A request for a new certificate, even if the one in service is not due.
    """

    id: str
    #: The names of the request.
    names: tuple[str, ...]
    requested: datetime
    #: The requester, not verified; empty if unknown.
    by: str
    #: The run of the job that made the request; empty for a request that waits in a priority queue.
    run: str
    #: Whether a certificate that is newer than the request is in service.
    is_completed: bool = False
    #: The fencing token of its first attempt; 0 before that. Certificates with a lower token are older.
    first_token: int = 0

    @property
    def pending_since(self) -> datetime | None:
        """
        Return when the request was made; None if it is completed.
        """
        return None if self.is_completed else self.requested

    def is_for(self, names: Sequence[str]) -> bool:
        """
        Return whether the request is pending, and for exactly *names*.
        """
        return not self.is_completed and set(self.names) == set(names)

    def as_json(self) -> str:
        """
        Return the value of the field :data:`REQUEST`.
        """
        moment = encode_time(self.requested)
        fields = {"id": self.id, "names": self.names, "at": moment, "by": self.by, "run": self.run}
        return json.dumps(fields)


def forced_in(fields: Mapping[str, str], name: str) -> ForcedRequest | None:
    """
    Return the forced request in the *fields* of the record of *name*; None if there is no valid one.
    """
    # Every program with access to Redis can write these fields.
    stored = fields_in(fields.get(REQUEST))
    request_id, names = shown_in(stored.get("id"), LONGEST_ID), names_in(stored.get("names"))
    requested = decode_time(stored.get("at"))
    if not request_id or names is None or name not in names or requested is None:
        return None
    begun, _, token = decode_text(fields.get(BEGUN)).partition(" ")
    is_token = begun == request_id and len(token) <= TOKEN_DIGITS and token.isascii() and token.isdecimal()
    return ForcedRequest(
        id=request_id,
        names=names,
        requested=requested,
        by=shown_in(stored.get("by"), LONGEST_REQUESTER),
        run=shown_in(stored.get("run"), LONGEST_RUN),
        is_completed=fields.get(COMPLETED) == request_id,
        first_token=int(token) if is_token else 0,
    )
