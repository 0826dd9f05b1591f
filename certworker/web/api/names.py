"""
The calls that read names: searches, details, histories, DNS records and certificates.
"""

from __future__ import annotations

from dataclasses import replace

from flask import Response
from werkzeug.exceptions import BadRequest, NotFound

from certworker.dashboard.name_details import certificate_chain, name_details
from certworker.dashboard.names import NamePage, NameQuery
from certworker.dashboard.own_names import own_history
from certworker.dashboard.records import TooManyQueries, records
from certworker.renewal.domain_status import DomainStatus
from certworker.web.access import current_access
from certworker.web.api.models import NameHistory, NameRecords, Names, NameWithDetails
from certworker.web.api.parameters import SEARCH, query_values
from certworker.web.api.responses import Busy, NotKnown, components, context, json_response

#: The type of a chain in PEM (RFC 8555, section 9.1).
PEM_TYPE = "application/pem-certificate-chain"


def known(name: str) -> DomainStatus:
    """
    Return the status of *name* if the current request may see it.

    Raises:
        NotKnown: The name is unknown, or belongs to another tenant.
    """
    status = components().index.find(name, current_access().tenant)
    if status is None:
        raise NotKnown(name)
    found: DomainStatus = status
    return found


def list_names() -> Response:
    """
    List names, by page.
    """
    query, tenant = NameQuery(**query_values(SEARCH)), current_access().tenant
    if tenant is not None and query.tenant not in (None, tenant):
        return json_response(Names.of(NamePage((), "", 0), context()))
    try:
        page = components().index.page(replace(query, tenant=tenant or query.tenant))
    except ValueError as error:
        raise BadRequest(f"The query is invalid: {error}.") from error
    return json_response(Names.of(page, context()))


def get_name(name: str) -> Response:
    """
    Return all that is known about a name.
    """
    tenant = current_access().tenant
    details = name_details(components().sources, known(name).name, tenant)
    if details is None:
        raise NotKnown(name)  # it was removed in the meantime
    return json_response(NameWithDetails.with_details(details, context(), files=tenant is None))


def get_history(name: str) -> Response:
    """
    Return the last fifty lines of the history of a name.
    """
    found = known(name).name
    entries = own_history(components().sources, found, current_access().tenant)
    return json_response(NameHistory.of(found, entries))


def get_records(name: str) -> Response:
    """
    Return the DNS records that the owner of a name must create, and which of them exist now.
    """
    found = known(name).name
    try:
        return json_response(NameRecords(found, records(components().sources, found)))
    except TooManyQueries as error:
        raise Busy("Too many calls are waiting for name servers.") from error


def get_certificate(name: str) -> Response:
    """
    Return the certificate in service for a name, with its chain but without its key.
    """
    chain = certificate_chain(components().sources, known(name).name)
    if chain is None:
        raise NotFound("There is no readable certificate for the name.")
    return Response(chain, content_type=PEM_TYPE)
