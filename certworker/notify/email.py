"""
E-mail to the operators, through the mail server in Appwrite's variables `_APP_SMTP_*`.
"""

from __future__ import annotations

import base64
import hmac
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal
from urllib.parse import unquote

from certworker.deadline import Deadline
from certworker.errors import printable
from certworker.notify.message import Notification, html, plain, subject

logger = logging.getLogger(__name__)

#: The time limit of a whole delivery. A server may delay mail from unknown senders on purpose.
LONGEST_SECONDS = 60.0

#: The code with which the server requests the next part of the authentication (RFC 4954, section 4).
CHALLENGE = 334
#: The codes for a client that is now authenticated, or already was.
AUTHENTICATED = (235, 503)


@dataclass(frozen=True)
class MailServer:
    """
    The mail server that accepts the mail, and how to connect to it.
    """

    host: str
    port: int
    #: `tls`: STARTTLS; `ssl`: TLS from the first byte; empty: STARTTLS if the server offers it.
    secure: Literal["", "tls", "ssl"]
    username: str | None
    password: str | None


@dataclass(frozen=True)
class Mailer:
    """
    Sends mail to all recipients.
    """

    server: MailServer
    sender: str
    #: May be URL-encoded, as in Appwrite's own files.
    sender_name: str
    recipients: tuple[str, ...]
    #: The time limit of one delivery.
    seconds: float = LONGEST_SECONDS

    def send(self, notifications: Sequence[Notification]) -> None:
        """
        Send one mail about all *notifications*.

        An address with non-ASCII letters before the @ needs a server with SMTPUTF8 (RFC 6531).

        If the server refuses only some of the recipients, the others get the mail. So the mail counts as
        sent, and the refused recipients are logged.

        Raises:
            OSError: The server did not accept the mail within *seconds*, or refused all recipients. The
                errors of smtplib are also OSErrors.
        """
        mail = self._message(notifications)
        with self._session() as server:
            refused = server.send_message(mail, self.sender, self.recipients)
        if refused:
            replies = (
                f"{printable(address)} ({code} {printable(text.decode(errors='replace'))})"
                for address, (code, text) in refused.items()
            )
            logger.warning("%s refused recipients of a notification: %s", self.address, ", ".join(replies))

    @property
    def address(self) -> str:
        """
        Return the host and the port of the server.
        """
        return f"{self.server.host}:{self.server.port}"

    def check(self) -> None:
        """
        Connect to the server and authenticate as :meth:`send` does, but send no mail.

        Raises:
            OSError: The server did not accept the connection or the credentials within *seconds*.
        """
        with self._session():
            pass

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        server = _Session(self.server, Deadline(self.seconds))
        try:
            server.greet()
            if self.server.username:
                server.authenticate(self.server.username, self.server.password or "")
            yield server
        finally:
            # By now, the server has accepted or refused the mail, so errors of QUIT do not matter.
            with suppress(OSError):
                server.quit()
            server.close()

    def _message(self, notifications: Sequence[Notification]) -> EmailMessage:
        mailbox, _, domain = self.sender.rpartition("@")
        mail = EmailMessage()
        mail["Subject"] = subject(notifications)
        mail["From"] = Address(unquote(self.sender_name), mailbox, domain)
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain="certworker.invalid")
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents automatic replies.
        mail.set_content(plain(notifications))
        mail.add_alternative(html(notifications), subtype="html")
        return mail


class _Session(smtplib.SMTP):
    """
    A session within one deadline; user names and passwords are UTF-8 (RFC 4616, section 2; RFC 4954).
    """

    def __init__(self, server: MailServer, deadline: Deadline) -> None:
        self._server = server
        self._deadline = deadline
        # Without a given name, the library queries DNS for one, without a time limit.
        super().__init__(server.host, server.port, local_hostname=socket.gethostname())

    def greet(self) -> None:
        """
        Begin the session. Use STARTTLS if it is required, or if `secure` is empty and the server offers it.
        """
        if "." not in self.local_hostname and self.sock:
            # Some servers refuse a name without a dot. An address literal is valid (RFC 5321, section 4.1.3).
            own = self.sock.getsockname()[0]
            self.local_hostname = f"[IPv6:{own}]" if ":" in own else f"[{own}]"
        self.ehlo()
        secure = self._server.secure
        if secure == "tls" or (not secure and self.has_extn("starttls")):
            context = ssl.create_default_context()
            if not secure:
                # TLS is optional here, and encryption without verification is better than none.
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.starttls(context=self._deadline.within(context))
            # The server may offer other extensions over TLS, so the client forgets the first list
            # (RFC 3207, section 4.2).
            self.ehlo()

    def authenticate(self, user: str, password: str) -> None:
        """
        Authenticate with the first mechanism that the server offers and accepts.

        Raises:
            SMTPException: The server offers no supported mechanism or accepts none, or ends the session.
        """
        mechanisms: dict[str, list[Callable[[bytes], str]]] = {
            "CRAM-MD5": [lambda nonce: f"{user} {hmac.new(password.encode(), nonce, 'md5').hexdigest()}"],
            "PLAIN": [lambda _: f"\0{user}\0{password}"],
            "LOGIN": [lambda _: user, lambda _: password],
        }
        offered = self.esmtp_features.get("auth", "").upper().split()
        code, answer = 504, b"the server offers no mechanism that certworker supports"
        for mechanism in filter(offered.__contains__, mechanisms):
            code, answer = self._try(mechanism, mechanisms[mechanism])
            if code in AUTHENTICATED:
                return
        raise smtplib.SMTPAuthenticationError(code, answer)

    def _try(self, mechanism: str, answers: Sequence[Callable[[bytes], str]]) -> tuple[int, bytes]:
        code, text = self.docmd("AUTH", mechanism)
        for answer in answers:
            if code != CHALLENGE:
                break
            try:
                challenge = base64.b64decode(text)
            except ValueError:
                return 501, b"the challenge of the server is not base64"
            code, text = self.docmd(base64.b64encode(answer(challenge).encode()).decode())
        return code, text

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 (smtplib's signature)
        connection = self._deadline.connect_to(host, port)
        if self._server.secure != "ssl":
            return connection
        return self._deadline.secure(connection, ssl.create_default_context(), host)
