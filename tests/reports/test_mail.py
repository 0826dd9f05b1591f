"""
Mail, handed in to a real server.
"""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path
from typing import Literal

import pytest

from certworker.reports.mail import MailServer, Postbox
from tests.reports.test_notice import FAILED
from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port


def postbox(
    port: int,
    secure: Literal["", "tls", "ssl"] = "",
    username: str | None = None,
    password: str | None = None,
) -> Postbox:
    """
    A postbox for a server on this machine.
    """
    server = MailServer("127.0.0.1", port, secure, username, password)
    return Postbox(server, "core@example.org", "My%20Appwrite", "ops@example.org")


class TestSend:
    def test_a_mail_has_text_and_html_and_comes_from_whom_the_settings_name(self) -> None:
        """
        The sender's name may be URL-encoded, as in Appwrite's files.
        """
        with MailReceiver() as receiver:
            postbox(receiver.port).send([FAILED])
        (mail,) = receiver.mails

        assert "My Appwrite <core@example.org>" == mail["From"]
        assert "ops@example.org" == mail["To"]
        assert "shop.example.org" in mail["Subject"]
        parts = {part.get_content_type(): part.get_content() for part in mail.iter_parts()}
        assert FAILED.remedy in parts["text/plain"]
        assert "<html>" in parts["text/html"]

    def test_a_server_that_asks_for_a_password_gets_it(self) -> None:
        """
        And refuses a wrong one as an OSError, like everything else.
        """
        with MailReceiver(password="secret") as receiver:
            postbox(receiver.port, "", "me", "secret").send([FAILED])
            with pytest.raises(smtplib.SMTPException):
                postbox(receiver.port, "", "me", "wrong").send([FAILED])

        assert 1 == len(receiver.mails)

    def test_tls_is_used_where_the_server_offers_it(self, tmp_path: Path) -> None:
        """
        Nobody has to ask for it.
        """
        with MailReceiver(starttls=tmp_path) as receiver:
            postbox(receiver.port).send([FAILED])

        assert [True] == receiver.encrypted

    def test_tls_that_was_asked_for_is_verified(self, tmp_path: Path) -> None:
        """
        A stranger's certificate gets neither password nor mail.
        """
        with MailReceiver(starttls=tmp_path) as receiver, pytest.raises(ssl.SSLError):
            postbox(receiver.port, "tls").send([FAILED])

        assert [] == receiver.mails

    @pytest.mark.parametrize("secure", ["", "tls", "ssl"])
    def test_a_server_that_is_away_is_an_oserror(self, secure: Literal["", "tls", "ssl"]) -> None:
        """
        The post office keeps the letter.
        """
        with pytest.raises(OSError, match="refused"):
            postbox(free_port(), secure).send([FAILED])
