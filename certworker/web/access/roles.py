"""
The roles, and the access of a request.
"""

from __future__ import annotations

from dataclasses import dataclass

from certworker.settings.web import USER_ROLES, Role

__all__ = ["Access", "Role"]

#: The identity of a request from this machine without a token.
LOCAL = "loopback"


@dataclass(frozen=True)
class Access:
    """
    The access of a request.

    Attributes:
        role: What the request may do.
        tenant: The only tenant whose names the request may see; None for all names.
        identity: Who sends the request, for logs and histories: a token, a user of the proxy, or "loopback".
    """

    role: Role
    tenant: str | None
    identity: str

    @property
    def is_local(self) -> bool:
        """
        Return whether this is the access of this machine without a token.
        """
        return self.identity == LOCAL

    def may(self, role: Role) -> bool:
        """
        Return whether this access includes *role*. The role `proxy` includes no other role,
        and no other role includes it.
        """
        included = USER_ROLES[: USER_ROLES.index(self.role) + 1] if self.role in USER_ROLES else (self.role,)
        return role in included
