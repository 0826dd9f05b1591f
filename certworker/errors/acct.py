"""
Failures of the ACME account. Codes: acct.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class AccountGone(CertworkerError):
    code = "acct.gone"
    message_template = "{authority} does not know the account of this account key."
    remedy_template = "No action is needed; certworker registers the account again with the same key."
    retry = Retry.SOON
    severity = Severity.WARNING


class AccountDeactivated(CertworkerError):
    code = "acct.deactivated"
    message_template = "The account at {authority} is deactivated."
    remedy_template = (
        "No action is needed; certworker registers a new account. If a CAA record has accounturi, set it to "
        "the new account: certworker account show"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class TooManyAccounts(CertworkerError):
    code = "acct.too_many"
    message_template = "{authority} limits the number of new accounts for this IP address: {detail}"
    remedy_template = (
        "Mount a volume at CERTWORKER_STATE_DIR, so that a new container has the same account key, then run: "
        "docker compose up -d"
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class TermsChanged(CertworkerError):
    code = "acct.tos"
    message_template = "{authority} requires the operator to agree to its terms of service."
    remedy_template = "Open this page and agree to the terms: {url}"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class UserActionRequired(CertworkerError):
    code = "acct.user_action"
    message_template = "{authority} requires the operator to act first: {detail}"
    remedy_template = "Open this page and follow its instructions: {url}"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class ContactRequired(CertworkerError):
    code = "acct.contact"
    message_template = "{authority} requires an e-mail address for its accounts: {detail}"
    remedy_template = "Set _APP_EMAIL_CERTIFICATES to a mailbox that you read, then run: docker compose up -d"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class ExternalAccountRequired(CertworkerError):
    code = "acct.eab"
    message_template = "{authority} requires an external account binding: {detail}"
    remedy_template = (
        "Set CERTWORKER_EAB_KID and CERTWORKER_EAB_HMAC_KEY (or CERTWORKER_EAB_HMAC_KEY_FILE) to the values "
        "of the CA, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    other_ca_may_issue = True


class AccountKeyUnreadable(CertworkerError):
    code = "acct.key_unreadable"
    message_template = "Cannot read the account key {path} ({reason})."
    remedy_template = (
        "Restore the file from a backup, or move it away to get a new account: docker compose exec SERVICE "
        "mv {path} {path}.damaged"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AccountBlocked(CertworkerError):
    code = "acct.blocked"
    message_template = "{authority} has blocked the account: {detail}"
    remedy_template = "Ask the CA to unblock the account. Until then, set CERTWORKER_AUTHORITY to another CA."
    retry = Retry.CONFIG
    severity = Severity.FATAL
    other_ca_may_issue = True


class KeyChangeRefused(CertworkerError):
    code = "acct.no_key_change"
    message_template = "{authority} does not allow this change of the account key: {detail}"
    remedy_template = (
        "The account keeps its key. To get another key, deactivate the account; the next order registers a "
        "new one: certworker account deactivate"
    )
    retry = Retry.CONFIG
