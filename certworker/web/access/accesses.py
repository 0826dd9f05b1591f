"""
Finds the access of a request: by its token, the header of its proxy, its session, or because it is local.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from flask import Request, session

from certworker.settings.web import Network, TrustedHeader
from certworker.web.access.clients import Client, client_of
from certworker.web.access.lockout import Lockout
from certworker.web.access.refusals import Refused
from certworker.web.access.roles import LOCAL, Access
from certworker.web.access.sessions import EndedSessions
from certworker.web.tokens import Token, TokenFile, is_random

#: A user in the header of a proxy: a name or an e-mail address.
USER = re.compile(r"[\w.@+-]{1,100}")
#: The credentials of a request with a token (RFC 6750, section 2.1). The parser of werkzeug fails on some
#: other credentials.
BEARER = re.compile(r"Bearer +([!-~]+) *", re.IGNORECASE)
#: The beginning of the identity of a request with a token.
IDENTITY = "token "


class Accesses:
    """
    Finds the access of a request.

    Attributes:
        lockout: The addresses that have sent wrong tokens.
        sessions: The sessions that a logout has ended.
    """

    def __init__(
        self,
        tokens: TokenFile,
        *,
        open_on_loopback: bool,
        proxies: Iterable[Network],
        sessions: EndedSessions,
        header: TrustedHeader | None = None,
        lockout: Lockout | None = None,
    ) -> None:
        """
        Args:
            tokens: The file with the tokens.
            open_on_loopback: Whether a request from this machine may read without a token, as long as the
                file with the tokens is missing.
            proxies: The networks of the trusted proxies.
            sessions: The sessions that a logout has ended.
            header: The header in which a trusted proxy names the user; None if there is none.
            lockout: The addresses that have sent wrong tokens; None for a new one.
        """
        self._tokens = tokens
        self._open_on_loopback = open_on_loopback
        self._proxies = tuple(proxies)
        self._header = header
        self.sessions = sessions
        self.lockout = lockout or Lockout()

    def client(self, request: Request) -> Client:
        """
        Return the client of *request*.
        """
        return client_of(request, self._proxies)

    def find(self, request: Request, client: Client) -> Access | None:
        """
        Return the access of *request*; None if it has none.

        Raises:
            Refused: The bearer token is wrong, or is not random and the address of *client* is locked out.
        """
        if bearer := bearer_token(request):
            return access_with(self.check(bearer, client))
        if user := self._user(request, client):
            return user
        token = self._tokens.with_id(str(session.get("token", "")))
        if token and not self.sessions.has_ended(session_id()):
            return access_with(token)
        if self._open_on_loopback and client.is_local and self._tokens.is_missing():
            return Access("read", None, LOCAL)
        return None

    def is_current(self, access: Access, session_id: str = "") -> bool:
        """
        Return whether *access* is still valid during a long response.

        An access ends with its session, and when its token is changed or revoked. During the response, an
        access by the header of a proxy, or of a local user, does not end.

        Args:
            access: The access at the start of the response.
            session_id: The session of the request; empty without a session.
        """
        if session_id and self.sessions.has_ended(session_id):
            return False
        if not access.identity.startswith(IDENTITY):
            return True
        token = self._tokens.with_id(access.identity.removeprefix(IDENTITY))
        return token is not None and access_with(token) == access

    def check(self, text: str, client: Client) -> Token:
        """
        Return the token whose secret is *text*.

        Raises:
            Refused: The token is wrong, or is not random and the address is locked out.
        """
        # A random token is valid even from a locked address: clients may share the address, and no guess
        # finds such a token.
        token = self._tokens.find(text)
        if token and is_random(text):
            return token
        if left := math.ceil(self.lockout.seconds_left(client.address)):
            raise Refused(
                429,
                "Too many wrong tokens came from this address.",
                f"Wait {left} s.",
                retry_after=left,
            )
        if token is None:
            self.lockout.record_failure(client.address)
            remedy = "Create another token with the needed role: certworker token create --role ROLE"
            raise Refused(401, "The token is wrong.", remedy)
        self.lockout.record_success(client.address)
        return token

    def _user(self, request: Request, client: Client) -> Access | None:
        if self._header is None or not client.is_by_proxy:
            return None
        # If a client adds a second header, the value is a list, which is not a valid user.
        user = request.headers.get(self._header.name, "")
        return Access(self._header.role, None, f"user {user}") if USER.fullmatch(user) else None


def access_with(token: Token) -> Access:
    """
    Return the access that *token* gives.
    """
    return Access(token.role, token.tenant, f"{IDENTITY}{token.id}")


def session_id() -> str:
    """
    Return the random number of the session of the current request; empty if it has none.
    """
    return str(session.get("nonce", ""))


def bearer_token(request: Request) -> str:
    """
    Return the bearer token of *request* (RFC 6750); empty if it has none.
    """
    found = BEARER.fullmatch(request.headers.get("Authorization", ""))
    return found[1] if found else ""
