"""
Tests of `certworker notify test`, with a real mail server and a real web server.
"""

from __future__ import annotations

from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always
from tests.servers.worker import WorkerProcess

ADDRESS = "ops@shop.dev"


class TestNotify:
    def test_each_channel_gets_a_notification(self, worker: WorkerProcess) -> None:
        """
        The command sends a notification over each channel, without a worker.
        """
        with MailReceiver() as mail, WebServer(always(200, b"ok")) as web:
            worker.environment |= {
                "_APP_DOMAIN": "shop.example.org",
                "_APP_EMAIL_CERTIFICATES": ADDRESS,
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(mail.port),
                "CERTWORKER_NOTIFY_URL": f"http://127.0.0.1:{web.port}/secret",
                "CERTWORKER_PRIVATE_NETWORK": "true",
            }
            ended = worker.command("notify", "test")
            mails = mail.mails

        assert 0 == ended.returncode, ended.stderr
        assert [ADDRESS] == [each["To"] for each in mails]
        assert "certworker: shop.example.org: test notification" == mails[0]["Subject"]
        mail_line, hook_line = ended.stdout.splitlines()
        assert mail_line.startswith(f"mail: 127.0.0.1:{mail.port} accepted the test notification ")
        assert hook_line.startswith(f"webhook: 127.0.0.1:{web.port} accepted the test notification ")
        assert "secret" not in ended.stdout

    def test_each_failed_channel_is_reported_with_its_reason(self, worker: WorkerProcess) -> None:
        """
        After a failed channel, the command tries the next one, and reports each reason.
        """
        worker.environment |= {
            "_APP_EMAIL_CERTIFICATES": ADDRESS,
            "_APP_SMTP_HOST": "127.0.0.1",
            "_APP_SMTP_PORT": str(free_port()),
            "CERTWORKER_NOTIFY_URL": "http://127.0.0.1:9/",
            "CERTWORKER_PRIVATE_NETWORK": "false",
        }
        ended = worker.command("notify", "test")
        mail_line, hook_line = ended.stderr.splitlines()

        assert 1 == ended.returncode
        assert "mail: [notice.undelivered]" in mail_line
        assert "refused" in mail_line
        assert hook_line.startswith("webhook: [notice.undelivered] Cannot deliver notifications by webhook (")
        assert "to allow it, set CERTWORKER_PRIVATE_NETWORK=true" in hook_line

    def test_without_a_channel_it_is_a_usage_error(self, worker: WorkerProcess) -> None:
        """
        Without a channel, the command fails and names the settings.
        """
        ended = worker.command("notify", "test")

        assert 2 == ended.returncode
        for variable in ("_APP_SMTP_HOST", "_APP_EMAIL_CERTIFICATES", "CERTWORKER_NOTIFY_URL"):
            assert variable in ended.stderr
