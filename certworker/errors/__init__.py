"""
All failures of certworker: what happened, what to change, and when certworker retries.

Each module contains a family of codes. In import order (★ to read first)::

    systemd      the commands of remedies on a machine without Docker
    failure      ★ CertworkerError, Retry, Severity, catalog()
    config       config.*
    name         name.*
    payload      payload.*
    acct         acct.*
    acme         acme.*
    ca           ca.* net.*
    rate         rate.*
    caa          caa.*
    dns          dns.*
    dns01        dns01.*
    http         http.*
    redis        redis.*
    fs           fs.* clock.*
    worker       queue.* worker.* lock.* state.* renew.* notice.*
    proxy        proxy.*
    reload       reload.* hook.* label.*
    imports      import.*
    replication  replication.*
    pages        the documentation page of each code
"""

from certworker.errors.failure import (
    LONGEST_SENTENCE,
    MAX_TEXT,
    CertworkerError,
    Interrupted,
    NotRecorded,
    Retry,
    Severity,
    catalog,
    printable,
)

__all__ = [
    "LONGEST_SENTENCE",
    "MAX_TEXT",
    "CertworkerError",
    "Interrupted",
    "NotRecorded",
    "Retry",
    "Severity",
    "catalog",
    "printable",
]
