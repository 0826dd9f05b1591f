"""
Failures of imported certificates. Codes: import.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ImportFailure(CertworkerError):
    """
    A failure of an import, or of an imported certificate.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class PemUnreadable(ImportFailure):
    code = "import.unreadable"
    message_template = "The {part} to import for {name} is not readable: {reason}."
    remedy_template = (
        "Pass PEM files. Convert other files first, for example: "
        "openssl pkcs12 -in FILE -nodes -out combined.pem"
    )


class KeyEncrypted(ImportFailure):
    code = "import.encrypted_key"
    message_template = "The key to import for {name} is encrypted, and the proxy has no password for it."
    remedy_template = "Decrypt it into a file for this import: openssl pkey -in FILE -out decrypted.pem"


class KeyMismatch(ImportFailure):
    code = "import.key_mismatch"
    message_template = "The key does not match the certificate to import for {name}, which is for {names}."
    remedy_template = (
        "Pass the key of this certificate. Both commands print the same public key: "
        "openssl x509 -noout -pubkey -in CERTIFICATE; openssl pkey -pubout -in KEY"
    )


class NotForServers(ImportFailure):
    code = "import.not_for_servers"
    message_template = "The certificate to import for {name} is not for servers: {reason}."
    remedy_template = (
        "Pass a server certificate: without CA:TRUE, and with serverAuth if it has an extended key usage."
    )


class WrongNames(ImportFailure):
    code = "import.wrong_names"
    message_template = "The certificate to import for {name} is for {names}."
    remedy_template = "Import it for one of its names, or get a certificate for {name} from its CA."


class ImportExpired(ImportFailure):
    code = "import.expired"
    message_template = "The certificate to import for {name} expired at {moment}."
    remedy_template = "Pass a certificate that is valid now."


class ImportNotYetValid(ImportFailure):
    code = "import.not_yet_valid"
    message_template = "The certificate to import for {name} is not valid before {moment}."
    remedy_template = (
        "Import it after that time. If the clock of this host is wrong, correct it: timedatectl set-ntp true"
    )


class ChainUnusable(ImportFailure):
    code = "import.chain"
    message_template = "The chain of the certificate to import for {name} is not usable: {reason}."
    remedy_template = (
        "Pass the intermediate certificates of its CA after the certificate, or with --chain FILE."
    )


class TooWeak(ImportFailure):
    code = "import.weak_key"
    message_template = (
        "The key or a signature of the certificate to import for {name} is not supported: {reason}."
    )
    remedy_template = (
        "Get a certificate for an RSA key of 2048 to 8192 bits, P-256 or P-384, signed with SHA-256 or "
        "stronger."
    )


class ReplacesIssued(ImportFailure):
    code = "import.replaces_issued"
    message_template = "{name} has a certificate from {issuer}, which certworker renews."
    remedy_template = "To replace that certificate and end its renewals, import with --force."


class WrongUser(ImportFailure):
    code = "import.wrong_user"
    message_template = (
        "The import runs as uid {uid}, and {path} belongs to uid {owner}: the worker could not read the "
        "imported files."
    )
    remedy_template = (
        "Run it as uid {owner}. In a container: docker compose exec -u {owner} SERVICE certworker import "
        "NAME --cert FILE --key FILE"
    )


class ImportInService(ImportFailure):
    code = "import.in_service"
    message_template = "{name} has an imported certificate, which certworker does not replace."
    remedy_template = "To order a certificate instead: certworker request --force {name}"


class ImportDamaged(ImportFailure):
    code = "import.damaged"
    message_template = "The files of the imported certificate for {name} are missing or damaged."
    remedy_template = "Import it again: certworker import {name} --cert FILE --key FILE"
    retry = Retry.CONFIG
    severity = Severity.ERROR


class ImportEnds(ImportFailure):
    code = "import.ends"
    message_template = "The imported certificate for {name} {ends}; certworker does not renew it."
    remedy_template = "Import its successor: certworker import {name} --cert FILE --key FILE"
