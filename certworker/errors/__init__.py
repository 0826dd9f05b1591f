"""
Every failure certworker knows: what happened, what to change, and when to try again.

The first part of a code says in which file its class stands::

    failure         CertworkerError, Interrupted, Retry, Severity, catalogue()
    configuration   config.*
    naming          name.* payload.*
    authority       acct.* acme.* ca.* net.*
    limits          rate.*
    redis           redis.*
    machine         fs.* clock.* queue.* worker.* ledger.* notice.*
    reach           http.* dns.* caa.*         why the CA could not see that the domain is ours
    checks          http.* dns.* fs.* clock.* proxy.*   what only a check of our own can tell
    zones           dns.* caa.*                what our own questions to DNS can tell
    renewal         renew.*
    reloading       reload.* label.*
    pages           the page of each failure, for the documentation and the terminal
"""

from certworker.errors.failure import (
    LONGEST_SENTENCE,
    LONGEST_TEXT,
    CertworkerError,
    Interrupted,
    Retry,
    Severity,
    catalogue,
    printable,
)

__all__ = [
    "LONGEST_SENTENCE",
    "LONGEST_TEXT",
    "CertworkerError",
    "Interrupted",
    "Retry",
    "Severity",
    "catalogue",
    "printable",
]
