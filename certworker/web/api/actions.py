"""
The calls that change something. Each call enqueues jobs for the workers.

An import first stores its certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, url_for
from werkzeug.exceptions import Forbidden

from certworker.dashboard.actions import OtherTenant, RequestedJob
from certworker.own_certificates import Pem
from certworker.web.access import current_access
from certworker.web.api.models import Accepted, ImportedCertificate
from certworker.web.api.names import known
from certworker.web.api.parameters import (
    own_certificate,
    query_values,
    requested_certificates,
    require_no_tenant,
)
from certworker.web.api.responses import NotKnown, components, json_response

SHARED = "The certificate is also for names of other tenants, or of none. Only an operator can order it."


def request_certificates() -> Response:
    """
    Request certificates for names.
    """
    query_values(())
    wanted, access = requested_certificates(), current_access()
    if access.tenant is not None and wanted.tenant not in (None, access.tenant):
        raise Forbidden("A token of a tenant can request certificates only for this tenant.")
    try:
        jobs = components().actions.request(
            wanted.names,
            by=access.identity,
            tenant=access.tenant or wanted.tenant,
            together=wanted.together,
            assign=access.tenant is None,
        )
    except OtherTenant as error:
        raise NotKnown(error.name) from error
    response = _accepted(jobs)
    if len(jobs) == 1:
        response.headers["Location"] = f"{url_for('.list_names')}/{quote(jobs[0].names[0], safe='*:')}"
    return response


def renew_name(name: str) -> Response:
    """
    Renew the certificate of a name now, even if it is not due.
    """
    return _act(name, components().actions.renew)


def retry_name(name: str) -> Response:
    """
    Try again now to get a certificate for a name.
    """
    return _act(name, components().actions.retry)


def resume_name(name: str) -> Response:
    """
    Resume the orders for a name that a CA has paused, and try again now.
    """
    return _act(name, components().actions.resume)


def remove_name(name: str) -> Response:
    """
    Remove a name from the proxy, the volume and the renewals.
    """
    query_values(())
    status = known(name)
    job = components().actions.remove(status.name, by=current_access().identity)
    return _accepted([RequestedJob(job, (status.name,))])


def import_certificate(name: str) -> Response:
    """
    Import a certificate of your own for a name. certworker serves it, and does not renew it.
    """
    require_no_tenant()
    given = own_certificate()
    pem = Pem(*(text.encode(errors="replace") for text in (given.certificate, given.key, given.chain)))
    imported = components().actions.import_certificate(
        name, pem, by=current_access().identity, force=given.force
    )
    return json_response(ImportedCertificate.of(imported), HTTPStatus.ACCEPTED)


def _act(name: str, action: Callable[..., str]) -> Response:
    query_values(())
    status = known(name)
    access = current_access()
    try:
        job = action(status.name, by=access.identity, tenant=access.tenant)
    except OtherTenant as error:
        raise Forbidden(SHARED) from error
    return _accepted([RequestedJob(job, (status.name,))])


def _accepted(jobs: Sequence[RequestedJob]) -> Response:
    return json_response(Accepted(tuple(jobs)), HTTPStatus.ACCEPTED)
