"""
Failures of the worker and its queue. Codes: queue.*, worker.*, lock.*, state.*, renew.*, notice.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class QueueUnserved(CertworkerError):
    code = "queue.unserved"
    message_template = (
        "The queue {queue} has {waiting} waiting jobs and no worker; certworker reads only {own}."
    )
    remedy_template = "Send jobs for certworker to the right queue, for example with: certworker request NAME"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SchemaTooNew(CertworkerError):
    code = "state.schema_too_new"
    message_template = (
        "A newer certworker wrote {where} (version {found}); this worker supports version {known}."
    )
    remedy_template = "Upgrade all workers to the newer version: docker compose pull && docker compose up -d"
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AlreadyInProgress(CertworkerError):
    code = "lock.held"
    message_template = "Another job for {name} is running."
    remedy_template = (
        "No action is needed for a request; the result of that job applies to it. Repeat an import or a "
        "removal later. Show the state: certworker status {name}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class AnotherConsumer(AlreadyInProgress):
    """
    Another worker, usually that of Appwrite, takes messages from the same queue.
    """

    message_template = (
        "Another worker takes messages from Appwrite's queue {queue} ({count} since the last check)."
    )
    remedy_template = (
        "Set _APP_CERTIFICATES_QUEUE_NAME=unused for appwrite-worker in the Compose file, or remove "
        "Appwrite's own certificates worker, then run: docker compose up -d --remove-orphans"
    )


class JobTimedOut(CertworkerError):
    code = "queue.timeout"
    message_template = "The job exceeded its limit of {seconds} seconds and was stopped."
    remedy_template = (
        "No action is needed; certworker retries automatically. If this continues, find the cause: "
        "certworker doctor"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class BadJob(CertworkerError):
    code = "queue.bad_payload"
    message_template = "The job was rejected: {reason}."
    remedy_template = (
        "Correct the job as in docs/reference/queue-protocol.md, or send it with: certworker request NAME"
    )
    retry = Retry.NEVER
    severity = Severity.WARNING


class FunctionNotRegistered(CertworkerError):
    code = "queue.not_registered"
    message_template = "The job names the unknown function {function} (known: {known})."
    remedy_template = "Use the function certworker.issue, or send the job with: certworker request NAME"
    retry = Retry.NEVER
    severity = Severity.WARNING


class JobAbandoned(CertworkerError):
    code = "queue.abandoned"
    message_template = "Workers died or froze {times} times in a row during this job."
    remedy_template = (
        "Before you send the job again, find the cause, often too little memory: "
        "docker compose logs --tail 200"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class WorkerCrashed(CertworkerError):
    code = "worker.crashed"
    message_template = (
        "Workers died or froze {times} times in a row during the issuance for {name} "
        "(next attempt: {moment})."
    )
    remedy_template = (
        "Find the cause (often too little memory): docker compose logs --tail 200. To retry now, run: "
        "certworker request --force {name}"
    )
    retry = Retry.UNTIL


class Unexpected(CertworkerError):
    code = "worker.unexpected"
    message_template = "An unexpected error occurred in certworker: {fault}."
    remedy_template = (
        "Report this bug with its traceback from the log, and with the file that this command writes: "
        "certworker doctor --report certworker-report.json"
    )
    retry = Retry.CA


class LoopStalled(CertworkerError):
    code = "worker.stalled"
    message_template = "The worker on {host} is making no progress in: {loops}."
    remedy_template = (
        "Read the log of the worker, then restart it: docker compose logs --tail 200; "
        "docker compose restart SERVICE"
    )
    retry = Retry.SOON


class NotificationUndelivered(CertworkerError):
    code = "notice.undelivered"
    message_template = (
        "Cannot deliver notifications by {channel} ({reason}); certworker stores them and retries."
    )
    remedy_template = (
        "Correct _APP_SMTP_HOST and the other settings of the mail server, or CERTWORKER_NOTIFY_URL "
        "(webhook). Test: certworker notify test"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class RenewalOverdue(CertworkerError):
    code = "renew.overdue"
    message_template = "The certificate of {name} {ends}; {history}"
    remedy_template = "Next step: {remedy}"
    retry = Retry.CA
