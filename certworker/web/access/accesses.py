"""
Finds the access of a request: its token, its session or its peer.
"""

from __future__ import annotations

from ipaddress import ip_address

from flask import Request

from certworker.web.access.roles import Access
from certworker.web.tokens import TokenFile


class Accesses:
    """
    Finds the access of a request.
    """

    def __init__(self, tokens: TokenFile, *, open_on_loopback: bool) -> None:
        """
        Args:
            tokens: The file with the tokens.
            open_on_loopback: Whether a request from this machine may read without a token.
        """
        self._tokens = tokens
        self._open_on_loopback = open_on_loopback

    def find(self, request: Request) -> Access | None:
        """
        Return the access of *request*; None if it has none.
        """
        if bearer := bearer_token(request):
            found = self._tokens.find(bearer)
            return Access(found.role, found.tenant, f"token {found.id}") if found else None
        if self._open_on_loopback and ip_address(request.remote_addr or "::").is_loopback:
            return Access("read", None, "loopback")
        return None


def bearer_token(request: Request) -> str:
    """
    Return the bearer token of *request* (RFC 6750); empty if it has none.
    """
    authorization = request.authorization
    return authorization.token or "" if authorization and authorization.type == "bearer" else ""
