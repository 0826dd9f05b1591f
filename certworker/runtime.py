"""
The second half of the composition root builds, starts and stops the loops and servers of a worker.

The components come from :mod:`certworker.app`. This module adds the threads, from the HTTP servers to the
maintenance loop.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ContextDecorator, ExitStack, suppress
from datetime import timedelta
from functools import partial
from random import Random
from threading import Event
from typing import Any

from redis.exceptions import RedisError

from certworker.after_issuance import published, start_after_issuance
from certworker.app import App, build_app
from certworker.challenges.challenge import Http01Challenge
from certworker.dns01.solver_factory import resolvers_of
from certworker.doctor.machine import log_findings, machine
from certworker.doctor.network import probe_directories
from certworker.errors import CertworkerError
from certworker.errors.dns import Moved
from certworker.errors.fs import ClockSkew
from certworker.http import HttpServer
from certworker.integrations.appwrite.consumer import Consumer, Translator
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.label_watcher import LabelWatcher
from certworker.job_slot import MAX_RELEASED
from certworker.observability.history import HistoryLogHandler, HistoryWriter
from certworker.preflight.checkers import build_resolver, verify
from certworker.preflight.port80.check import is_served
from certworker.preflight.runner import Settling
from certworker.redis.client import connect
from certworker.redis.failures import explainer
from certworker.redis.health import wait_for_redis
from certworker.replication.membership import Host, Membership
from certworker.replication.responses import Responses, of_all_hosts
from certworker.replication.sealing import ReplicationKeys
from certworker.settings import CaChoice, Settings
from certworker.state.recorded_states import RecordedStates
from certworker.state.schema import have_settings_changed
from certworker.supervision import Heartbeats, Loop, optional, stop_all
from certworker.tracing.setup import start_tracer
from certworker.tracing.steps import step
from certworker.validity import now_in_utc
from certworker.version import __version__
from certworker.web.server import start_page
from certworker.worker.clock_watch import ClockWatch
from certworker.worker.health import Health
from certworker.worker.job_report import JobReporter
from certworker.worker.maintenance import Leftovers, MaintenanceLoop, delivery_loops, next_check
from certworker.worker.memory import limit_unused_memory, trim_memory
from certworker.worker.moved_watch import MovedWatch
from certworker.worker.own_domains import OwnDomains
from certworker.worker.producer import ISSUE, queue_length, request_certificate, wake_at
from certworker.worker.scheduler import Scheduler
from certworker.worker.tasks import Tasks
from certworker.worker.worker import pin_to_one_cpu, run, stop_on_signals

logger = logging.getLogger(__name__)

#: The maximum number of Redis connections for loops and HTTP servers, in addition to those for the jobs.
CONNECTIONS_OF_LOOPS = 32

Functions = Mapping[str, Callable[..., object]]


def run_worker(settings: Settings, *, lease_seconds: int) -> int:
    """
    Run a worker until SIGTERM or SIGINT, and return its exit code.

    Args:
        settings: The settings from the environment.
        lease_seconds: How long the names and jobs of a killed worker stay locked.

    Raises:
        CertworkerError: The worker cannot run with this Redis, read its volumes, or listen on an address.
    """
    pin_to_one_cpu(Random())
    limit_unused_memory()
    jobs = settings.concurrency + MAX_RELEASED
    connection = connect(settings.redis, connections=2 * jobs + CONNECTIONS_OF_LOOPS)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        if not wait_for_redis(connection, stop):
            return 0
        app = build_app(
            settings,
            connection,
            directory_of=partial(_directory_url, settings, stack),
            wake=partial(wake_at, connection),
            lease_seconds=lease_seconds,
            settling=Settling(stop),
        )
        return _serve(app, stop, stack, lease_seconds)


def _serve(app: App, stop: Event, stack: ExitStack, lease_seconds: int) -> int:
    settings, connection, heartbeats = app.settings, app.connection, Heartbeats()
    stack.callback(app.locks.release_all)
    app.traefik.write_at_once_when(stop.is_set)
    history = stack.enter_context(HistoryWriter(app.history))
    logging.getLogger("certworker").addHandler(HistoryLogHandler(history.append))
    scheduler = Scheduler(connection)
    stack.callback(scheduler.stop)
    clock_watch = ClockWatch(app.issuers[0].client, connection, partial(_retry_orders, app))
    health = Health(connection, heartbeats, scheduler.alive, app.traefik.load.report, clock_watch.is_right)
    stack.callback(health.stop)
    servers = _start_servers(app, health, stack)
    own_domains = build_own_domains(app)
    maintenance = build_maintenance(app, own_domains.loop)
    deliveries = delivery_loops(app.notifier, explainer(connection))
    stack.callback(stop_all, [maintenance.loop, own_domains.loop, clock_watch.loop, *deliveries])
    consumer = _build_consumer(app)
    stack.callback(consumer.stop)
    labels = _build_label_watcher(app)
    stack.callback(labels.stop)
    moved_watch = build_moved_watch(app)
    stack.callback(moved_watch.loop.stop)
    machine_check = Loop("machine_check", partial(_check_machine, app))
    functions, publish, after_issuance = _start_after_issuance(app, stack)
    after_issuance += _join_other_hosts(app, publish, stop, stack)
    loops = [app.locks.loop, history.loop, scheduler.loop, health.loop, consumer.loop, labels.loop]
    loops += [maintenance.loop, own_domains.loop, *deliveries, machine_check, moved_watch.loop]
    loops += [clock_watch.loop, *after_issuance, *servers]
    heartbeats.add(*(loop.heartbeat for loop in loops))
    app.metrics.watch_loops(heartbeats)
    app.metrics.watch_notifications(app.notifier.waiting)
    app.metrics.watch_process()
    health.loop.start()
    clock_watch.loop.start()

    def start_loops() -> None:
        scheduler.start()
        consumer.start()
        if settings.docker_labels:
            labels.start()
        maintenance.loop.start()
        for loop in (*deliveries, machine_check, moved_watch.loop):
            loop.start()
        _log_ready(app)
        trim_memory()

    return run(
        connection,
        functions,
        slots=settings.concurrency,
        heartbeats=heartbeats,
        private_names=settings.authority.private_names,
        wildcards=app.settings.dns01.is_set,
        is_proven=app.issuance.ownership.is_proven,
        clock=app.clock,
        leaves_jobs=clock_watch.leaves_jobs,
        stop=stop,
        lease_seconds=lease_seconds,
        on_ready=start_loops,
    )


def build_tasks(
    app: App, job_step: Callable[[str], ContextDecorator] = step
) -> Mapping[str, Callable[..., dict[str, Any]]]:
    """
    Return the functions that jobs may call, by name.

    Args:
        app: The components.
        job_step: Measures each call of a function as a step; the one of a tracer also sends a trace.
    """
    explain = explainer(app.connection)
    private_names, wildcards = app.settings.authority.private_names, app.settings.dns01.is_set
    reporter = JobReporter(
        *(app.notifier, app.events, app.metrics, app.agenda, app.records, app.clock, explain)
    )
    return Tasks(
        *(app.issuance, app.removal, app.due_names, app.locks, reporter, private_names, wildcards, explain),
        job_step,
    ).functions()


def build_own_domains(app: App) -> OwnDomains:
    """
    Build the component that requests certificates for the names in the settings.
    """
    settings = app.settings
    look_up = build_resolver(settings).look_up

    def is_reachable(answer: Http01Challenge) -> bool:
        return is_served(answer, settings, look_up)

    def reject(domain: str, failure: CertworkerError) -> None:
        app.notifier.notify_failed(domain, failure, None, app.clock())

    return OwnDomains(
        settings.own_names,
        app.issuers[0],
        private_names=settings.authority.private_names,
        wildcards=app.settings.dns01.is_set,
        request=partial(request_certificate, connection=app.connection),
        is_reachable=is_reachable,
        reject=reject,
        explain=explainer(app.connection),
    )


def build_maintenance(app: App, own_domains: Loop) -> MaintenanceLoop:
    """
    Build the maintenance loop, which starts the loop *own_domains*.
    """
    return MaintenanceLoop(
        leftovers=Leftovers(
            app.issuers, app.tokens, app.locks, app.certificates, app.traefik, app.dns01, app.clock
        ),
        repair=app.repair,
        due_names=app.due_names,
        reconciler=app.reconciler,
        expiry_alerts=app.expiry_alerts,
        agenda=app.agenda,
        certificates=app.certificates,
        traefik=app.traefik,
        request_own_domains=own_domains.start,
        settings_changed=partial(have_settings_changed, app.connection, app.settings.fingerprint),
        states=RecordedStates(app.connection),
        clock=app.clock,
        random=app.random,
        explain=explainer(app.connection),
    )


def build_moved_watch(app: App) -> MovedWatch:
    """
    Build the daily check of whether the names in service still point to this server.
    """
    explain = explainer(app.connection)

    def report(name: str, failure: Moved) -> None:
        again, now = app.agenda.next_check(name), app.clock()
        publish = partial(app.events.publish, (name,), "moved", failure)
        optional("the event", publish, None, explain)
        notify = partial(app.notifier.notify_failed, name, failure, again, now)
        optional("the notification", notify, None, explain)

    return MovedWatch(
        app.connection,
        app.certificates,
        app.issuance.moved,
        app.locks,
        report=report,
        clock=app.clock,
        explain=explain,
    )


def _build_consumer(app: App) -> Consumer:
    settings, connection = app.settings, app.connection
    translator = Translator(
        request=lambda name, force: request_certificate(
            name, force=force, by="Appwrite's core" if force else None, connection=connection
        ),
        verify=partial(verify, app.preflight),
        unverified=lambda name, failure: app.events.publish((name,), "failed", failure),
        private_names=settings.authority.private_names,
        wildcards=app.settings.dns01.is_set,
    )
    return Consumer(connection, settings.appwrite_queue, settings.appwrite, translator)


def _build_label_watcher(app: App) -> LabelWatcher:
    settings, connection = app.settings, app.connection
    return LabelWatcher(
        DockerClient(settings.docker_host),
        lambda name, by: request_certificate(name, by=by, connection=connection),
        private_names=settings.authority.private_names,
        wildcards=app.settings.dns01.is_set,
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
            # For `localhost`: in a container, port 80 of the loopback interface is usually closed.
            local_port=settings.http_address.port if settings.http_address else None,
            clock=now_in_utc,
            dns_server=next(iter(resolvers_of(settings)), None) if settings.dns01.is_set else None,
        )
    )
    logger.info("using the development CA; a browser needs a copy of %s to trust it", authority.root_path)
    return authority.directory_url


def _start_after_issuance(app: App, stack: ExitStack) -> tuple[Functions, Callable[..., object], list[Loop]]:
    """
    Start the components that act after a publication.

    Return the job functions, the function to call for a certificate from another host, and the loops. These
    functions also start the actions of the components.
    """
    tracer = start_tracer(os.environ)
    if tracer:
        stack.callback(tracer.stop)
    functions = build_tasks(app, tracer.job if tracer else step)
    after, loops = start_after_issuance(
        app.settings,
        app.certificates,
        app.traefik,
        app.metrics,
        partial(_record_deployment, app),
        stack,
    )
    return {**functions, ISSUE: after(functions[ISSUE])}, after(published), loops


def _join_other_hosts(app: App, publish: Callable[..., object], stop: Event, stack: ExitStack) -> list[Loop]:
    """
    Put newer certificates from other hosts into service, then start the loops, if there is a replication key.
    """
    settings = app.settings
    if not settings.replication.keys:
        app.metrics.watch_replication(lag=float, missing=float)
        return []
    removed = app.removal.forget_check
    host = Host(app.connection, app.certificates, app.traefik, app.metrics.bundle, publish, removed)
    membership = Membership(host, ReplicationKeys(settings.replication.keys), settings.state_dir / "accounts")
    app.metrics.watch_replication(lag=membership.lag_seconds, missing=membership.missing_names)
    membership.catch_up(stop)
    membership.start()
    stack.callback(membership.stop)
    app.locks.on_acquired = membership.wait_until_current
    app.tokens.seal = Responses(app.connection, ReplicationKeys(settings.replication.keys)).seal
    return membership.loops


def _record_deployment(app: App, name: str, failure: CertworkerError | None) -> None:
    # The deployment check also logs the failure, once a day.
    with suppress(CertworkerError, RedisError):
        if not app.certificates.metadata(name):
            return
        if failure:
            app.notifier.notify_failed(name, failure, None, app.clock())
        else:
            app.notifier.notify_recovered(name, app.clock())


def _retry_orders(app: App, offset: timedelta) -> None:
    states, codes = RecordedStates(app.connection), {ClockSkew.code}
    app.reconciler.retry_failed(states, codes, app.clock() + offset)


def _check_machine(app: App) -> None:
    directories = probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers])
    log_findings(machine(app.settings, directories))


def _start_servers(app: App, health: Health, stack: ExitStack) -> list[Loop]:
    challenges, metrics = app.settings.http_address, app.settings.metrics_address
    keys, loops = app.settings.replication.keys, []
    answer = of_all_hosts(app.responder.answer, app.tokens.is_own, app.connection, keys)
    for address in filter(None, dict.fromkeys((challenges, metrics))):
        server = HttpServer(
            address,
            answer=answer if address == challenges else None,
            answers_at_once=app.tokens.is_own,
            healthy=health.report,
            metrics=app.metrics.render if address == metrics else None,
            explain=explainer(app.connection),
            name="responder" if address == challenges else "metrics",
            variable=f"CERTWORKER_{'HTTP' if address == challenges else 'METRICS'}_ADDRESS",
        )
        server.start()
        stack.callback(server.stop)
        loops.append(server.loop)
    return [*loops, *start_page(app.settings, stack, app.clock)]


def _log_ready(app: App) -> None:
    logger.info(
        'certworker %s ready · %s · queue "certificates" (%d waiting) · %s',
        __version__,
        ", then ".join(choice.title for choice in app.settings.authorities),
        queue_length(app.connection),
        next_check(app.agenda),
        extra={"event": "start"},
    )
