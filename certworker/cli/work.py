"""
`certworker work`: the worker, from the first line of its log to the last.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from random import Random
from threading import Event

import click
from redis.exceptions import RedisError

from certworker.assembly import House, build, now_in_utc
from certworker.beside.chronicle import Chronicle
from certworker.beside.labels import Labels
from certworker.beside.padlock import Padlock
from certworker.beside.reloads import LABEL, Reloads
from certworker.beside.watch import Watch
from certworker.checks.port80 import answers
from certworker.checks.settling import Settling
from certworker.doctor.machine import machine, tell
from certworker.doctor.network import reach
from certworker.door import Door
from certworker.errors import CertworkerError, Interrupted
from certworker.errors.configuration import InvalidSettings
from certworker.errors.machine import VolumeReadOnly
from certworker.intake.appwrite.consumer import Consumer
from certworker.intake.appwrite.translator import Translator
from certworker.intake.connection import connect
from certworker.intake.functions import functions_of
from certworker.intake.health import Health
from certworker.intake.processor import keep_to_one_processor
from certworker.intake.queue import ISSUE, queue_length, request_certificate, wake_at
from certworker.intake.redis_check import wait_for_redis
from certworker.intake.scheduler import Scheduler
from certworker.intake.signals import stop_on_signals
from certworker.intake.worker import run
from certworker.ledger.faults import explainer
from certworker.ledger.limits import SETTING
from certworker.ledger.lock import LEASE_SECONDS
from certworker.questions import resolver_of, verify, volume_checks
from certworker.reports import log
from certworker.reports.narrator import Narrator
from certworker.serving.containers import Containers
from certworker.settings import AuthorityChoice, Settings, environment_warnings, load
from certworker.slot import MOST_WITHOUT_A_SLOT
from certworker.supervision import Heartbeats, Loop, log_unexpected
from certworker.version import __version__

logger = logging.getLogger(__name__)

#: Connections that are not a job's own: those of the loops and of the HTTP server.
CONNECTIONS_BESIDE_THE_JOBS = 32


@click.command()
@click.option(
    "--override-limits",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What a CA has granted beyond its usual limits, instead of CERTWORKER_LIMITS_FILE.",
)
def command(override_limits: str | None) -> None:
    """
    Take requests from the queue and keep their certificates.

    Runs until SIGTERM, then finishes what it has begun. All settings come from the environment.

    \b
    Example:
      _APP_REDIS_HOST=localhost certworker work
    """
    try:
        overridden = {SETTING: override_limits} if override_limits else {}
        settings = load({**os.environ, **overridden})
    except InvalidSettings as failure:
        log.configure("human", "info", sys.stdout)
        _report_warnings()
        _report_settings(failure)
        sys.exit(2)
    log.configure(settings.log, settings.log_level, sys.stdout)
    _report_warnings()
    threading.excepthook = report_thread
    try:
        code = work(settings)
        logger.info("stopped", extra={"event": "stop"})
    except CertworkerError as failure:
        _report(failure)
        code = 2 if failure.code.startswith("config.") else 1
    except Exception as error:
        log_unexpected("the worker", error)
        code = 1
    sys.exit(code)


def report_thread(ended: threading.ExceptHookArgs) -> None:
    """
    Log the exception that ended a thread, in the form of the log.

    A time limit may strike when its job has just ended. Then it ends the thread, and nothing is lost.
    """
    error = ended.exc_value or ended.exc_type()
    if not isinstance(error, Interrupted):
        log_unexpected(f"the thread {ended.thread.name if ended.thread else 'unknown'}", error)


def work(settings: Settings, *, lease_seconds: int = LEASE_SECONDS) -> int:
    """
    Work until SIGTERM, and return the exit code: 2 if a directory of the settings cannot be written.

    Args:
        lease_seconds: How long names and jobs stay those of a worker that died.
    """
    if unwritable := _unwritable(settings):
        for failure in unwritable:
            _report(failure)
        return 2
    keep_to_one_processor(Random())
    jobs = settings.concurrency + MOST_WITHOUT_A_SLOT
    connection = connect(settings, connections=2 * jobs + CONNECTIONS_BESIDE_THE_JOBS)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        if not wait_for_redis(connection, stop):
            return 0
        house = build(
            settings,
            connection,
            directory_of=partial(_directory_url, settings, stack),
            request=partial(request_certificate, connection=connection),
            wake=partial(wake_at, connection),
            waiting=partial(queue_length, connection),
            lease_seconds=lease_seconds,
            settling=Settling(stop),
        )
        return _serve(house, stop, stack, lease_seconds)


def _serve(house: House, stop: Event, stack: ExitStack, lease_seconds: int) -> int:
    settings, connection, heartbeats = house.settings, house.connection, Heartbeats()
    stack.callback(house.locks.give_all_back)
    chronicle = stack.enter_context(Chronicle(house.stories))
    logging.getLogger("certworker").addHandler(Narrator(chronicle.tell))
    scheduler = Scheduler(connection)
    stack.callback(scheduler.stop)
    health = Health(connection, heartbeats, scheduler.alive)
    stack.callback(health.stop)
    doors = _opened_doors(house, health, stack)
    knock = partial(answers, settings=settings, look_up=resolver_of(settings).look_up)
    watch = Watch(house, partial(request_certificate, connection=connection), knock)
    stack.callback(watch.stop)
    consumer = _consumer_of(house)
    stack.callback(consumer.stop)
    labels = _labels_of(house)
    stack.callback(labels.stop)
    machine_check = Loop("machine_check", partial(_look_at_machine, house))
    functions, loops = _functions(house, stack)
    loops += [chronicle.loop, scheduler.loop, consumer.loop, labels.loop, machine_check, *watch.loops]
    loops += [house.locks.loop, health.loop, *(door.loop for door in doors)]
    heartbeats.add(*(loop.heartbeat for loop in loops))
    house.metrics.watch_loops(heartbeats)
    health.loop.start()

    def ready() -> None:
        scheduler.start()
        consumer.start()
        if settings.docker_labels:
            labels.start()
        watch.start()
        machine_check.start()
        _say_ready(house)

    return run(
        connection,
        functions,
        slots=settings.concurrency,
        heartbeats=heartbeats,
        private_names=settings.authority.private_names,
        clock=house.clock,
        stop=stop,
        lease_seconds=lease_seconds,
        on_ready=ready,
    )


def _report_warnings() -> None:
    for warning in environment_warnings(os.environ):
        logger.warning("%s", warning, extra={"event": "start"})


def _report_settings(failure: InvalidSettings) -> None:
    # One line for each: all of them together are longer than a line of the log may be.
    for finding in failure.findings:
        logger.error("[%s] %s.", failure.code, finding, extra={"code": failure.code})
    logger.error("%d wrong settings. %s", len(failure.findings), failure.remedy)


def _report(failure: CertworkerError) -> None:
    logger.error("%s", failure, extra={"code": failure.code})


def _unwritable(settings: Settings) -> list[VolumeReadOnly]:
    """
    Return why nothing can be written where the settings say: a mount or an owner that a person has to change.
    """
    found = []
    for check in volume_checks(settings):
        try:
            check()
        except VolumeReadOnly as failure:
            found.append(failure)
        except CertworkerError:
            continue  # a full disk, for example, may pass: each job checks again
    return found


def _consumer_of(house: House) -> Consumer:
    settings, connection = house.settings, house.connection
    translator = Translator(
        request=lambda name, force: request_certificate(
            name, force=force, by="Appwrite's core" if force else None, connection=connection
        ),
        verify=partial(verify, house.preflight),
        unverified=lambda name, failure: house.results.tell((name,), "failed", failure),
        private_names=settings.authority.private_names,
    )
    return Consumer(connection, settings.appwrite_queue, settings.appwrite, translator)


def _labels_of(house: House) -> Labels:
    settings, connection = house.settings, house.connection
    return Labels(
        Containers(settings.docker_host),
        lambda name, by: request_certificate(name, by=by, connection=connection),
        private_names=settings.authority.private_names,
        explain=explainer(connection),
    )


def _directory_url(settings: Settings, stack: ExitStack, choice: AuthorityChoice) -> str:
    if choice.directory_url:
        return choice.directory_url
    from certworker.development.authority import DevelopmentAuthority

    authority = stack.enter_context(
        DevelopmentAuthority(
            settings.state_dir / "development",
            http01_port=settings.http01_port,
            # Nobody but the CA itself would ever forward port 80 of the loopback interface to us.
            local_port=settings.http_address.port if settings.http_address else None,
            clock=now_in_utc,
        )
    )
    logger.info("a CA of our own is used; to trust it, import %s into your browser", authority.root_path)
    return authority.directory_url


def _functions(house: House, stack: ExitStack) -> tuple[Mapping[str, Callable[..., object]], list[Loop]]:
    functions, settings = functions_of(house), house.settings
    issue, loops = functions[ISSUE], list[Loop]()
    if settings.reloads or settings.docker_labels:
        containers = Containers(settings.docker_host)
        labelled = partial(containers.running, LABEL) if settings.docker_labels else list
        reloads = Reloads(settings.reloads, containers.reload, labelled)
        reloads.start()
        loops.append(reloads.loop)
        stack.callback(reloads.stop)
        issue = reloads.after(issue)
    if settings.proxy_address:
        named = "proxy_address" in settings.model_fields_set
        padlock = Padlock(
            house.volume,
            house.traefik,
            settings.proxy_address,
            demanded=named,
            write=partial(_write_of_the_proxy, house),
        )
        padlock.start()
        loops.append(padlock.loop)
        stack.callback(padlock.stop)
        issue = padlock.after(issue)
    return {**functions, ISSUE: issue}, loops


def _write_of_the_proxy(house: House, name: str, failure: CertworkerError | None) -> None:
    # Where it cannot be written the log has it, and tells it again tomorrow.
    with suppress(CertworkerError, RedisError):
        if not house.volume.facts(name):
            return
        if failure:
            house.post_office.failed(name, failure, None, house.clock())
        else:
            house.post_office.succeeded(name, house.clock())


def _look_at_machine(house: House) -> None:
    tell(machine(house.settings, reach([(desk.choice, desk.authority) for desk in house.desks])))


def _opened_doors(house: House, health: Health, stack: ExitStack) -> list[Door]:
    challenges, metrics = house.settings.http_address, house.settings.metrics_address
    doors = []
    for address in filter(None, dict.fromkeys((challenges, metrics))):
        door = Door(
            address,
            answer=house.responder.answer if address == challenges else None,
            healthy=health.report,
            metrics=house.metrics.render if address == metrics else None,
            explain=explainer(house.connection),
            name="responder" if address == challenges else "metrics",
        )
        door.start()
        stack.callback(door.stop)
        doors.append(door)
    return doors


def _say_ready(house: House) -> None:
    earliest = house.agenda.earliest()
    logger.info(
        'certworker %s ready · %s · queue "certificates" (%d waiting) · %s',
        __version__,
        ", then ".join(choice.title for choice in house.settings.authorities),
        queue_length(house.connection),
        f"next look {earliest:%Y-%m-%d %H:%M} UTC" if earliest else "waiting for requests",
        extra={"event": "start"},
    )
