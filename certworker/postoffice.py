"""
Decides what a human is told, and delivers it by each channel, none of which waits for another one.

A name is written about when it fails for the first time, when it becomes overdue, when nothing goes on
without a human, and when it has recovered. What happens within half a minute goes into one letter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from redis import Redis

from certworker.errors import CertworkerError, Retry, printable
from certworker.errors.machine import NoticeUndelivered
from certworker.ledger.outbox import Outbox, Told
from certworker.renewal import Life
from certworker.reports.hooks import Hook
from certworker.reports.mail import MailServer, Postbox
from certworker.reports.notice import Kind, Notice, read, sort
from certworker.settings import Settings

logger = logging.getLogger(__name__)

#: With less of its life left, a certificate that cannot be renewed is overdue.
OVERDUE_SHARE = 1 / 5

#: Nothing but a human ends these: the same request would get the same answer, today and tomorrow.
NOT_BY_ITSELF = (Retry.CONFIG, Retry.NEVER)


@dataclass(frozen=True)
class Channel:
    """
    One way to people.
    """

    outbox: Outbox
    send: Callable[[Sequence[Notice]], None]


class PostOffice:
    """
    Writes and delivers.

    Args:
        told: What has been written already.
        channels: By name, `mail` and `hook`; without any of them nothing is written.
    """

    def __init__(self, told: Told, channels: Mapping[str, Channel]) -> None:
        self._told = told
        self._channels = channels
        self._silent: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, connection: Redis) -> PostOffice:
        """
        The post office that *settings* describe.
        """
        senders: dict[str, Callable[[Sequence[Notice]], None]] = {}
        if settings.smtp_host and settings.email:
            password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
            server = MailServer(
                settings.smtp_host, settings.smtp_port, settings.smtp_secure, settings.smtp_username, password
            )
            sender, recipients = settings.mail_sender, settings.mail_recipients
            postbox = Postbox(server, sender, settings.mail_sender_name, recipients)
            senders["mail"] = postbox.send
        if settings.notify_url:
            secret = settings.notify_secret.get_secret_value() if settings.notify_secret else None
            senders["hook"] = Hook(settings.notify_url, secret, settings.private_network).send
        channels = {name: Channel(Outbox(connection, name), send) for name, send in senders.items()}
        return cls(Told(connection), channels)

    @property
    def channels(self) -> tuple[str, ...]:
        """
        The names of the channels.
        """
        return tuple(self._channels)

    def failed(
        self, name: str, failure: CertworkerError, life: Life | None, again: datetime | None, now: datetime
    ) -> None:
        """
        An attempt for *name* failed; *life* is that of the certificate in service, *again* the next attempt.
        """
        if not self._channels:
            return
        kinds: list[Kind] = ["action" if failure.retry in NOT_BY_ITSELF else "failed"]
        if life and life.left(now) < OVERDUE_SHARE:
            kinds.append("overdue")
        for kind in kinds:
            notice = Notice(
                kind=kind,
                name=name,
                code=failure.code,
                message=failure.message,
                remedy=failure.remedy,
                days_left=(life.not_after - now).days if life else None,
                next_attempt=f"{again:%Y-%m-%d %H:%M} UTC" if again else "",
            )
            what = f"{kind} {failure.code}" if kind == "action" else kind
            self._told.tell_once(name, what, notice.as_json(), self._outboxes)

    def succeeded(self, name: str, life: Life, now: datetime) -> None:
        """
        *name* has a certificate that is valid and not due.
        """
        if self._channels:
            notice = Notice("recovered", name, "", "", "", (life.not_after - now).days, "")
            self._told.take_back(name, notice.as_json(), self._outboxes)

    def deliver(self, channel: str) -> None:
        """
        Deliver by *channel* what waits for it.

        Whatever goes wrong there is logged once, and the notifications stay for the next delivery.

        Raises:
            redis.RedisError: Redis failed.
        """
        outbox, send = self._channels[channel].outbox, self._channels[channel].send
        try:
            count = outbox.deliver(read, partial(_send, send))
        except _Undelivered as undelivered:
            self._report(channel, undelivered)
            return
        if count and channel in self._silent:
            self._silent.discard(channel)
            logger.info("the notices by %s are delivered again", channel)

    @property
    def _outboxes(self) -> list[Outbox]:
        return [channel.outbox for channel in self._channels.values()]

    def _report(self, channel: str, undelivered: _Undelivered) -> None:
        if channel in self._silent:
            return
        self._silent.add(channel)
        fault = undelivered.fault
        failure = NoticeUndelivered(channel=channel, reason=printable(fault) or type(fault).__name__)
        # A network or a server that fails is expected; anything else is a fault of this program.
        trace = None if isinstance(fault, OSError) else fault
        logger.warning("%s", failure, extra={"code": failure.code}, exc_info=trace)


class _Undelivered(Exception):
    """
    A channel raised *fault*.
    """

    def __init__(self, fault: Exception) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _send(send: Callable[[Sequence[Notice]], None], notices: Sequence[Notice]) -> None:
    try:
        send(sort(notices))
    except Exception as fault:
        raise _Undelivered(fault) from fault
