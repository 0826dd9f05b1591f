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

from certworker.app import App, build_app, now_in_utc
from certworker.doctor.machine import log_findings, machine
from certworker.doctor.network import probe_directories
from certworker.errors import CertworkerError, Interrupted
from certworker.errors.config import InvalidSettings
from certworker.errors.fs import VolumeReadOnly
from certworker.http import HttpServer
from certworker.integrations.appwrite.consumer import Consumer
from certworker.integrations.appwrite.translator import Translator
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.label_watcher import LabelWatcher
from certworker.integrations.docker.reloader import LABEL, Reloader
from certworker.job_slot import MAX_RELEASED, current_slot
from certworker.observability import log
from certworker.observability.history_handler import HistoryLogHandler
from certworker.observability.history_writer import HistoryWriter
from certworker.preflight.checkers import build_resolver, verify, volume_checks
from certworker.preflight.port80.check import answers
from certworker.preflight.settling import Settling
from certworker.ratelimits.limits import SETTING
from certworker.redis.client import connect
from certworker.redis.failures import explainer
from certworker.redis.health import wait_for_redis
from certworker.settings import CaChoice, Settings, environment_warnings, load
from certworker.state.locks import LEASE_SECONDS
from certworker.supervision import Heartbeats, Loop, log_unexpected
from certworker.traefik.deployment_check import DeploymentCheck
from certworker.version import __version__
from certworker.worker.cpu_affinity import pin_to_one_cpu
from certworker.worker.health import Health
from certworker.worker.maintenance import MaintenanceLoop
from certworker.worker.producer import ISSUE, queue_length, request_certificate, wake_at
from certworker.worker.scheduler import Scheduler
from certworker.worker.signals import stop_on_signals
from certworker.worker.tasks import build_tasks
from certworker.worker.worker import run

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
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
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
    pin_to_one_cpu(Random())
    jobs = settings.concurrency + MAX_RELEASED
    connection = connect(settings.redis, connections=2 * jobs + CONNECTIONS_BESIDE_THE_JOBS)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        if not wait_for_redis(connection, stop):
            return 0
        app = build_app(
            settings,
            connection,
            directory_of=partial(_directory_url, settings, stack),
            request=partial(request_certificate, connection=connection),
            wake=partial(wake_at, connection),
            waiting=partial(queue_length, connection),
            slot=current_slot,
            lease_seconds=lease_seconds,
            settling=Settling(stop),
        )
        return _serve(app, stop, stack, lease_seconds)


