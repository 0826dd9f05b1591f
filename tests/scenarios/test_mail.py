"""
The mail that arrives when nobody but a human can go on.
"""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from certworker.notify.message import HEADLINES
from tests.scenarios.scenario import all_scenes, job
from tests.scenarios.worlds import Stage
from tests.servers.mail import MailReceiver

#: Nothing but a human ends these; without an address (config.email_missing) only the hook could tell.
FOR_A_HUMAN = (
    "rate.paused",
    *("acct.blocked", "acct.eab", "acct.key_unreadable", "acct.tos"),
    *("acme.invalid_profile", "config.not_production", "fs.readonly", "name.policy"),
)


def text_of(mail: EmailMessage) -> str:
    """
    What a person reads.
    """
    part = mail.get_body(("plain",))
    assert part
    return str(part.get_content())


@pytest.mark.parametrize("code", FOR_A_HUMAN)
def test_what_only_a_human_ends_is_told_once(code: str, stage: Stage) -> None:
    """
    With the remedy, however often it is tried.
    """
    scene = next(each for each in all_scenes() if each.code == code and each.shows == "job")
    with MailReceiver() as receiver:
        scene.build(stage)
        stage.settings |= {"_APP_SMTP_HOST": "127.0.0.1", "_APP_SMTP_PORT": str(receiver.port)}
        stage.settings.setdefault("_APP_EMAIL_CERTIFICATES", "ops@shop.org")
        app = stage.open()
        for _ in range(3):
            job(app, stage.name, **stage.arguments)
            app.notifier.deliver("mail")

    (mail,) = receiver.mails
    assert HEADLINES["action"] in mail["Subject"]
    assert scene.remedy in text_of(mail)
