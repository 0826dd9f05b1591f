"""
The volumes and the clock of this machine. Codes: fs.*, clock.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class VolumeReadOnly(CertworkerError):
    code = "fs.readonly"
    message_template = (
        "Cannot read or write {path} ({reason}, running as uid {uid}; {directory} belongs to {owner})."
    )
    remedy_template = (
        "See that docker-compose.yml mounts the volume without :ro, or give it to the worker: "
        "docker compose run --rm --no-deps -u 0 --cap-add CHOWN --cap-add DAC_OVERRIDE --entrypoint chown "
        "appwrite-worker-certificates -R {uid} {directory}"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class VolumeFull(CertworkerError):
    code = "fs.full"
    message_template = "The disk of {path} is full ({reason}); nothing was changed."
    remedy_template = "Free some space, for example with: docker system prune"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class NotPersistent(CertworkerError):
    code = "fs.not_persistent"
    message_template = (
        "All that lies in {path} is lost with this container, because {reason}; "
        "a CA signs the same names five times a week, not more."
    )
    remedy_template = (
        "In docker-compose.yml, under volumes: of appwrite-worker-certificates, write "
        "- {volume}:{path} and then run: docker compose up -d"
    )
    retry = Retry.CONFIG


class KeyPairBroken(CertworkerError):
    code = "fs.partial"
    message_template = "The certificate and the key in {path} do not work together: {reason}"
    remedy_template = "A new certificate replaces them; see how far it is with: certworker status {name}"
    retry = Retry.SOON


class CertificateUnreadable(CertworkerError):
    code = "fs.corrupt"
    message_template = "{path} cannot be read: {reason}."
    remedy_template = "A new certificate replaces it; see how far it is with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class VolumeFault(CertworkerError):
    code = "fs.io"
    message_template = "The file system failed at {path} ({reason})."
    remedy_template = (
        "See what stands there: ls -ld {path}; and what the kernel says of the disk: "
        "dmesg --level=err,warn | tail"
    )
    retry = Retry.SOON


class VolumeLocked(CertworkerError):
    code = "fs.locked"
    message_template = "Another worker has kept {path} locked for {seconds} seconds."
    remedy_template = (
        "If it stays so, restart the workers: docker compose restart appwrite-worker-certificates"
    )
    retry = Retry.SOON


class Fenced(CertworkerError):
    code = "fs.fenced"
    message_template = (
        "A newer certificate is in service for {name}; the one of this attempt was not installed."
    )
    remedy_template = "The newer one serves on; see it with: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class VolumeNearlyFull(VolumeFull):
    """
    There is room for today's certificates.
    """

    message_template = "The disk of {path} is nearly full: {left} left."
    remedy_template = VolumeFull.remedy_template
    severity = Severity.WARNING


class ClockSkew(CertworkerError):
    code = "clock.skew"
    message_template = "The clock of this server is {span} {direction} that of the CA, where it is {theirs}."
    remedy_template = "Let the host keep the time; the container follows it: timedatectl set-ntp true"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class ClockDrift(ClockSkew):
    """
    As wrong as a CA allows.
    """

    message_template = ClockSkew.message_template
    remedy_template = ClockSkew.remedy_template
    severity = Severity.WARNING
