"""
The account at the CA. Codes: acct.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class AccountGone(CertworkerError):
    code = "acct.gone"
    message_template = "{authority} does not know our account."
    remedy_template = "certworker registers it again with the same key by itself; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class AccountDeactivated(CertworkerError):
    code = "acct.deactivated"
    message_template = "Our account at {authority} has been deactivated."
    remedy_template = (
        "certworker makes a new one by itself. If a CAA record names the old account (accounturi), put the "
        "new one there."
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class TooManyAccounts(CertworkerError):
    code = "acct.too_many"
    message_template = "{authority} makes no more accounts for this address for a while: {detail}"
    remedy_template = (
        "The account key is lost at each start, it seems: mount a volume at CERTWORKER_STATE_DIR, then run: "
        "docker compose up -d"
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class TermsChanged(CertworkerError):
    code = "acct.tos"
    message_template = "{authority} requires a person to agree to its terms of service."
    remedy_template = "Open this page and agree to the terms: {url}"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class UserActionRequired(CertworkerError):
    code = "acct.user_action"
    message_template = "{authority} requires a person to act first: {detail}"
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
    message_template = "{authority} takes only accounts that are bound to one on its web site: {detail}."
    remedy_template = (
        "Set CERTWORKER_EAB_KID and CERTWORKER_EAB_HMAC_KEY (or CERTWORKER_EAB_HMAC_KEY_FILE) to what is "
        "shown there, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    other_ca_may_issue = True


class AccountKeyUnreadable(CertworkerError):
    code = "acct.key_unreadable"
    message_template = "The account key {path} cannot be used: {reason}."
    remedy_template = "Restore it from a backup; or have a new account made: mv {path} {path}.damaged"
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AccountBlocked(CertworkerError):
    code = "acct.blocked"
    message_template = "{authority} has blocked our account: {detail}"
    remedy_template = "Ask the CA why; until then set CERTWORKER_AUTHORITY to another one."
    retry = Retry.CONFIG
    severity = Severity.FATAL
    other_ca_may_issue = True


class KeyChangeRefused(CertworkerError):
    code = "acct.no_key_change"
    message_template = "{authority} does not change the keys of accounts: {detail}"
    remedy_template = (
        "The account keeps its key. For an account with another key, run: certworker account deactivate"
    )
    retry = Retry.CONFIG
