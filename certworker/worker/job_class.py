"""
The jobs that may run: those that call a registered function. All other jobs fail.

RQ imports everything that a job names: its function, its callbacks, and the class of its instance. RQ also
unpickles data and calls the webhooks of a job. So every program with access to Redis could run any code in
the worker. This module reads only a few fields of a job, and checks each of them.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any, ClassVar

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.timeouts import JobTimeoutException, TimerDeathPenalty

from certworker.errors import CertworkerError, Interrupted, NotRecorded, printable
from certworker.errors.payload import PayloadTooLarge, PayloadUnknownArgument
from certworker.errors.worker import BadJob, FunctionNotRegistered, JobTimedOut
from certworker.redis.codec import decode_text, decode_time
from certworker.redis.failures import address_of, to_failure
from certworker.worker.payload import LARGEST, Call, read_call
from certworker.worker.producer import FAILURE_TTL, JOB_TIMEOUT, QUEUE, RESULT_TTL
from certworker.worker.time_limits import TimeLimit, TimeLimits

logger = logging.getLogger(__name__)

#: Fields that name code to import, a URL to call, or a rate limit that only RQ's own worker releases. RQ
#: writes an empty string to a field without a value.
FORBIDDEN_FIELDS = (
    "success_callback_name",
    "failure_callback_name",
    "stopped_callback_name",
    "webhooks",
    "rate_limit_key",
)
#: Fields that RQ's own class parses.
CHECKED_BY_RQ = ("status", "timeout", "result_ttl", "failure_ttl")
#: The fields from which a job is restored.
READ_FIELDS = ("data", *CHECKED_BY_RQ, *FORBIDDEN_FIELDS)

#: The fields of the state of a job, which RQ writes. All other fields stay as the producer wrote them. After
#: `rq requeue`, a rejected job is then rejected again for the same reason.
WRITTEN = ("status", "origin", "started_at", "ended_at", "last_heartbeat", "worker_name")
#: Fields that are written for RQ's tools if the producer did not write them.
DEFAULTS = ("created_at", "timeout", "result_ttl", "failure_ttl")

#: The field with the lease of the worker that was killed during the job; see
#: :mod:`certworker.worker.recovery`.
ABANDONED_RUN = "abandoned_run"

#: All fields that are read, each with its size.
MEASURED = (*READ_FIELDS, *(field for field in DEFAULTS if field not in READ_FIELDS), ABANDONED_RUN)

#: KEYS: the hash of a job. ARGV: the maximum length of a field, then fields. Returns the length of each
#: field, and its value if the field is short enough. Shortens longer fields, so that a large rejected job
#: does not fill Redis for a day. The remaining length exceeds the maximum, so the job is rejected again after
#: `rq requeue`.
READ = """
local key, longest, found = KEYS[1], tonumber(ARGV[1]), {}
for i = 2, #ARGV do
    local size = redis.call('HSTRLEN', key, ARGV[i])
    if size > longest + 1 then
        redis.call('HSET', key, ARGV[i], string.sub(redis.call('HGET', key, ARGV[i]), 1, longest + 1))
    end
    found[#found + 1] = size
    found[#found + 1] = size <= longest and redis.call('HGET', key, ARGV[i])
end
return found
"""

#: RQ's own rule for ids, with a limit of 255 characters.
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")

#: The minimum TTL in seconds: a program that waits for a job needs time to read the result.
SHORTEST_TTL = 60


class AllowlistedJob(Job):
    """
    A job that runs only registered functions; see :func:`job_class_for`.

    Attributes:
        failure: The reason for the rejection or, after a run, for the failure. None if there is no failure,
            or if the job raised an unexpected exception.
        not_recorded: Set if the job has to run again, because its outcome could not be recorded.
        requested_at: When the job was created, according to its producer; None if unknown.
        abandoned_run: The run of a killed worker that the next run repeats; empty if there is none.
        was_deferred: Whether this worker made the job from a request in a priority queue.
    """

    functions: ClassVar[Mapping[str, Callable[..., object]]] = {}
    failure: CertworkerError | None = None
    not_recorded: NotRecorded | None = None
    requested_at: datetime | None = None
    abandoned_run: str = ""
    was_deferred: bool = False
    #: The fields of :data:`DEFAULTS` that the hash of this job has.
    _sent: frozenset[str] = frozenset()

    @classmethod
    def find(cls, raw_id: bytes, connection: Redis, found: Sequence[Any] | None = None) -> AllowlistedJob:
        """
        Return the job with the id *raw_id* from a list or registry, even if the job is rejected.

        Args:
            raw_id: The id.
            connection: The connection to Redis.
            found: The result of :data:`READ`; if None, this method reads it.

        Raises:
            BadJob: The id is invalid, or Redis has no such job.
        """
        job_id = raw_id.decode("ascii", "backslashreplace")
        if not JOB_ID.fullmatch(job_id):
            raise BadJob(reason=f"{job_id} is not a valid job id")
        try:
            job = cls(job_id, connection=connection, serializer="json")
            if found is None:
                job.refresh()
            else:
                job.restore_found(found)
        except NoSuchJobError:
            raise BadJob(reason=f"Redis does not know the job {job_id}") from None
        return job

    @classmethod
    def made(cls, job_id: str, fields: Mapping[str, str], connection: Redis) -> AllowlistedJob:
        """
        Return the job that this worker has just written to Redis with these *fields*.
        """
        job = cls(job_id, connection=connection, serializer="json")
        job.restore({field: value.encode() for field, value in fields.items()})
        job._sent = frozenset(fields)
        return job

    def refresh(self) -> None:
        """
        Read the job from Redis; reject an invalid job.

        Raises:
            NoSuchJobError: Redis has no such job, or its key is not a hash.
        """
        try:
            found = self.connection.eval(READ, 1, self.key, str(LARGEST), *MEASURED)
        except ResponseError as error:  # the key is not a hash
            raise NoSuchJobError(str(error)) from error
        self.restore_found(found)

    def restore_found(self, found: Sequence[Any]) -> None:
        """
        Set the attributes of the job from *found*, the result of :data:`READ`; reject an invalid job.

        Raises:
            NoSuchJobError: Redis has no such job.
        """
        sizes = dict(zip(MEASURED, found[::2], strict=True))
        values = dict(zip(MEASURED, found[1::2], strict=True))
        present = {field: values[field] for field in READ_FIELDS if values[field] is not None}
        is_too_large = any(sizes[field] > LARGEST for field in READ_FIELDS)
        if not present and not is_too_large:
            raise NoSuchJobError(self.key)
        self.restore(present)
        self.requested_at = decode_time(decode_text(values["created_at"]))
        self.abandoned_run = self._own_run(decode_text(values[ABANDONED_RUN]))
        self._sent = frozenset(field for field in DEFAULTS if sizes[field])
        if is_too_large:
            self._reject(PayloadTooLarge(size=f"more than {LARGEST} bytes", limit=LARGEST, beginning="…"))

    def restore(self, raw_data: Mapping[Any, bytes]) -> None:
        """
        Set the attributes of the job from *raw_data*, the fields of its hash in Redis; reject an invalid job.
        """
        fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in raw_data.items()}
        try:
            checked = {field: fields[field].decode() for field in CHECKED_BY_RQ if field in fields}
            super().restore(checked | {"data": b""})
            self._read(fields)
        except CertworkerError as failure:
            self._reject(failure)
        except Exception as error:
            self._reject(BadJob(reason=f"a field of its hash cannot be read: {error}"))
        self.origin = QUEUE
        self.timeout = _within(self.timeout, 1, JOB_TIMEOUT)
        self.result_ttl = _within(self.result_ttl, SHORTEST_TTL, FAILURE_TTL, otherwise=RESULT_TTL)
        self.failure_ttl = _within(self.failure_ttl, SHORTEST_TTL, FAILURE_TTL)

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        """
        Return the fields to write: the state of the job, and the defaults that its producer did not write.
        """
        fields: dict[str, Any] = super().to_dict(include_meta=include_meta, include_result=include_result)
        missing = [field for field in DEFAULTS if field not in self._sent]
        return {field: fields[field] for field in (*WRITTEN, *missing)}

    @property
    def func(self) -> Callable[..., object]:
        """
        Return the registered function; nothing is imported.
        """
        return self.functions[str(self.func_name)]

    def perform(self) -> object:
        """
        Call the function, unless the job is rejected.

        Raises:
            CertworkerError: The job failed or is rejected.
            NotRecorded: The job has to run again.
        """
        if self.failure:
            logger.warning("job %s: %s", self.id, self.failure, extra=self._about(self.failure))
            raise self.failure
        try:
            return super().perform()
        except CertworkerError as failure:
            self.failure = failure
            raise
        except NotRecorded as error:
            self.not_recorded = error
            raise
        except JobTimeoutException:
            self.failure = JobTimedOut(seconds=self.timeout)
        except RedisError as error:
            self.failure = to_failure(error, address_of(self.connection))
        logger.warning("job %s: %s", self.id, self.failure, extra=self._about(self.failure))
        raise self.failure

    def _own_run(self, run: str) -> str:
        # A producer can write any value. Only the locks of this job may be taken over.
        return run if run.startswith(f"{self.id}:") else ""

    def _read(self, fields: Mapping[str, bytes]) -> None:
        for field in FORBIDDEN_FIELDS:
            if fields.get(field):
                raise BadJob(reason=f"it has {field}, which no job may have")
        if "data" not in fields:
            raise BadJob(reason="it has no data")
        call = read_call(fields["data"])
        if call.function not in self.functions:
            raise FunctionNotRegistered(function=call.function, known=", ".join(self.functions))
        _check_arguments(call, inspect.signature(self.functions[call.function]))
        self.func_name, self.instance, self.args, self.kwargs = (
            call.function,
            None,
            call.arguments,
            call.keywords,
        )

    def _reject(self, failure: CertworkerError) -> None:
        self.failure = failure
        self.func_name, self.instance, self.args, self.kwargs = "refused", None, [], {}

    def _about(self, failure: CertworkerError) -> dict[str, object]:
        return {"event": "failed", "code": failure.code, "fields": {"job": self.id, **failure.as_json()}}


class Deadline(TimerDeathPenalty):
    """
    RQ's time limit for threads, changed so that one thread watches all limits.

    RQ sets the message on the class of the exception, so each limit has a class of its own.
    """

    _limits = TimeLimits()

    def __init__(self, timeout: int, *_: object, **options: object) -> None:
        class OutOfTime(Interrupted, JobTimeoutException):
            failure = JobTimedOut(seconds=timeout)

        super().__init__(timeout, OutOfTime, **options)

    def new_timer(self) -> TimeLimit:
        """
        Return a timer for the limit of one job.
        """
        return TimeLimit(self._limits, self._timeout, self.handle_death_penalty)


def job_class_for(functions: Mapping[str, Callable[..., object]]) -> type[AllowlistedJob]:
    """
    Return a job class whose jobs can call only *functions*, by these names.
    """

    class CertificateJob(AllowlistedJob):
        pass

    CertificateJob.functions = dict(functions)
    return CertificateJob


def silence_rq_logging() -> None:
    """
    Silence RQ's own log: certworker logs the same events in its own format.
    """
    library = logging.getLogger("rq")
    library.handlers = [logging.NullHandler()]
    library.propagate = False


def _check_arguments(call: Call, signature: inspect.Signature) -> None:
    known = list(signature.parameters)
    for name in call.keywords:
        if name not in known:
            # The name comes from the job and may be long.
            like = get_close_matches(name[:100], known, n=1)
            raise PayloadUnknownArgument(
                function=call.function,
                argument=printable(name, 100),
                hint=f"; did you mean {like[0]}?" if like else ".",
                known=", ".join(known) or "none",
            )
    try:
        signature.bind(*call.arguments, **call.keywords)
    except TypeError as error:
        raise BadJob(reason=f"{call.function} does not accept these arguments: {error}") from None


def _within(value: float | None, least: int, most: int, otherwise: int | None = None) -> int:
    # A negative number means no limit in RQ.
    if value is None:
        return most if otherwise is None else otherwise
    return most if value < 0 else int(min(max(value, least), most))
