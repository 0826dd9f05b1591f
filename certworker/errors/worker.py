"""
The worker and its queue. Codes: queue.*, worker.*, lock.*, state.*, renew.*, notice.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class QueueUnserved(CertworkerError):
    code = "queue.unserved"
    message_template = (
        "The queue {queue} has {waiting} waiting jobs and no worker; this one takes those of {own} only."
    )
    remedy_template = (
        "If they are ours, send them to the right queue, for example with: certworker request NAME"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SchemaTooNew(CertworkerError):
    code = "state.schema_too_new"
    message_template = "{where} is of a newer certworker (version {found}); this one knows version {known}."
    remedy_template = (
        "Let all workers be of the newer version: "
        "docker compose pull appwrite-worker-certificates && docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AlreadyInProgress(CertworkerError):
    code = "lock.held"
    message_template = "Another job is at work for {name}."
    remedy_template = "Nothing to do: its result serves both. See it with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class AnotherConsumer(AlreadyInProgress):
    """
    The same under another sign: Appwrite's own worker shares a queue with us.
    """

    message_template = (
        "Another worker takes messages from Appwrite's queue {queue}: {count} since we looked last."
    )
    remedy_template = (
        "Keep Appwrite's own worker off that queue, or certificates are made by both: in docker-compose.yml "
        "set _APP_CERTIFICATES_QUEUE_NAME=unused for appwrite-worker, or remove the old "
        "appwrite-worker-certificates, then run: docker compose up -d --remove-orphans"
    )


class JobTimedOut(CertworkerError):
    code = "queue.timeout"
    message_template = "The job was stopped after {seconds} seconds."
    remedy_template = (
        "It is tried again by itself. If it happens again, see where it waits: certworker doctor"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class BadJob(CertworkerError):
    code = "queue.bad_payload"
    message_template = "The job was refused: {reason}."
    remedy_template = (
        "See the wire format in docs/reference/queue-protocol.md, or send it with: certworker request NAME"
    )
    retry = Retry.NEVER
    severity = Severity.WARNING


class FunctionNotRegistered(CertworkerError):
    code = "queue.not_registered"
    message_template = "The job asks for the function {function}, which is not one of ours ({known})."
    remedy_template = "Name the function certworker.issue, or send it with: certworker request NAME"
    retry = Retry.NEVER
    severity = Severity.WARNING


class JobAbandoned(CertworkerError):
    code = "queue.abandoned"
    message_template = "The worker died with the job under way, {times} times in a row."
    remedy_template = (
        "See why it died (often: no memory left), then send it again: docker compose logs --tail 200"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class WorkerCrashed(CertworkerError):
    code = "worker.crashed"
    message_template = (
        "Workers died {times} times in a row while they issued for {name}; nobody tries before {moment}."
    )
    remedy_template = (
        "See why they died (often: no memory left): docker compose logs --tail 200. "
        "To try at once: certworker request --force {name}"
    )
    retry = Retry.UNTIL


class Unexpected(CertworkerError):
    code = "worker.unexpected"
    message_template = "An unexpected error occurred in certworker: {fault}."
    remedy_template = (
        "Report it with its traceback (docker compose logs appwrite-worker-certificates) and the file of: "
        "certworker doctor --report certworker-report.json"
    )
    retry = Retry.CA


class LoopStalled(CertworkerError):
    code = "worker.stalled"
    message_template = "The worker on {host} makes no progress in: {loops}."
    remedy_template = (
        "See why in its log, then restart it: docker compose logs --tail 200 appwrite-worker-certificates; "
        "docker compose restart appwrite-worker-certificates"
    )
    retry = Retry.SOON


class NoticeUndelivered(CertworkerError):
    code = "notice.undelivered"
    message_template = (
        "The notices by {channel} could not be delivered ({reason}); they are stored and sent later."
    )
    remedy_template = (
        "Correct _APP_SMTP_HOST and the other _APP_SMTP settings (mail), or CERTWORKER_NOTIFY_URL (hook). "
        "Test: certworker notify test"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class RenewalOverdue(CertworkerError):
    code = "renew.overdue"
    message_template = "The certificate of {name} {ends}; {history}"
    remedy_template = "Next step: {remedy}"
    retry = Retry.CA
