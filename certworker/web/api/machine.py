"""
The calls about the whole installation. Of these, tenants may use only the overview.
"""

from __future__ import annotations

import os
from threading import BoundedSemaphore

from flask import Response

from certworker.dashboard.limits import limits
from certworker.dashboard.nodes import nodes
from certworker.dashboard.summary import summary
from certworker.dashboard.workers import workers
from certworker.doctor.report import examine
from certworker.web.access import current_access
from certworker.web.api.models import AllLimits, Doctor, DoctorFinding, HostList, Overview, Workers
from certworker.web.api.names import known
from certworker.web.api.parameters import query_values, require_no_tenant
from certworker.web.api.responses import Busy, components, context, json_response

#: The checks of a name take seconds and connect to other servers, so one call at a time runs them.
_examining = BoundedSemaphore(1)


def get_summary() -> Response:
    """
    Return the overview: counts, names to fix, next renewals, queue, running jobs and proxy.
    """
    query_values(())
    found = components()
    return json_response(Overview.of(summary(found.sources, found.index, current_access().tenant), context()))


def get_limits() -> Response:
    """
    Return what is left of the rate limits of each CA, and when the next order is possible.
    """
    require_no_tenant()
    return json_response(AllLimits(limits(components().sources)))


def get_workers() -> Response:
    """
    Return the workers with their versions, heartbeats and running jobs.
    """
    require_no_tenant()
    return json_response(Workers(workers(components().sources)))


def get_nodes() -> Response:
    """
    Return the hosts with volumes of their own, and what each of them lacks.
    """
    require_no_tenant()
    return json_response(HostList(nodes(components().sources) or ()))


def examine_name(name: str) -> Response:
    """
    Check the installation and a name, as `certworker doctor` does. The checks may take up to a minute.
    """
    require_no_tenant()
    found = known(name).name
    if not _examining.acquire(blocking=False):
        raise Busy("Another call is running the checks.")
    try:
        findings = [DoctorFinding.of(each, context()) for each in examine(os.environ, [found])]
    finally:
        _examining.release()
    return json_response(Doctor(found, tuple(findings)))
