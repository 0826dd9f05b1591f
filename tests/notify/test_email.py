"""
Tests of mails to a real server.
"""

from __future__ import annotations

import hmac
import smtplib
import socket
import socketserver
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from certworker.notify.email import Mailer, MailServer
from tests.notify.test_message import FAILED
from tests.servers.listening import TcpServer
from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port


def mailer_for(
    port: int,
    secure: Literal["", "tls", "ssl"] = "",
    username: str | None = None,
    password: str | None = None,
) -> Mailer:
    """
    Return a mailer for the server at *port* of this machine.
    """
    server = MailServer("127.0.0.1", port, secure, username, password)
    return Mailer(server, "core@example.org", "My%20Appwrite", ("ops@example.org",))


class TestSend:
    def test_a_mail_has_text_and_html_and_the_sender_of_the_settings(self) -> None:
        """
        A mail has both parts and the sender of the settings, whose name can be URL-encoded.
        """
        with MailReceiver() as receiver:
            mailer_for(receiver.port).send([FAILED])
        (mail,) = receiver.mails

        assert "My Appwrite <core@example.org>" == mail["From"]
        assert "ops@example.org" == mail["To"]
        assert "shop.example.org" in mail["Subject"]
        parts = {part.get_content_type(): part.get_content() for part in mail.iter_parts()}
        assert FAILED.remedy in parts["text/plain"]
        assert "<html>" in parts["text/html"]

    def test_a_server_that_requires_a_password_gets_it(self) -> None:
        """
        The mailer sends the password, and a wrong one raises an exception.
        """
        with MailReceiver(password="secret") as receiver:
            mailer_for(receiver.port, "", "me", "secret").send([FAILED])
            with pytest.raises(smtplib.SMTPAuthenticationError):
                mailer_for(receiver.port, "", "me", "wrong").send([FAILED])

        assert 1 == len(receiver.mails)

    @pytest.mark.parametrize("secure", ["", "tls", "ssl"])
    def test_the_password_is_sent_over_tls(
        self, secure: Literal["", "tls", "ssl"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The mailer sends the password over optional, required and implicit TLS, and wrong ones are refused.
        """
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail.pem"))
        starttls, tls = (None, tmp_path) if secure == "ssl" else (tmp_path, None)
        with MailReceiver(starttls=starttls, tls=tls, password="secret") as receiver:
            mailer_for(receiver.port, secure, "me", "secret").send([FAILED])
            mailer_for(receiver.port, secure, "me", "secret").check()
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                mailer_for(receiver.port, secure, "me", "wrong").send([FAILED])

        assert ["me", "me"] == receiver.users
        assert [True] == receiver.encrypted

    def test_the_extensions_of_a_server_are_those_over_tls(self, tmp_path: Path) -> None:
        """
        A server may offer authentication only over TLS (RFC 3207, section 4.2).
        """
        with MailReceiver(starttls=tmp_path, password="secret", clear_password=False) as receiver:
            mailer_for(receiver.port, "", "me", "secret").send([FAILED])

        assert ["me"] == receiver.users

    def test_tls_is_used_if_the_server_offers_it(self, tmp_path: Path) -> None:
        """
        The mailer uses TLS if the server offers it, without a setting.
        """
        with MailReceiver(starttls=tmp_path) as receiver:
            mailer_for(receiver.port).send([FAILED])

        assert [True] == receiver.encrypted

    def test_required_tls_is_verified(self, tmp_path: Path) -> None:
        """
        With required TLS and an unverified certificate, the mailer sends no password and no mail.
        """
        with MailReceiver(starttls=tmp_path) as receiver, pytest.raises(ssl.SSLError):
            mailer_for(receiver.port, "tls").send([FAILED])

        assert [] == receiver.mails

    @pytest.mark.parametrize("secure", ["", "tls", "ssl"])
    def test_an_unreachable_server_is_an_oserror(self, secure: Literal["", "tls", "ssl"]) -> None:
        """
        An unreachable server raises OSError, so that the notification remains in the outbox.
        """
        with pytest.raises(OSError, match="refused"):
            mailer_for(free_port(), secure).send([FAILED])

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    def test_users_and_passwords_can_have_any_letters(self, mechanism: str) -> None:
        """
        The mailer sends the user and the password in UTF-8 (RFC 4616, section 2).
        """
        with MailReceiver(password="pässwört €", mechanisms=(mechanism,)) as receiver:
            mailer_for(receiver.port, "", "jürgen", "pässwört €").send([FAILED])

        assert ["jürgen"] == receiver.users

    def test_a_challenge_is_answered(self) -> None:
        """
        The mailer answers a challenge without sending the password (RFC 2195, section 2).
        """
        challenge = b"<1896.697170952@postoffice.reston.mci.net>"
        proof = hmac.new("tänstääftänstääf".encode(), challenge, "md5").hexdigest()
        answers = {
            b"EHLO": b"250-here\r\n250 AUTH CRAM-MD5\r\n",
            b"AUTH": b"334 " + b64encode(challenge) + b"\r\n",
            b64encode(f"tim {proof}".encode()): b"235 welcome\r\n",
            b"MAIL": b"250 OK\r\n",
            b"RCPT": b"250 OK\r\n",
            b"DATA": b"354 go ahead\r\n",
            b".": b"250 OK\r\n",
        }
        with scripted(answers) as port:
            mailer_for(port, "", "tim", "tänstääftänstääf").send([FAILED])

    def test_a_server_without_a_known_mechanism_refuses(self) -> None:
        """
        A server without a known mechanism raises an exception with the reason.
        """
        answers = {b"EHLO": b"250-here\r\n250 AUTH GSSAPI\r\n"}
        with scripted(answers) as port, pytest.raises(smtplib.SMTPException, match="no mechanism"):
            mailer_for(port, "", "me", "secret").send([FAILED])

    def test_an_international_sender_needs_smtputf8(self) -> None:
        """
        A sender with other letters needs a server with SMTPUTF8 (RFC 6531).
        """
        with MailReceiver(smtputf8=True) as able, MailReceiver() as unable:
            for receiver in (able, unable):
                sender = replace(mailer_for(receiver.port), sender="bücher@example.org", sender_name="Bücher")
                if receiver is able:
                    sender.send([FAILED])
                else:
                    with pytest.raises(smtplib.SMTPNotSupportedError):
                        sender.send([FAILED])

        assert ["bücher@example.org"] == able.senders
        assert "Bücher <bücher@example.org>" == able.mails[0]["From"]
        assert [] == unable.senders

    def test_a_failed_quit_is_no_failure(self) -> None:
        """
        A mail that the server has accepted is not sent again after a failed QUIT.
        """
        answers = {
            b"EHLO": b"250 here\r\n",
            b"MAIL": b"250 OK\r\n",
            b"RCPT": b"250 OK\r\n",
            b"DATA": b"354 go ahead\r\n",
            b".": b"250 OK\r\n",
            b"QUIT": b"421 too busy\r\n",
        }
        with scripted(answers) as port:
            mailer_for(port).send([FAILED])

    def test_a_mail_can_have_several_recipients(self) -> None:
        """
        The mailer sends a mail to each of several recipients.
        """
        with MailReceiver() as receiver:
            replace(mailer_for(receiver.port), recipients=("ops@example.org", "dev@example.org")).send(
                [FAILED]
            )

        assert "ops@example.org, dev@example.org" == receiver.mails[0]["To"]

    def test_refused_recipients_are_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A mail that some recipients got is sent, and a warning names the refused recipients and the reason.
        """
        with MailReceiver(unknown=("left@example.org",)) as receiver:
            mailer = replace(mailer_for(receiver.port), recipients=("ops@example.org", "left@example.org"))
            mailer.send([FAILED])
            address = mailer.address

        assert [["ops@example.org"]] == receiver.recipients
        refused = "left@example.org (550 5.1.1 no such user)"
        assert [f"{address} refused recipients of a notification: {refused}"] == caplog.messages

    def test_a_mail_without_recipients_is_an_oserror(self) -> None:
        """
        A mail whose recipients are all refused raises OSError, so that it remains in the outbox.
        """
        unknown = ("ops@example.org",)
        with MailReceiver(unknown=unknown) as receiver, pytest.raises(OSError, match="no such user"):
            mailer_for(receiver.port).send([FAILED])

        assert [] == receiver.mails

    @pytest.mark.parametrize("trickled", [b"220-", b"250-"])
    def test_an_endless_answer_is_a_timeout(self, trickled: bytes) -> None:
        """
        A response that is not complete within the timeout raises OSError.
        """
        greeting = b"220 here\r\n" if trickled == b"250-" else b""
        server = trickling(greeting, trickled + b"more\r\n")
        with server as port, pytest.raises(OSError, match=r"within 0\.3 s"):
            replace(mailer_for(port), seconds=0.3).send([FAILED])

    def test_the_name_of_this_machine_is_not_resolved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The greeting has an address (RFC 5321, section 4.1.3), because a resolver could delay the mail.
        """
        monkeypatch.setattr(socket, "gethostname", lambda: "0123456789ab")
        monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("the name was resolved"))
        greeted: list[bytes] = []
        with scripted({}, greeted) as port, pytest.raises(smtplib.SMTPException):
            mailer_for(port).send([FAILED])

        assert b"EHLO [127.0.0.1]" == greeted[0].upper()


@contextmanager
def scripted(answers: Mapping[bytes, bytes], received: list[bytes] | None = None) -> Iterator[int]:
    """
    Yield the port of a server that answers the first word of each line, and refuses unknown words.
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            mail = False
            for line in self.rfile:
                word = line.strip().split(b" ")[0]
                if received is not None:
                    received.append(line.strip())
                if mail and word != b".":
                    continue
                # Only the commands of SMTP are case-insensitive.
                mail = word.upper() == b"DATA"
                self.wfile.write(answers.get(word) or answers.get(word.upper()) or b"500 what?\r\n")

    with TcpServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def trickling(greeting: bytes, line: bytes) -> Iterator[int]:
    """
    Yield the port of a server that sends *greeting*, and then *line* repeatedly.
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.wfile.write(greeting)
                for _ in range(1_000):
                    self.wfile.write(line)
                    time.sleep(0.02)

    with TcpServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