def _serve(app: App, stop: Event, stack: ExitStack, lease_seconds: int) -> int:
    settings, connection, heartbeats = app.settings, app.connection, Heartbeats()
    stack.callback(app.locks.release_all)
    history_writer = stack.enter_context(HistoryWriter(app.history))
    logging.getLogger("certworker").addHandler(HistoryLogHandler(history_writer.append))
    scheduler = Scheduler(connection)
    stack.callback(scheduler.stop)
    health = Health(connection, heartbeats, scheduler.alive)
    stack.callback(health.stop)
    doors = _opened_doors(app, health, stack)
    knock = partial(answers, settings=settings, look_up=build_resolver(settings).look_up)
    watch = MaintenanceLoop(app, partial(request_certificate, connection=connection), knock)
    stack.callback(watch.stop)
    consumer = _build_consumer(app)
    stack.callback(consumer.stop)
    labels = _build_label_watcher(app)
    stack.callback(labels.stop)
    machine_check = Loop("machine_check", partial(_check_machine, app))
    functions, loops = _build_tasks(app, stack)
    loops += [history_writer.loop, scheduler.loop, consumer.loop, labels.loop, machine_check, *watch.loops]
    loops += [app.locks.loop, health.loop, *(door.loop for door in doors)]
    heartbeats.add(*(loop.heartbeat for loop in loops))
    app.metrics.watch_loops(heartbeats)
    health.loop.start()

    def ready() -> None:
        scheduler.start()
        consumer.start()
        if settings.docker_labels:
            labels.start()
        watch.start()
        machine_check.start()
        _log_ready(app)

    return run(
        connection,
        functions,
        slots=settings.concurrency,
        heartbeats=heartbeats,
        private_names=settings.authority.private_names,
        clock=app.clock,
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


def _build_consumer(app: App) -> Consumer:
    settings, connection = app.settings, app.connection
    translator = Translator(
        request=lambda name, force: request_certificate(
            name, force=force, by="Appwrite's core" if force else None, connection=connection
        ),
        verify=partial(verify, app.preflight),
        unverified=lambda name, failure: app.events.publish((name,), "failed", failure),
        private_names=settings.authority.private_names,
    )
    return Consumer(connection, settings.appwrite_queue, settings.appwrite, translator)


def _build_label_watcher(app: App) -> LabelWatcher:
    settings, connection = app.settings, app.connection
    return LabelWatcher(
        DockerClient(settings.docker_host),
        lambda name, by: request_certificate(name, by=by, connection=connection),
        private_names=settings.authority.private_names,
        explain=explainer(connection),
    )


def _directory_url(settings: Settings, stack: ExitStack, choice: CaChoice) -> str:
    if choice.directory_url:
        return choice.directory_url
    from certworker.devca.authority import DevelopmentAuthority

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


def _build_tasks(app: App, stack: ExitStack) -> tuple[Mapping[str, Callable[..., object]], list[Loop]]:
    functions, settings = build_tasks(app), app.settings
    issue, loops = functions[ISSUE], list[Loop]()
    if settings.reloads or settings.docker_labels:
        containers = DockerClient(settings.docker_host)
        labelled = partial(containers.running, LABEL) if settings.docker_labels else list
        reloads = Reloader(settings.reloads, containers.reload, labelled)
        reloads.start()
        loops.append(reloads.loop)
        stack.callback(reloads.stop)
        issue = reloads.after(issue)
    if settings.proxy_address:
        named = "proxy_address" in settings.model_fields_set
        deployment_check = DeploymentCheck(
            app.certificates,
            app.traefik,
            settings.proxy_address,
            demanded=named,
            write=partial(_record_deployment, app),
        )
        deployment_check.start()
        loops.append(deployment_check.loop)
        stack.callback(deployment_check.stop)
        issue = deployment_check.after(issue)
    return {**functions, ISSUE: issue}, loops


def _record_deployment(app: App, name: str, failure: CertworkerError | None) -> None:
    # Where it cannot be written the log has it, and tells it again tomorrow.
    with suppress(CertworkerError, RedisError):
        if not app.certificates.metadata(name):
            return
        if failure:
            app.notifier.notify_failed(name, failure, None, app.clock())
        else:
            app.notifier.notify_recovered(name, app.clock())


def _check_machine(app: App) -> None:
    log_findings(
        machine(app.settings, probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers]))
    )


def _opened_doors(app: App, health: Health, stack: ExitStack) -> list[HttpServer]:
    challenges, metrics = app.settings.http_address, app.settings.metrics_address
    doors = []
    for address in filter(None, dict.fromkeys((challenges, metrics))):
        door = HttpServer(
            address,
            answer=app.responder.answer if address == challenges else None,
            healthy=health.report,
            metrics=app.metrics.render if address == metrics else None,
            explain=explainer(app.connection),
            name="responder" if address == challenges else "metrics",
        )
        door.start()
        stack.callback(door.stop)
        doors.append(door)
    return doors


def _log_ready(app: App) -> None:
    earliest = app.agenda.earliest()
    logger.info(
        'certworker %s ready · %s · queue "certificates" (%d waiting) · %s',
        __version__,
        ", then ".join(choice.title for choice in app.settings.authorities),
        queue_length(app.connection),
        f"next look {earliest:%Y-%m-%d %H:%M} UTC" if earliest else "waiting for requests",
        extra={"event": "start"},
    )
