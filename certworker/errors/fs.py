"""
Failures of the volumes and the clock of this machine. Codes: fs.*, clock.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class VolumeReadOnly(CertworkerError):
    code = "fs.readonly"
    message_template = "Cannot read or write {path} as uid {uid} ({reason}); {directory} belongs to {owner}."
    remedy_template = (
        "Mount the volume without :ro, or change its owner: docker compose run "
        "--rm --no-deps -u 0 --cap-add CHOWN --cap-add DAC_OVERRIDE --entrypoint chown "
        "SERVICE -R {uid} {directory}"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class VolumeFull(CertworkerError):
    code = "fs.full"
    message_template = "The disk of {path} is full ({reason})."
    remedy_template = "Free disk space, for example: docker system prune"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class NotPersistent(CertworkerError):
    code = "fs.not_persistent"
    message_template = (
        "{path} is not persistent ({reason}); its contents are lost when the container is removed."
    )
    remedy_template = (
        "Mount a volume at {path}, for example with - {volume}:{path} in the Compose file, then run: "
        "docker compose up -d"
    )
    retry = Retry.CONFIG


class KeyPairBroken(CertworkerError):
    code = "fs.partial"
    message_template = "The certificate in {path} is not usable for {name}: {reason}"
    remedy_template = (
        "certworker replaces the certificate at the next request or renewal. To replace it now: "
        "certworker request {name}"
    )
    retry = Retry.SOON


class CertificateUnreadable(CertworkerError):
    code = "fs.corrupt"
    message_template = "Cannot read {path}: {reason}."
    remedy_template = (
        "certworker replaces the certificate at the next request or renewal. To replace it now: "
        "certworker request {name}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class VolumeFault(CertworkerError):
    code = "fs.io"
    message_template = "The file system reports an error at {path} ({reason})."
    remedy_template = (
        "Check the path: docker compose exec SERVICE ls -ld {path}; and read the kernel messages: dmesg "
        "--level=err,warn | tail"
    )
    retry = Retry.SOON


class VolumeLocked(CertworkerError):
    code = "fs.locked"
    message_template = "Another process or thread has held the lock on {path} for {seconds} seconds."
    remedy_template = "If this continues, restart the workers: docker compose restart SERVICE"
    retry = Retry.SOON


class Fenced(CertworkerError):
    code = "fs.fenced"
    message_template = "A newer certificate for {name} is in service, so certworker did not store this one."
    remedy_template = "No action is needed. Show the newer certificate: certworker status {name}"
    retry = Retry.SOON
    severity = Severity.WARNING


class VolumeNearlyFull(VolumeFull):
    """
    The disk still has some space, but it may soon be full.
    """

    message_template = "The disk of {path} is nearly full ({left} free)."
    remedy_template = VolumeFull.remedy_template
    severity = Severity.WARNING


class ClockSkew(CertworkerError):
    code = "clock.skew"
    message_template = "The clock of this server is {span} {direction} the clock of the CA ({theirs})."
    remedy_template = "Synchronize the clock of the host: timedatectl set-ntp true"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class ClockDrift(ClockSkew):
    """
    The clock is wrong, but within the tolerance of CAs.
    """

    message_template = ClockSkew.message_template
    remedy_template = ClockSkew.remedy_template
    severity = Severity.WARNING
