"""
Mail to the people who run it, by the `_APP_SMTP_*` variables as Appwrite has them.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from typing import Literal
from urllib.parse import unquote

from certworker.reports.notice import Notice, html, plain, subject

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class MailServer:
    """
    Where mail is handed in.
    """

    host: str
    port: int
    #: `tls`: STARTTLS; `ssl`: TLS from the first byte; empty: TLS if the server offers it.
    secure: Literal["", "tls", "ssl"]
    username: str | None
    password: str | None


@dataclass(frozen=True)
class Postbox:
    """
    Writes to one address.
    """

    server: MailServer
    sender: str
    #: May be URL-encoded, as in Appwrite's own files.
    sender_name: str
    recipient: str

    def send(self, notices: Sequence[Notice]) -> None:
        """
        One mail about all *notices*.

        Raises:
            OSError: The server did not take it (smtplib's errors are such, too).
        """
        with self._connected() as server:
            if self.server.username:
                server.login(self.server.username, self.server.password or "")
            server.send_message(self._mail(notices))

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        host, port = self.server.host, self.server.port
        if self.server.secure == "ssl":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
        server.ehlo()
        if self.server.secure == "tls" or server.has_extn("starttls"):
            if self.server.secure != "tls":
                # Nobody asked for it: a certificate that is not verified beats no encryption at all.
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            server.starttls(context=context)
        return server

    def _mail(self, notices: Sequence[Notice]) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = subject(notices)
        mail["From"] = formataddr((unquote(self.sender_name), self.sender))
        mail["To"] = self.recipient
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain="certworker.invalid")
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes, please
        mail.set_content(plain(notices))
        mail.add_alternative(html(notices), subtype="html")
        return mail
