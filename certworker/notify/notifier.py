"""
Decides which events cause a notification, and delivers through each channel independently.

A name causes a notification when it first fails, becomes overdue, needs an action by the operator, has an
imported certificate that expires soon or has expired, or recovers. :mod:`certworker.state.outbox` decides
when the worker repeats a notification. Notifications within half a minute share a delivery.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from redis import Redis

from certworker.errors import CertworkerError, Retry, printable
from certworker.errors.dns import Moved
from certworker.errors.pages import reference_of
from certworker.errors.worker import NotificationUndelivered
from certworker.notify.message import InService, Kind, Notification, iso, read, sort
from certworker.notify.webhook import Webhook
from certworker.settings import Settings
from certworker.state.outbox import NotificationLog, Outbox
from certworker.validity import Validity

if TYPE_CHECKING:
    from certworker.notify.email import Mailer

logger = logging.getLogger(__name__)

#: A certificate whose renewal fails is overdue if less than this share of its lifetime is left.
OVERDUE_SHARE = 1 / 5

#: Failures that a retry alone cannot fix: the operator must change the configuration or the request.
NEEDS_ACTION = (Retry.CONFIG, Retry.NEVER)


@dataclass(frozen=True)
class Channel:
    """
    A way to deliver notifications.
    """

    outbox: Outbox
    send: Callable[[Sequence[Notification]], None]


class Notifier:
    """
    Stores and delivers notifications.

    Args:
        log: Stores each notification in the outboxes, and which subjects had one.
        channels: The channels by name, `mail` and `hook`. Without a channel, the notifier stores only which
            reminders it has made.
        life_of: Returns the validity of the certificate in service for a name, or None. It raises a
            CertworkerError if the volume cannot be read.
        instance: The name of the installation in notifications.
        docs_url: The site with the page of each failure; None: notifications contain the command that prints
            the page.
    """

    def __init__(
        self,
        log: NotificationLog,
        channels: Mapping[str, Channel],
        life_of: Callable[[str], Validity | None],
        *,
        instance: str,
        docs_url: str | None = None,
    ) -> None:
        self._log = log
        self._channels = channels
        self._life_of = life_of
        self._instance = instance
        self._docs_url = docs_url
        self._silent: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, connection: Redis, life_of: Callable[[str], Validity | None]) -> Notifier:
        """
        Return the notifier of *settings*; see :class:`Notifier` for *life_of*.
        """
        channels = {
            name: Channel(Outbox(connection, name), receiver.send)
            for name, receiver in receivers(settings).items()
        }
        instance, docs_url = instance_of(settings), settings.docs_url
        return cls(NotificationLog(connection), channels, life_of, instance=instance, docs_url=docs_url)

    @property
    def channels(self) -> tuple[str, ...]:
        """
        Return the names of the channels.
        """
        return tuple(self._channels)

    def waiting(self) -> dict[str, int]:
        """
        Return how many notifications are waiting in each channel.
        """
        return {name: len(channel.outbox) for name, channel in self._channels.items()}

    def notify_failed(
        self, name: str, failure: CertworkerError, again: datetime | None, now: datetime
    ) -> None:
        """
        Notify about a failed attempt for *name*, unless *name* already had such a notification.

        Another notification reports that the certificate in service is overdue. Failures that need an action
        by the operator count separately for each code. After a recovery, or after 90 days, a failure causes
        a new notification.

        Args:
            name: The name.
            failure: The failure of the attempt.
            again: The time of the next attempt; None if none is planned.
            now: The time of the event.

        Raises:
            redis.RedisError: Redis failed.
        """
        if not self._channels:
            return
        kinds: list[Kind] = ["action" if failure.retry in NEEDS_ACTION else "failed"]
        in_service, life = self._in_service(name, now)
        # A moved name is not renewed, so its certificate may expire.
        if life and life.left(now) < OVERDUE_SHARE and not isinstance(failure, Moved):
            kinds.append("overdue")
        for kind in kinds:
            subject = f"{kind} {failure.code}" if kind == "action" else kind
            notification = self._notification(kind, name, failure, in_service, life, again, now)
            self._log.notify_once(name, subject, notification.as_json(), self._outboxes)

    def remind(self, name: str, subject: str, failure: CertworkerError, now: datetime) -> bool:
        """
        Notify that the imported certificate of *name* expires soon or has expired, unless *subject* already
        had a reminder.

        Args:
            name: The name.
            subject: Identifies the certificate and the reminder.
            failure: What the notification reports.
            now: The time of the event.

        Returns:
            Whether the reminder is new, even without a channel.

        Raises:
            redis.RedisError: Redis failed.
        """
        notification = self._notification("ending", name, failure, *self._in_service(name, now), None, now)
        return self._log.remind_once(name, subject, notification.as_json(), self._outboxes)

    def notify_recovered(self, name: str, now: datetime) -> None:
        """
        Notify that *name* has a valid certificate again, if there was a notification about its failure.

        Raises:
            redis.RedisError: Redis failed.
        """
        if self._channels:
            notification = self._notification(
                "recovered", name, None, *self._in_service(name, now), None, now
            )
            self._log.notify_recovery(name, notification.as_json(), self._outboxes)

    def _in_service(self, name: str, now: datetime) -> tuple[InService, Validity | None]:
        # If the volume cannot be read, the notification contains nothing about the certificate.
        try:
            life = self._life_of(name)
        except CertworkerError:
            return "unknown", None
        if life is None:
            return "none", None
        return "valid" if now < life.not_after else "expired", life

    def _notification(
        self,
        kind: Kind,
        name: str,
        failure: CertworkerError | None,
        in_service: InService,
        life: Validity | None,
        again: datetime | None,
        now: datetime,
    ) -> Notification:
        return Notification(
            kind=kind,
            name=name,
            code=failure.code if failure else "",
            message=failure.message if failure else "",
            remedy=failure.docker_remedy if failure else "",
            in_service=in_service,
            days_left=(life.not_after - now).days if life and in_service == "valid" else None,
            next_attempt=iso(again) if again else "",
            moment=iso(now),
            id=secrets.token_hex(8),
            instance=self._instance,
            host=socket.gethostname(),
            docs=reference_of(failure.code, self._docs_url) if failure else "",
        )

    def deliver(self, channel: str) -> None:
        """
        Deliver the waiting notifications of *channel*.

        The notifications of a failed delivery stay in the outbox. This worker logs only the first of several
        consecutive failures.

        Raises:
            redis.RedisError: Redis failed.
        """
        outbox, send = self._channels[channel].outbox, self._channels[channel].send
        try:
            count = outbox.deliver(read, partial(_send, send))
        except _Undelivered as failed:
            self._report(channel, failed.fault)
            return
        if count and channel in self._silent:
            self._silent.discard(channel)
            logger.info("the delivery of notifications by %s works again", in_words(channel))

    @property
    def _outboxes(self) -> list[Outbox]:
        return [channel.outbox for channel in self._channels.values()]

    def _report(self, channel: str, fault: Exception) -> None:
        if channel in self._silent:
            return
        self._silent.add(channel)
        failure = undelivered(channel, fault)
        # A failure of the network or of a server is expected. Anything else is a bug in this program.
        trace = None if isinstance(fault, OSError) else fault
        logger.warning("%s", failure, extra={"code": failure.code}, exc_info=trace)


def receivers(settings: Settings) -> dict[str, Mailer | Webhook]:
    """
    Return the configured receivers by channel, `mail` and `hook`.
    """
    found: dict[str, Mailer | Webhook] = {}
    if settings.smtp_host and settings.email:
        # The libraries for e-mail take a megabyte of memory, and most workers do not need them.
        from certworker.notify.email import Mailer, MailServer

        password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
        server = MailServer(
            settings.smtp_host, settings.smtp_port, settings.smtp_secure, settings.smtp_username, password
        )
        sender, recipients = settings.mail_sender, settings.mail_recipients
        found["mail"] = Mailer(server, sender, settings.mail_sender_name, recipients)
    if settings.notify_url:
        secret = settings.notify_secret.get_secret_value() if settings.notify_secret else None
        found["hook"] = Webhook(settings.notify_url, secret, settings.private_network)
    return found


def in_words(channel: str) -> str:
    """
    Return the term for *channel* in messages: `mail` or `webhook`.
    """
    return {"hook": "webhook"}.get(channel, channel)


def instance_of(settings: Settings) -> str:
    """
    Return the name of the installation in notifications: its first main domain, or its Redis.
    """
    return next(iter(settings.domains), str(settings.redis))


def trial_notification(settings: Settings, now: datetime) -> Notification:
    """
    Return a notification that tests the channels.
    """
    return Notification(
        kind="test",
        name=instance_of(settings),
        code="",
        message="This message was requested with: certworker notify test",
        remedy="",
        in_service="unknown",
        days_left=None,
        next_attempt="",
        moment=iso(now),
        id=secrets.token_hex(8),
        instance=instance_of(settings),
        host=socket.gethostname(),
        docs="",
    )


def undelivered(channel: str, fault: Exception) -> NotificationUndelivered:
    """
    Return the failure of a delivery by *channel* that ended with *fault*.
    """
    return NotificationUndelivered(channel=in_words(channel), reason=printable(fault) or type(fault).__name__)


class _Undelivered(Exception):
    """
    A delivery failed with *fault*.
    """

    def __init__(self, fault: Exception) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _send(send: Callable[[Sequence[Notification]], None], notifications: Sequence[Notification]) -> None:
    try:
        send(sort(notifications))
    except Exception as fault:
        raise _Undelivered(fault) from fault
