"""
A real SMTP server that stores its mails.
"""

from __future__ import annotations

import datetime
import ssl
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.ports import free_port


class MailReceiver:
    """
    An SMTP server on the loopback interface. As a context manager it starts and stops.

    Args:
        starttls: The directory of its certificate `mail.pem`, if it offers STARTTLS.
        tls: The directory of its certificate `mail.pem`, if it uses TLS from the first byte.
        password: The required password, if any.
        clear_password: Whether it offers authentication without TLS.
        mechanisms: The authentication mechanisms that it offers.
        smtputf8: Whether addresses may have characters outside ASCII.
        unknown: The recipients that it refuses.
    """

    def __init__(
        self,
        *,
        starttls: Path | None = None,
        tls: Path | None = None,
        password: str | None = None,
        clear_password: bool = True,
        mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN"),
        smtputf8: bool = False,
        unknown: tuple[str, ...] = (),
    ) -> None:
        self.mails: list[EmailMessage] = []
        #: The authenticated user of each mail, and the sender of each mail.
        self.users: list[str] = []
        self.senders: list[str] = []
        #: The recipients of each mail.
        self.recipients: list[list[str]] = []
        #: Whether the connection of each mail was encrypted.
        self.encrypted: list[bool] = []
        self.port = free_port()
        options: dict[str, Any] = {"enable_SMTPUTF8": smtputf8}
        if starttls:
            options["tls_context"] = _context(starttls)
        if tls:
            options["ssl_context"] = _context(tls)
        if password:
            options |= {
                "auth_required": True,
                "auth_require_tls": not clear_password,
                "auth_exclude_mechanism": {"PLAIN", "LOGIN"} - set(mechanisms),
                "authenticator": self._authenticated,
            }
        self._unknown = unknown
        self._password = (password or "").encode()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """
        Accept or refuse a recipient. aiosmtpd calls this method.
        """
        if address in self._unknown:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: object, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """
        Store a mail. aiosmtpd calls this method.
        """
        self.senders.append(str(envelope.mail_from))
        parsed = BytesParser(policy=default).parsebytes(envelope.original_content or b"")
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.recipients.append([str(each) for each in envelope.rcpt_tos])
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"

    def _authenticated(
        self, _server: object, _session: object, _envelope: object, _mechanism: str, given: Any
    ) -> AuthResult:
        success = given.password == self._password
        if success:
            self.users.append(given.login.decode())
        return AuthResult(success=success, handled=False)


def _context(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "mail.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
