"""
The table of all calls of the API: the path, the view, who may call it, and what it returns.

The routes of Flask, the checks of access and the OpenAPI document come from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from flask import Response

from certworker.web.access import Role
from certworker.web.api import actions, events, machine, names
from certworker.web.api.models import (
    Accepted,
    AllLimits,
    CertificateRequest,
    Doctor,
    HostList,
    ImportedCertificate,
    NameHistory,
    NameRecords,
    Names,
    NameWithDetails,
    Overview,
    OwnCertificateRequest,
    Workers,
)
from certworker.web.api.parameters import SEARCH, Parameter

Method = Literal["GET", "PUT", "POST", "DELETE"]


@dataclass(frozen=True)
class Operation:
    """
    A call of the API.
    """

    method: Method
    #: Below `/api/v1`, with `{name}` for a name.
    path: str
    role: Role
    #: Its name is the id of the operation, and its docstring the summary.
    view: Callable[..., Response]
    #: A dataclass for JSON, or the content type of another response.
    response: type | str
    query: tuple[Parameter, ...] = ()
    body: type | None = None
    #: Whether a token of a tenant may call it.
    for_tenants: bool = True

    @property
    def status(self) -> HTTPStatus:
        """
        Return the status of a successful call.
        """
        return HTTPStatus.OK if self.method == "GET" else HTTPStatus.ACCEPTED


OPERATIONS = (
    Operation("GET", "/summary", "read", machine.get_summary, Overview),
    Operation("GET", "/names", "read", names.list_names, Names, query=SEARCH),
    Operation("POST", "/names", "operate", actions.request_certificates, Accepted, body=CertificateRequest),
    Operation("GET", "/names/{name}", "read", names.get_name, NameWithDetails),
    Operation("DELETE", "/names/{name}", "operate", actions.remove_name, Accepted),
    Operation("GET", "/names/{name}/history", "read", names.get_history, NameHistory),
    Operation("GET", "/names/{name}/records", "read", names.get_records, NameRecords),
    Operation("GET", "/names/{name}/certificate", "read", names.get_certificate, names.PEM_TYPE),
    Operation(
        "PUT",
        "/names/{name}/certificate",
        "admin",
        actions.import_certificate,
        ImportedCertificate,
        body=OwnCertificateRequest,
        for_tenants=False,
    ),
    Operation("POST", "/names/{name}/renew", "operate", actions.renew_name, Accepted),
    Operation("POST", "/names/{name}/retry", "operate", actions.retry_name, Accepted),
    Operation("POST", "/names/{name}/resume", "operate", actions.resume_name, Accepted),
    Operation("GET", "/limits", "read", machine.get_limits, AllLimits, for_tenants=False),
    Operation("GET", "/workers", "read", machine.get_workers, Workers, for_tenants=False),
    Operation("GET", "/nodes", "read", machine.get_nodes, HostList, for_tenants=False),
    Operation("GET", "/doctor/{name}", "read", machine.examine_name, Doctor, for_tenants=False),
    Operation("GET", "/events", "read", events.stream_events, "text/event-stream"),
)
