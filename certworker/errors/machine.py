"""
Failures of the machine: the volumes, the clock, the queue.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class VolumeReadOnly(CertworkerError):
    code = "fs.readonly"
    says = "Cannot read or write {path} ({reason}, running as uid {uid}; {directory} belongs to {owner})."
    cure = (
        "See that docker-compose.yml mounts the volume without :ro, or give it to the worker: "
        "docker compose run --rm --no-deps -u 0 --cap-add CHOWN --cap-add DAC_OVERRIDE --entrypoint chown "
        "appwrite-worker-certificates -R {uid} {directory}"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class VolumeFull(CertworkerError):
    code = "fs.full"
    says = "The disk of {path} is full ({reason}); nothing was changed."
    cure = "Free some space, for example with: docker system prune"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class NotPersistent(CertworkerError):
    code = "fs.not_persistent"
    says = (
        "All that lies in {path} is lost with this container, because {reason}; "
        "a CA signs the same names five times a week, not more."
    )
    cure = (
        "In docker-compose.yml, under volumes: of appwrite-worker-certificates, write "
        "- {volume}:{path} and then run: docker compose up -d"
    )
    retry = Retry.CONFIG


class PairBroken(CertworkerError):
    code = "fs.partial"
    says = "The certificate and the key in {path} do not work together: {reason}"
    cure = "A new certificate replaces them; see how far it is with: certworker status {name}"
    retry = Retry.SOON


class CertificateUnreadable(CertworkerError):
    code = "fs.corrupt"
    says = "{path} cannot be read: {reason}."
    cure = "A new certificate replaces it; see how far it is with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class VolumeFault(CertworkerError):
    code = "fs.io"
    says = "The file system failed at {path} ({reason})."
    cure = (
        "See what stands there: ls -ld {path}; and what the kernel says of the disk: "
        "dmesg --level=err,warn | tail"
    )
    retry = Retry.SOON


class VolumeLocked(CertworkerError):
    code = "fs.locked"
    says = "Another worker has kept {path} locked for {seconds} seconds."
    cure = "If it stays so, restart the workers: docker compose restart appwrite-worker-certificates"
    retry = Retry.SOON


class Fenced(CertworkerError):
    code = "fs.fenced"
    says = "A newer certificate is in service for {name}; the one of this attempt was not installed."
    cure = "The newer one serves on; see it with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class QueueForeign(CertworkerError):
    code = "queue.wrong_name"
    says = "The queue {queue} has {waiting} waiting jobs and no worker; this one takes those of {own} only."
    cure = "If they are ours, send them to the right queue, for example with: certworker request NAME"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SchemaTooNew(CertworkerError):
    code = "ledger.schema"
    says = "{where} is of a newer certworker (version {found}); this one knows version {known}."
    cure = (
        "Let all workers be of the newer version: "
        "docker compose pull appwrite-worker-certificates && docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AlreadyUnderWay(CertworkerError):
    code = "queue.two_workers"
    says = "Another job is at work for {name}."
    cure = "Nothing to do: its result serves both. See it with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class AnotherConsumer(AlreadyUnderWay):
    """
    The same under another sign: Appwrite's own worker shares a queue with us.
    """

    says = "Another worker takes messages from Appwrite's queue {queue}: {count} since we looked last."
    cure = (
        "Keep Appwrite's own worker off that queue, or certificates are made by both: in docker-compose.yml "
        "set _APP_CERTIFICATES_QUEUE_NAME=unused for appwrite-worker, or remove the old "
        "appwrite-worker-certificates, then run: docker compose up -d --remove-orphans"
    )


class JobTimedOut(CertworkerError):
    code = "queue.timeout"
    says = "The job was stopped after {seconds} seconds."
    cure = "It is tried again by itself. If it happens again, see where it waits: certworker doctor"
    retry = Retry.SOON
    severity = Severity.WARNING


class BadJob(CertworkerError):
    code = "queue.bad_payload"
    says = "The job was refused: {reason}."
    cure = "See the wire format in docs/reference/queue-protocol.md, or send it with: certworker request NAME"
    retry = Retry.NEVER
    severity = Severity.WARNING


class FunctionNotRegistered(CertworkerError):
    code = "queue.not_registered"
    says = "The job asks for the function {function}, which is not one of ours ({known})."
    cure = "Name the function certworker.issue, or send it with: certworker request NAME"
    retry = Retry.NEVER
    severity = Severity.WARNING


class Abandoned(CertworkerError):
    code = "queue.abandoned"
    says = "The worker died with the job under way, {times} times in a row."
    cure = "See why it died (often: no memory left), then send it again: docker compose logs --tail 200"
    retry = Retry.SOON
    severity = Severity.WARNING


class WorkerDied(CertworkerError):
    code = "queue.horse_killed"
    says = "Workers died {times} times in a row while they issued for {name}; nobody tries before {moment}."
    cure = (
        "See why they died (often: no memory left): docker compose logs --tail 200. "
        "To try at once: certworker request --force {name}"
    )
    retry = Retry.UNTIL


class Unexpected(CertworkerError):
    code = "worker.unexpected"
    says = "An unexpected error occurred in certworker: {fault}."
    cure = (
        "Report it with its traceback (docker compose logs appwrite-worker-certificates) and the file of: "
        "certworker doctor --report certworker-report.json"
    )
    retry = Retry.CA


class LoopStalled(CertworkerError):
    code = "worker.stalled"
    says = "The worker on {host} makes no progress in: {loops}."
    cure = (
        "See why in its log, then restart it: docker compose logs --tail 200 appwrite-worker-certificates; "
        "docker compose restart appwrite-worker-certificates"
    )
    retry = Retry.SOON


class NoticeUndelivered(CertworkerError):
    code = "notice.undelivered"
    says = "The notices by {channel} could not be delivered ({reason}); they are stored and sent later."
    cure = (
        "Correct _APP_SMTP_HOST and the other _APP_SMTP settings (mail), or CERTWORKER_NOTIFY_URL (hook). "
        "Test: certworker notify test"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
