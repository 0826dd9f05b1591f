"""
The e-mail about a failure that needs an action of the operator.
"""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from certworker.notify.message import HEADLINES
from tests.scenarios.installation import Installation
from tests.scenarios.scenario import all_scenarios, job
from tests.servers.mail import MailReceiver

#: Failures that need an action. Without an address (config.email_missing), only the webhook reports the
#: failure.
FOR_A_PERSON = (
    "rate.paused",
    *("acct.blocked", "acct.eab", "acct.key_unreadable", "acct.tos"),
    *("acme.invalid_profile", "config.not_production", "fs.readonly", "name.policy"),
)


def text_of(mail: EmailMessage) -> str:
    """
    Return the plain text of *mail*.
    """
    part = mail.get_body(("plain",))
    assert part
    return str(part.get_content())


@pytest.mark.parametrize("code", FOR_A_PERSON)
def test_a_failure_that_needs_an_action_is_notified_once(code: str, installation: Installation) -> None:
    """
    certworker sends one notification with the remedy, and none for further attempts.
    """
    scenario = next(each for each in all_scenarios() if each.code == code and each.shows == "job")
    with MailReceiver() as receiver:
        scenario.build(installation)
        installation.settings |= {"_APP_SMTP_HOST": "127.0.0.1", "_APP_SMTP_PORT": str(receiver.port)}
        installation.settings.setdefault("_APP_EMAIL_CERTIFICATES", "ops@shop.org")
        app = installation.open()
        for _ in range(3):
            job(app, installation.name, **installation.arguments)
            app.notifier.deliver("mail")

    (mail,) = receiver.mails
    assert HEADLINES["action"] in mail["Subject"]
    assert scenario.remedy in text_of(mail)
