"""
Failures on the CA's side: the account, the order, its outages.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class AccountGone(CertworkerError):
    code = "acct.gone"
    says = "{authority} does not know our account."
    cure = "certworker registers it again with the same key by itself; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class AccountDeactivated(CertworkerError):
    code = "acct.deactivated"
    says = "Our account at {authority} has been deactivated."
    cure = (
        "certworker makes a new one by itself. If a CAA record names the old account (accounturi), put the "
        "new one there."
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class TooManyAccounts(CertworkerError):
    code = "acct.too_many"
    says = "{authority} makes no more accounts for this address for a while: {detail}"
    cure = (
        "The account key is lost at each start, it seems: mount a volume at CERTWORKER_STATE_DIR, then run: "
        "docker compose up -d"
    )
    retry = Retry.UNTIL
    elsewhere = True


class TermsChanged(CertworkerError):
    code = "acct.tos"
    says = "{authority} requires a person to agree to its terms of service."
    cure = "Open this page and agree to the terms: {url}"
    retry = Retry.CONFIG
    elsewhere = True


class UserActionRequired(CertworkerError):
    code = "acct.user_action"
    says = "{authority} requires a person to act first: {detail}"
    cure = "Open this page and follow its instructions: {url}"
    retry = Retry.CONFIG
    elsewhere = True


class ContactRequired(CertworkerError):
    code = "acct.contact"
    says = "{authority} requires an e-mail address for its accounts: {detail}"
    cure = "Set _APP_EMAIL_CERTIFICATES to a mailbox that you read, then run: docker compose up -d"
    retry = Retry.CONFIG
    elsewhere = True


class ExternalAccountRequired(CertworkerError):
    code = "acct.eab"
    says = "{authority} takes only accounts that are bound to one on its web site: {detail}."
    cure = (
        "Set CERTWORKER_EAB_KID and CERTWORKER_EAB_HMAC_KEY (or CERTWORKER_EAB_HMAC_KEY_FILE) to what is "
        "shown there, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    elsewhere = True


class AccountKeyUnreadable(CertworkerError):
    code = "acct.key_unreadable"
    says = "The account key {path} cannot be used: {reason}."
    cure = "Restore it from a backup; or have a new account made: mv {path} {path}.damaged"
    retry = Retry.CONFIG
    severity = Severity.FATAL


class AccountBlocked(CertworkerError):
    code = "acct.blocked"
    says = "{authority} has blocked our account: {detail}"
    cure = "Ask the CA why; until then set CERTWORKER_AUTHORITY to another one."
    retry = Retry.CONFIG
    severity = Severity.FATAL
    elsewhere = True


class KeyChangeRefused(CertworkerError):
    code = "acct.no_key_change"
    says = "{authority} does not change the keys of accounts: {detail}"
    cure = "The account keeps its key. For an account with another key, run: certworker account deactivate"
    retry = Retry.CONFIG


class BadNonce(CertworkerError):
    code = "acme.bad_nonce"
    says = "{authority} refused our nonces again and again."
    cure = (
        "certworker asks again soon; if it stays so, several servers of the CA disagree: tell its operator."
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class NoHttp01(CertworkerError):
    code = "acme.no_http01"
    says = "{authority} does not offer the HTTP-01 challenge for {name}, only: {offered}."
    cure = "Set CERTWORKER_AUTHORITY to a CA that does, for example letsencrypt."
    retry = Retry.CONFIG
    elsewhere = True


class OrderNotReady(CertworkerError):
    code = "acme.order_not_ready"
    says = "{authority} says that the order is not ready yet: {detail}"
    cure = "certworker asks again soon; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class OrderInvalid(CertworkerError):
    code = "acme.order_invalid"
    says = "{authority} gave up the order for {name} and did not say why."
    cure = "certworker orders again by itself; nothing to do."
    retry = Retry.CA


class PendingTimeout(CertworkerError):
    code = "acme.pending_timeout"
    says = "The order for {name} is still {status} at {authority} after {seconds} s."
    cure = "The CA is slow; certworker asks again soon. Nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCsr(CertworkerError):
    code = "acme.bad_csr"
    says = "{authority} refuses the signing request: {detail}"
    cure = "Set CERTWORKER_KEY_TYPE=ec256, which every CA takes, then run: docker compose up -d"
    retry = Retry.CONFIG
    elsewhere = True


class AuthorizationGone(CertworkerError):
    code = "acme.unauthorized_authz_reuse"
    says = "{authority} no longer counts the domain as ours: {detail}"
    cure = "certworker orders again and is validated anew; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class TlsProblem(CertworkerError):
    code = "acme.tls"
    says = "The CA was sent on to HTTPS at {name} and failed there: {detail}"
    cure = (
        "Let the server there speak TLS 1.2 or newer, or take /.well-known/acme-challenge/ out of the "
        "redirection. Test: curl -kv https://{name}/"
    )
    retry = Retry.CA


class AlreadyReplaced(CertworkerError):
    code = "acme.already_replaced"
    says = "{authority} has seen this certificate replaced already."
    cure = "certworker orders once more, as for a new certificate; there is nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class InvalidProfile(CertworkerError):
    code = "acme.invalid_profile"
    says = "{authority} does not offer what CERTWORKER_PROFILE asks for: {detail}"
    cure = (
        "Set CERTWORKER_PROFILE to a profile that it has, or leave it empty, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    elsewhere = True


class NotOffered(CertworkerError):
    code = "acme.not_offered"
    says = "{authority} does not offer this operation: {detail}"
    cure = "Set CERTWORKER_AUTHORITY to a CA that offers it, for example letsencrypt."
    retry = Retry.CONFIG
    elsewhere = True


class RevocationRefused(CertworkerError):
    code = "acme.not_revoked"
    says = "{authority} refuses to revoke the certificate: {detail}"
    cure = "The certificate is still valid. Ask the CA to revoke it by its serial number: {serial}"
    retry = Retry.CONFIG


class Malformed(CertworkerError):
    code = "acme.malformed"
    says = "{authority} could not read our request: {detail}"
    cure = (
        "certworker retries automatically. If the message comes back for days, report it as a fault of "
        "certworker or of the CA."
    )
    #: Servers of a CA may read from replicas that do not have yet what another server has just made.
    retry = Retry.SOON
    elsewhere = True


class ResourceNotFound(CertworkerError):
    code = "acme.not_found"
    says = "{authority} does not find what it has just made: {detail}"
    cure = "certworker retries soon, with a new order if needed. No action is needed."
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class Conflict(CertworkerError):
    code = "acme.conflict"
    says = "{authority} is already processing this request: {detail}"
    cure = "certworker retries soon. No action is needed."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCertificate(CertworkerError):
    code = "acme.bad_cert"
    says = "The certificate for {name} is not usable: {reason}."
    cure = "Nothing was installed and the old certificate serves on; certworker will ask the CA again."
    retry = Retry.SOON


class UnknownProblem(CertworkerError):
    code = "acme.unknown_problem"
    says = "{authority} refuses ({type}): {detail}"
    cure = "certworker asks again by itself; if it stays so, ask the CA what it means."
    retry = Retry.CA


class ServerInternal(CertworkerError):
    code = "ca.server_internal"
    says = "{authority} has an internal problem: {detail}"
    cure = "It is not your fault; certworker asks again soon. For Let's Encrypt see https://letsencrypt.status.io"
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class Maintenance(CertworkerError):
    code = "ca.maintenance"
    says = "{authority} is down for maintenance: {detail}"
    cure = "certworker asks again soon. For Let's Encrypt see https://letsencrypt.status.io"
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class AuthorityUnreachable(CertworkerError):
    code = "ca.unreachable"
    says = "{host} did not answer: {reason}"
    cure = (
        "certworker asks again soon. If it stays so, let this container out to it (firewall, HTTPS_PROXY, "
        "MTU of the Docker network). Test: curl -v https://{host}/"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class NotAcme(CertworkerError):
    code = "ca.not_json"
    says = "{host} answered with something that is not ACME ({found})."
    cure = "Is a proxy or a captive portal in between? See what it says: curl -v https://{host}/"
    retry = Retry.SOON
    elsewhere = True


class SecondaryRpcFailed(CertworkerError):
    code = "ca.secondary_rpc"
    says = "{authority} could not reach its own remote validators."
    cure = "It is not your fault; certworker asks again soon."
    retry = Retry.SOON
    severity = Severity.WARNING
    elsewhere = True


class TlsIntercepted(CertworkerError):
    code = "net.tls_intercept"
    says = "The certificate of {host} cannot be verified: {reason}"
    cure = (
        "See that the clock is right (date) and that no proxy intercepts TLS. For a CA or a proxy with a "
        "root of its own set CERTWORKER_CA_BUNDLE=/path/to/root.pem"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    elsewhere = True
