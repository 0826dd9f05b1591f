"""
Who may use the page and the API.

In import order::

    refusals  The refusal of a request
    roles     The roles, and the access of a request
    csrf      The tokens that protect actions against requests of other sites
    views     ★ The access of the running request, and the role that a view needs
    accesses  Finds the access of a request: its token, its session or its peer
"""

from certworker.web.access.accesses import Accesses
from certworker.web.access.csrf import csrf_token
from certworker.web.access.refusals import Refused
from certworker.web.access.roles import Access, Role
from certworker.web.access.views import allowed, current_access

__all__ = ["Access", "Accesses", "Refused", "Role", "allowed", "csrf_token", "current_access"]
