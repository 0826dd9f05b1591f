"""
The JSON documents of requests and responses.

The OpenAPI document is generated from these classes: the comment of a field is its description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Self

from certworker.dashboard.actions import RequestedJob
from certworker.dashboard.documents import status_document
from certworker.dashboard.limits import AuthorityLimits
from certworker.dashboard.name_details import CertificateDetails, NameDetails
from certworker.dashboard.names import NamePage
from certworker.dashboard.nodes import NodeInfo
from certworker.dashboard.summary import Proxy, Queue, Summary
from certworker.dashboard.workers import RunningJob, WorkerInfo
from certworker.doctor.findings import Finding
from certworker.doctor.records import NeededRecord
from certworker.errors.pages import reference_of
from certworker.issuance.importing import Imported
from certworker.observability.history import HistoryEntry
from certworker.own_certificates import LARGEST_PEM_BYTES
from certworker.renewal.domain_status import DomainStatus
from certworker.state.domain_records import LONGEST_TENANT
from certworker.web.api.schemas import Length

MOST_NAMES = 100


@dataclass(frozen=True)
class Context:
    """
    What the documents need in addition to the data.
    """

    now: datetime
    #: The site of the documentation; None to name the command that prints a page.
    docs_url: str | None

    def docs(self, code: str) -> str:
        """
        Return where to read about the failure with *code*.
        """
        return reference_of(code, self.docs_url)


@dataclass(frozen=True, kw_only=True)
class Name:
    """
    The state of a name, with the fields of `certworker status --json`.
    """

    name: str
    #: `valid`, `imported`, `covered`, `due`, `expired`, `failed`, `waiting`, `paused`, `moved`, `issuing` or
    #: `missing`.
    state: str
    #: The state; instead of `failed`, `failing` with a valid certificate in service, or `no_certificate`.
    detail: str
    #: The names of the certificate in service; empty without a certificate.
    names: tuple[str, ...]
    #: In hexadecimal digits.
    serial: str
    not_before: datetime | None
    not_after: datetime | None
    #: When the renewal is due; null for an imported certificate, and without a certificate.
    renewal: datetime | None
    next_check: datetime | None
    #: The number of consecutive failures.
    attempts: int
    #: The code of the last failure; empty without a failure.
    code: str
    message: str
    remedy: str
    #: Who signed the certificate; empty without a certificate.
    issuer: str
    #: The label of the CA, or `adopted` or `imported`; empty without a certificate.
    authority: str
    #: The wildcard that covers a name without a certificate of its own; empty for any other name.
    by: str
    #: The tenant that has proved the ownership of the name, or the tenant in the last request that named one;
    #: empty if there is none.
    tenant: str
    #: When the pending forced request was made; null without one.
    forced_at: datetime | None
    #: Where to read about `code`: a URL, or a command; empty without a failure.
    docs: str
    #: Days until `not_after`, with two decimals; null without a certificate.
    days_left: float | None

    @classmethod
    def of(cls, status: DomainStatus, context: Context) -> Name:
        """
        Return the document of *status*.
        """
        return Name(**status_document(status, context.now, context.docs(status.code)))


@dataclass(frozen=True, kw_only=True)
class NameWithDetails(Name):
    """
    All that is known about a name.
    """

    #: The position of the first request for the name on the queue; 1 is the next job. Null without a request,
    #: or if the queue has more than 2,000 jobs.
    queue_position: int | None
    #: The issuers in the chain, from the issuer of the certificate upward.
    chain: tuple[str, ...]
    #: The paths of `cert`, `chain`, `fullchain` and `privkey` on the server. A tenant does not see them.
    files: Mapping[str, str]
    #: The certificate in service; null without a readable one.
    certificate: CertificateDetails | None

    @classmethod
    def with_details(cls, details: NameDetails, context: Context, *, files: bool) -> Self:
        """
        Return the document of *details*, with the paths of its files if *files* is true.
        """
        status = details.status
        issuers = (each.issuer for each in details.certificate.chain) if details.certificate else ()
        return cls(
            **status_document(status, context.now, context.docs(status.code)),
            queue_position=details.queue_position,
            chain=tuple(dict.fromkeys(issuers)),
            files=details.files if files else {},
            certificate=details.certificate,
        )


@dataclass(frozen=True)
class Names:
    """
    A page of names.
    """

    names: tuple[Name, ...]
    #: The value of `cursor` for the next page; empty on the last page.
    next_cursor: str
    #: The number of names on all pages.
    total: int

    @classmethod
    def of(cls, page: NamePage, context: Context) -> Self:
        """
        Return the document of *page*.
        """
        return cls(tuple(Name.of(each, context) for each in page.names), page.next_cursor, page.total)


@dataclass(frozen=True)
class HistoryEvent:
    """
    A line of the history of a name.
    """

    ts: datetime
    #: `info`, `warn` or `error`.
    level: str
    text: str


@dataclass(frozen=True)
class NameHistory:
    """
    The last fifty lines of the history of a name, the oldest first.
    """

    name: str
    events: tuple[HistoryEvent, ...]

    @classmethod
    def of(cls, name: str, entries: list[HistoryEntry]) -> Self:
        """
        Return the document of *entries*.
        """
        events = (HistoryEvent(each.moment, each.level.lower(), each.text) for each in entries)
        return cls(name, tuple(events))


@dataclass(frozen=True)
class NameRecords:
    """
    The DNS records that the owner of a name must create. The list is empty if the name needs none, or if the
    address of this server is unknown.
    """

    name: str
    records: tuple[NeededRecord, ...]


@dataclass(frozen=True)
class AllLimits:
    """
    What is left of the rate limits of each CA.
    """

    authorities: tuple[AuthorityLimits, ...]


@dataclass(frozen=True)
class Workers:
    """
    The registered workers.
    """

    workers: tuple[WorkerInfo, ...]


@dataclass(frozen=True)
class HostList:
    """
    The hosts with volumes of their own.
    """

    #: Empty without a replication key.
    nodes: tuple[NodeInfo, ...]


@dataclass(frozen=True)
class DoctorFinding:
    """
    The result of one check, with the fields of `certworker doctor --json`.
    """

    section: str
    subject: str
    #: `well`, `warn`, `fail` or `skipped`.
    verdict: str
    text: str
    remedy: str
    code: str
    #: Where to read about `code`: a URL, or a command; empty without a code.
    docs: str

    @classmethod
    def of(cls, finding: Finding, context: Context) -> Self:
        """
        Return the document of *finding*.
        """
        return cls(
            finding.section,
            finding.subject,
            finding.verdict.name.lower(),
            finding.text,
            finding.remedy,
            finding.code,
            context.docs(finding.code),
        )


@dataclass(frozen=True)
class Doctor:
    """
    The results of the checks of the installation and of one name.
    """

    name: str
    findings: tuple[DoctorFinding, ...]


@dataclass(frozen=True)
class Overview:
    """
    The state of all names. A tenant sees only its own names: for a tenant, the fields from `queue` on are
    null.
    """

    total: int
    #: The number of names by state, and of failures by detail.
    counts: Mapping[str, int]
    #: At most 20 names that a user has to fix, the most urgent first.
    problems: tuple[Name, ...]
    #: At most 10 names whose certificates are renewed next, the earliest first.
    next_renewals: tuple[Name, ...]
    queue: Queue | None
    #: At most 500 running jobs.
    running: tuple[RunningJob, ...] | None
    #: Null also if the files of Traefik cannot be read.
    proxy: Proxy | None

    @classmethod
    def of(cls, summary: Summary, context: Context) -> Self:
        """
        Return the document of *summary*.
        """
        return cls(
            summary.total,
            summary.counts,
            tuple(Name.of(each, context) for each in summary.problems),
            tuple(Name.of(each, context) for each in summary.next_renewals),
            summary.queue,
            summary.running,
            summary.proxy,
        )


@dataclass(frozen=True)
class CertificateRequest:
    """
    A request for certificates.
    """

    #: 1 to 100 names.
    names: Annotated[tuple[str, ...], Length(1, MOST_NAMES)]
    #: One certificate for all names instead of one for each.
    together: bool = False
    #: The tenant that owns the names from now on, unless another tenant has proved the ownership. A token of
    #: a tenant may name only its own tenant.
    tenant: Annotated[str, Length(1, LONGEST_TENANT)] | None = None


@dataclass(frozen=True)
class OwnCertificateRequest:
    """
    A certificate to import.
    """

    #: The certificate in PEM, with its chain if any.
    certificate: Annotated[str, Length(1, LARGEST_PEM_BYTES)]
    #: The private key of `certificate` in PEM, without a password. No response and no log contains the key.
    key: Annotated[str, Length(1, LARGEST_PEM_BYTES)] = field(repr=False)
    #: The certificates of the CA in PEM, if `certificate` does not contain them.
    chain: Annotated[str, Length(0, LARGEST_PEM_BYTES)] = ""
    #: Whether to replace a certificate that certworker renews.
    force: bool = False


@dataclass(frozen=True)
class ImportedCertificate:
    """
    The stored certificate, and the job that puts it into service.
    """

    job: str
    name: str
    #: In hexadecimal digits.
    serial: str
    #: Who signed the certificate.
    issuer: str
    not_before: datetime
    not_after: datetime
    #: What may be wrong with the certificate, in sentences.
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, imported: Imported) -> Self:
        """
        Return the document of *imported*.
        """
        found = imported.metadata
        return cls(
            imported.job,
            found.names[0],
            found.serial,
            found.issuer,
            found.not_before,
            found.not_after,
            imported.warnings,
        )


@dataclass(frozen=True)
class Accepted:
    """
    The jobs of an action. The workers run them; the outcome is in the state of the name and in the events.
    """

    jobs: tuple[RequestedJob, ...]


@dataclass(frozen=True)
class Problem:
    """
    Why a call failed (RFC 9457).
    """

    #: The URL of the page about `code`, or `about:blank`.
    type: str
    title: str
    status: int
    #: What happened.
    detail: str = ""
    #: The error code of certworker.
    code: str = ""
    #: What to change.
    remedy: str = ""
