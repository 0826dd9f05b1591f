"""
Who may use the page and the API.

In import order (★ to read first)::

    refusals  The refusal of a request
    roles     The roles, and the access of a request
    csrf      The protection of actions against requests from other sites
    clients   The client of a request: its address, and whether a proxy is in between
    lockout   The lockout of addresses that send wrong tokens
    sessions  The sessions that a logout has ended
    views     ★ The access of the current request, and the role that a view needs
    accesses  Finds the access of a request: by its token, the header of its proxy, its session, or its peer
    audit     The audit lines of the log: who did what, to which name, from where
    login     The login of a browser: a token becomes a session in a signed cookie
"""

from certworker.web.access.accesses import Accesses
from certworker.web.access.audit import audit_names
from certworker.web.access.csrf import csrf_token
from certworker.web.access.refusals import Refused
from certworker.web.access.roles import Access, Role
from certworker.web.access.views import allowed, current_access

__all__ = [
    "Access",
    "Accesses",
    "Refused",
    "Role",
    "allowed",
    "audit_names",
    "csrf_token",
    "current_access",
]
