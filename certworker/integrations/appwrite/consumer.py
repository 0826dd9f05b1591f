"""
The thread that empties Appwrite's queues, and turns their messages into requests.

A claim is removed only after its request is on certworker's queue, or its message has failed. If a worker is
killed earlier, another worker finds the claim and repeats the request. certworker's queue contains equal
requests only once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Literal
from uuid import uuid4

from redis import Redis

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.worker import AnotherConsumer, Unexpected
from certworker.integrations.appwrite.claims import AppwriteQueue
from certworker.integrations.appwrite.messages import Message, read_resque, read_utopia
from certworker.integrations.appwrite.resque import ResqueQueue
from certworker.integrations.appwrite.utopia import UtopiaQueue
from certworker.redis.failures import explainer
from certworker.supervision import Faults, Loop, beat, log_unexpected

logger = logging.getLogger(__name__)

Mode = Literal["auto", "on", "off"]

PAUSE_SECONDS = 0.25
#: The seconds between two checks, in the mode `auto`, of whether Appwrite uses its queue.
IDLE_PAUSE_SECONDS = 5.0

#: The maximum number of verifications at the same time. Most of their time is waiting for DNS.
VERIFICATIONS = 16


@dataclass(frozen=True)
class Translator:
    """
    Turns messages into requests, immediately or after a check of DNS.
    """

    #: Puts a name on certworker's queue, with or without force.
    request: Callable[[str, bool], object]
    #: Checks the DNS records of a name, or raises a CertworkerError.
    verify: Callable[[str], None]
    #: Publishes the failed verification of a name.
    unverified: Callable[[str, CertworkerError], object]
    #: Whether names of a private network are accepted.
    private_names: bool
    #: Whether wildcards are accepted.
    wildcards: bool

    def name_of(self, message: Message) -> str:
        """
        Return the normalized name of *message*.

        Raises:
            PayloadFailure: The text is too long, or contains a surrogate.
            NameFailure: No CA issues for the name, or it is a wildcard and no DNS provider is set.
            DomainIsLocalhost: The name refers to the local machine.
        """
        return normalize(message.domain, private=self.private_names, wildcards=self.wildcards)

    def needs_verification(self, message: Message) -> bool:
        """
        Return whether the request needs a check of DNS first, which may take seconds.

        Only the action `verification` needs one, unless the request is forced or for Appwrite's own domain.
        """
        own = message.validation_domain is not None and message.validation_domain == message.domain
        return message.action == "verification" and not (message.force or own)

    def generate(self, message: Message) -> None:
        """
        Request a certificate.
        """
        self.request(self.name_of(message), message.force)

    def verify_and_generate(self, message: Message) -> None:
        """
        Request a certificate if DNS is correct; otherwise publish the failure.
        """
        name = self.name_of(message)
        try:
            self.verify(name)
        except CertworkerError as failure:
            logger.warning(
                "not verified: %s", failure, extra={"domain": name, "event": "failed", "code": failure.code}
            )
            self.unverified(name, failure)
        else:
            logger.info("verified", extra={"domain": name, "event": "preflight"})
            self.generate(message)


class Consumer:
    """
    The consumer of Appwrite's queue *name*, in both formats.

    Args:
        connection: The connection to Redis.
        name: The name of the queue, which is the same in both formats.
        mode: `auto`: reads the queue of a format only after Appwrite has used it. `on`: reads both. `off`:
            reads none.
        translator: Turns the messages into requests.
        seconds_between_counts: The minimum pause between two searches for other consumers.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        connection: Redis,
        name: str,
        mode: Mode,
        translator: Translator,
        *,
        seconds_between_counts: float = 10.0,
    ) -> None:
        self._name = name
        self._mode = mode
        self._translator = translator
        worker = uuid4().hex
        self._utopia = UtopiaQueue(connection, name, worker)
        self._queues: Mapping[AppwriteQueue, Callable[[bytes], Message]] = {
            self._utopia: read_utopia,
            ResqueQueue(connection, name, worker): read_resque,
        }
        self._verifying: Counter[bytes] = Counter()
        self._lock = Lock()
        self._verifications = ThreadPoolExecutor(VERIFICATIONS, thread_name_prefix="verification")
        self._taken_by_others: int | None = None
        self._counted = 0.0
        self._seconds_between_counts = seconds_between_counts
        self._logged: set[str] = set()
        explain = explainer(connection)
        self._faults = Faults("the verification of Appwrite's names", explain)
        reader = Faults(f"the consumer of Appwrite's queue {name}", explain)
        self.loop = Loop("appwrite", self._pass, faults=reader)

    def start(self) -> None:
        """
        Start the loop, unless the mode is `off`.
        """
        if self._mode != "off":
            self.loop.start()

    def stop(self) -> None:
        """
        Stop the loop. The next worker that reads the queue takes over the claims.
        """
        self.loop.stop()
        self._verifications.shutdown(wait=False, cancel_futures=True)

    def _pass(self) -> float:
        """
        Empty each queue that Appwrite uses, or in the mode `on` both, and return the seconds to wait.
        """
        present = [queue for queue in self._queues if self._mode == "on" or queue.exists()]
        if present and "present" not in self._logged:
            self._logged.add("present")
            logger.info("serving Appwrite's queue %s", self._name)
        if self._utopia in present:
            self._check_for_other_consumers()
        taken, failed = 0, None
        for queue in present:
            try:
                taken += self._empty(queue)
            except Exception as error:  # a broken key of one queue does not stop the other queue
                failed = error
        if failed:
            raise failed
        if taken:
            return 0
        return PAUSE_SECONDS if present else IDLE_PAUSE_SECONDS

    def _empty(self, queue: AppwriteQueue) -> int:
        with self._lock:
            # The copy precedes the claims. Otherwise, a message that is settled in between would be handled
            # again.
            verifying = self._verifying.copy()
        new = list((Counter(queue.take()) - verifying).elements())
        for raw in new:
            self._handle(queue, raw)
            beat()
        return len(new)

    def _handle(self, queue: AppwriteQueue, raw: bytes) -> None:
        try:
            message = self._queues[queue](raw)
            name = self._translator.name_of(message)
        except Exception as error:
            # An unexpected error must not delay the messages after this one.
            failure = error if isinstance(error, CertworkerError) else Unexpected(fault=repr(error))
            if isinstance(failure, Unexpected):
                log_unexpected("a message of Appwrite", error)
            logger.warning(
                "refused a message on Appwrite's queue %s: %s",
                self._name,
                failure,
                extra={"event": "failed", "code": failure.code},
            )
            queue.settle(raw, failure)
            return
        logger.info(
            "Appwrite requests the action %s%s",
            message.action,
            " (forced)" if message.force else "",
            extra={"domain": name, "event": "job"},
        )
        if self._translator.needs_verification(message):
            with self._lock:
                self._verifying[raw] += 1
            self._verifications.submit(self._verify, queue, raw, message)
        else:
            self._translator.generate(message)
            queue.settle(raw)

    def _verify(self, queue: AppwriteQueue, raw: bytes, message: Message) -> None:
        try:
            self._translator.verify_and_generate(message)
            queue.settle(raw)
            self._faults.succeeded()
        except BaseException as error:
            # The claim of the message remains, so the message is verified again.
            self.loop.stopping.wait(self._faults.failed(error))
        finally:
            with self._lock:
                self._verifying[raw] -= 1

    def _check_for_other_consumers(self) -> None:
        # Each consumer adds the number of its messages to a total. The total minus certworker's own count is
        # the number of messages of other consumers.
        if time.monotonic() - self._counted < self._seconds_between_counts:
            return
        self._counted = time.monotonic()
        before, self._taken_by_others = self._taken_by_others, self._utopia.taken_by_others()
        if before is not None and self._taken_by_others is not None and self._taken_by_others > before:
            self._log_once("others", AnotherConsumer(queue=self._name, count=self._taken_by_others - before))

    def _log_once(self, key: str, failure: CertworkerError) -> None:
        if key not in self._logged:
            self._logged.add(key)
            logger.warning("%s", failure, extra={"code": failure.code})
