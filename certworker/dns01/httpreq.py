"""
The operator's HTTP service, with the protocol of lego: JSON by POST to `present` and `cleanup`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from certworker.dns01.http_api import HttpApi
from certworker.dns01.provider import DEADLINE_SECONDS, TxtRecord
from certworker.dns01.refusals import Refusals
from certworker.validity import now_in_utc

VARIABLES = "HTTPREQ_USERNAME and HTTPREQ_PASSWORD"


@dataclass(frozen=True)
class HttpReq:
    """
    A service that changes records.
    """

    #: The URL to which `/present` and `/cleanup` are appended.
    endpoint: str
    #: User and password for Basic authentication (RFC 7617). If either is empty, requests contain neither.
    username: str = ""
    password: str = field(default="", repr=False)
    #: HTTPREQ_MODE=RAW: the service gets the challenge, and computes the record itself.
    raw: bool = False
    #: A PEM file with roots to trust in addition to those of the system.
    ca_bundle: Path | None = None
    #: The time limit of one request, including its response.
    deadline_seconds: float = DEADLINE_SECONDS
    clock: Callable[[], datetime] = now_in_utc
    label: str = field(default="httpreq", init=False)

    def present(self, record: TxtRecord) -> None:
        """
        Post to `present`. The service must add only this value.
        """
        self._post("present", record)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Post to `cleanup`. The service must delete only this value.
        """
        self._post("cleanup", record)

    def _post(self, action: str, record: TxtRecord) -> None:
        api = HttpApi(self.endpoint, self.ca_bundle, self.deadline_seconds)
        refusals = Refusals(f"{self.label} ({api.place})", VARIABLES)
        if self.raw and not record.key_authorization:
            raise refusals.failed(record, "the challenge of this record is unknown, and RAW mode needs it")
        try:
            answer = api.post(action, self._content(record), self._headers())
        except OSError as error:
            raise refusals.failed(record, error.strerror or error) from None
        if not answer.is_success:
            raise refusals.of_status(answer.status, answer.headers, record, self.clock())

    def _content(self, record: TxtRecord) -> dict[str, str]:
        if self.raw:
            return {"domain": record.name, "token": record.token, "keyAuth": record.key_authorization}
        return {"fqdn": f"{record.fqdn}.", "value": record.value}

    def _headers(self) -> dict[str, str]:
        if not (self.username and self.password):
            return {}
        return {"Authorization": f"Basic {b64encode(f'{self.username}:{self.password}'.encode()).decode()}"}
