"""
The view of a name: its certificate, its failure, its records and its history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import abort, render_template, request, url_for

from certworker.dashboard.name_details import NameDetails, name_details
from certworker.dashboard.own_names import own_history
from certworker.dashboard.records import TooManyQueries
from certworker.dashboard.records import records as needed_records
from certworker.doctor.records import reason_for_none
from certworker.errors import CertworkerError
from certworker.renewal.domain_status import DomainStatus
from certworker.web.access import allowed, current_access
from certworker.web.pages.appearance import Tone, appearance
from certworker.web.pages.components import index, sources

REFRESH_SECONDS = 5

#: The notice after each action, by its key in the URL.
DONE: Mapping[str, str] = {
    "request": "The certificate is requested.",
    "renew": "The renewal is requested.",
    "retry": "The next attempt is requested.",
    "resume": "The orders for the name are resumed.",
}

#: The tone of a line of the history, by its level.
TONES: Mapping[str, Tone] = {"INFO": "good", "WARN": "warn", "ERROR": "bad"}


@dataclass(frozen=True)
class Button:
    """
    An action on a name.
    """

    action: str
    label: str


RENEW, RETRY, RESUME = Button("renew", "Renew now"), Button("retry", "Retry now"), Button("resume", "Resume")


def known(name: str) -> DomainStatus:
    """
    Return the status of *name*; respond with 404 if it is unknown, or belongs to another tenant.
    """
    status = index().find(name, current_access().tenant)
    if status is None:
        abort(404)
    return status


@allowed("read")
def name(name: str) -> str:
    """
    Return the view of *name*.
    """
    status = index().find(name, current_access().tenant)
    if status is None and request.args.get("done") == "request" and current_access().may("operate"):
        # A worker has taken the job from the queue, and has not recorded its start yet.
        return render_template("pages/requested.html", name=name, refresh_seconds=REFRESH_SECONDS)
    return show(known(name))


def show(status: DomainStatus, refused: CertworkerError | None = None) -> str:
    """
    Return the view of the name with this *status*; respond with 404 if the name has just been removed.

    Args:
        status: The status of the name.
        refused: Why an action on the name is refused; None without a refused action.
    """
    tenant = current_access().tenant
    details = name_details(sources(), status.name, tenant)
    if details is None:
        abort(404)
    now, status = sources().clock(), details.status
    # A moved name is not renewed.
    renewal = None if status.state == "moved" else status.renewal
    entries = own_history(sources(), status.name, tenant)
    return render_template(
        "pages/name.html",
        details=details,
        status=status,
        look=appearance(status, now),
        renewal=renewal,
        renewal_share=_share_at(renewal, status),
        buttons=buttons(status),
        entries=[(TONES.get(entry.level, "idle"), entry) for entry in reversed(entries)],
        files=details.files if tenant is None else {},
        facts=tuple(_facts(details)),
        done=DONE.get(request.args.get("done", "")),
        refused=refused,
        refresh_seconds=REFRESH_SECONDS,
        api_url=url_for("api.get_name", name=status.name),
    )


def buttons(status: DomainStatus) -> tuple[Button, ...]:
    """
    Return the actions that are useful in this *status*.
    """
    if status.state == "paused":
        return RESUME, RETRY
    if status.code or not status.not_after:
        return (RETRY,)
    # certworker renews neither a covered name nor an imported certificate.
    return () if status.by or status.is_imported else (RENEW,)


@allowed("read")
def records(name: str) -> str:
    """
    Return the view of the DNS records that *name* needs, with their states. The queries may take seconds.
    """
    status = known(name)
    try:
        found, failure = needed_records(sources(), status.name), None
    except CertworkerError as error:
        found, failure = (), error
    except TooManyQueries:
        abort(503)
    return render_template(
        "pages/records.html",
        name=status.name,
        records=found,
        failure=failure,
        reason=reason_for_none(sources().settings, status.name),
        api_url=url_for("api.get_records", name=status.name),
    )


def _share_at(moment: datetime | None, status: DomainStatus) -> float | None:
    if not (status.not_before and status.not_after and moment):
        return None
    length = status.not_after - status.not_before
    return (moment - status.not_before) / length if length else None


def _facts(details: NameDetails) -> list[tuple[str, str]]:
    status, certificate = details.status, details.certificate
    facts = [("Names", ", ".join(status.names))]
    if certificate:
        facts += [("Key type", certificate.key_type), ("Profile", certificate.profile)]
    facts += [("Issuer", status.issuer), ("Authority", status.authority), ("Serial", status.serial)]
    facts.append(("Tenant", details.tenant))
    if details.queue_position:
        facts.append(("Queue", f"position {details.queue_position:,}"))
    return [(label, value) for label, value in facts if value]
