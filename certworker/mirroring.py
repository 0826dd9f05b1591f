"""
The composition root of a mirror: a host that serves the certificates of other hosts, and issues none.

A mirror has no CA, no account key and no jobs. It follows the stream of bundles, and writes the same files as
a worker. It also responds to the challenges of the workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from redis import Redis

from certworker.after_issuance import published, start_after_issuance
from certworker.errors import CertworkerError
from certworker.http import HttpServer
from certworker.observability.metrics.registry import Metrics
from certworker.redis.client import connect
from certworker.redis.failures import explainer
from certworker.redis.health import outage_watch, wait_for_redis
from certworker.replication.membership import Host, Membership
from certworker.replication.responses import Responses
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.upkeep import Upkeep
from certworker.settings import Settings
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import Heartbeats, Loop, optional
from certworker.traefik.config import TraefikConfig
from certworker.validity import now_in_utc
from certworker.version import __version__
from certworker.worker.health import Health
from certworker.worker.worker import stop_on_signals

logger = logging.getLogger(__name__)

#: The maximum number of Redis connections, for the loops and the HTTP servers.
CONNECTIONS = 16

#: After a kill, the actions after a publication, such as reloads, are repeated for certificates newer than
#: this. For older certificates, they have usually succeeded.
RECENT = timedelta(minutes=10)


def run_mirror(settings: Settings) -> int:
    """
    Run a mirror until SIGTERM or SIGINT, and return its exit code.

    Args:
        settings: The settings from the environment, with a replication key.

    Raises:
        CertworkerError: The mirror cannot run with this Redis, read its volume, or listen on an address.
    """
    connection = connect(settings.redis, connections=CONNECTIONS)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        if not wait_for_redis(connection, stop):
            return 0
        names = _start(settings, connection, stack)
        ready = "certworker %s ready · mirror · names on this host: %d"
        logger.info(ready, __version__, names, extra={"event": "start"})
        stop.wait()
    return 0


def _start(settings: Settings, connection: Redis, stack: ExitStack) -> int:
    metrics, heartbeats = Metrics(), Heartbeats()
    store = CertificateStore(settings.certificates_dir, on_change=lambda _names: None)
    traefik = TraefikConfig(settings.config_dir, layout=settings.traefik_layout, observe=metrics.publication)
    was_killed = _mark_running(store, stack)
    after, loops = start_after_issuance(settings, store, traefik, metrics, _record_deployment, stack)
    publish = after(published)
    if was_killed:
        _publish_recent(store, publish, now_in_utc())
    host = Host(connection, store, traefik, metrics.bundle, publish, lambda _name: None)
    membership = Membership(host, ReplicationKeys(settings.replication.keys), None)
    upkeep = Upkeep(store, traefik, now_in_utc)
    health = Health(connection, heartbeats, lambda: True)
    membership.start()
    stack.callback(membership.stop)
    upkeep.loop.start()
    stack.callback(upkeep.loop.stop)
    redis_watch = outage_watch(connection)
    redis_watch.start()
    stack.callback(redis_watch.stop)
    loops += [*membership.loops, upkeep.loop, redis_watch]
    loops += _start_servers(settings, connection, metrics, health, stack)
    heartbeats.add(*(loop.heartbeat for loop in loops))
    metrics.watch_replication(lag=membership.lag_seconds, missing=membership.missing_names)
    metrics.watch_loops(heartbeats)
    metrics.watch_process()
    return store.links.count()


def _start_servers(
    settings: Settings, connection: Redis, metrics: Metrics, health: Health, stack: ExitStack
) -> list[Loop]:
    responses, loops = Responses(connection, ReplicationKeys(settings.replication.keys)), list[Loop]()
    for address in filter(None, dict.fromkeys((settings.http_address, settings.metrics_address))):
        server = HttpServer(
            address,
            answer=responses.answer if address == settings.http_address else None,
            healthy=health.report,
            metrics=metrics.render if address == settings.metrics_address else None,
            explain=explainer(connection),
            name="responder" if address == settings.http_address else "metrics",
            variable=f"CERTWORKER_{'HTTP' if address == settings.http_address else 'METRICS'}_ADDRESS",
        )
        server.start()
        stack.callback(server.stop)
        loops.append(server.loop)
    return loops


def _mark_running(store: CertificateStore, stack: ExitStack) -> bool:
    """
    Mark on the volume that the mirror is running; return whether the previous mirror left its mark.

    The end of *stack* removes the mark, after the pending reloads. So a mark remains after a kill or a power
    failure. On a volume that is not writable, there is no mark.
    """
    mark = store.directory / ".certworker" / "mirror-runs"

    def make() -> bool:
        durable.make_directory(mark.parent)
        with durable.translate_os_errors(mark):
            was_killed = mark.exists()
            mark.touch()
        return was_killed

    stack.callback(optional, "the removal of the mark of this mirror", partial(durable.remove, mark), None)
    return optional("the creation of the mark of this mirror", make, False)


def _publish_recent(
    store: CertificateStore, publish: Callable[[Sequence[str]], object], now: datetime
) -> None:
    """
    Call *publish* for the names of each recent certificate: their reloads may not have run yet.
    """
    since, names = (now - RECENT).timestamp(), dict[Path, list[str]]()
    for name in store.links.live():
        generation = store.links.generation(name)
        if generation and _changed(generation) >= since:
            names.setdefault(generation, []).append(name)
    for each in names.values():
        publish(each)
    if names:
        logger.info(
            "the previous mirror did not stop normally; certificates whose reloads and other actions are "
            "repeated: %d",
            len(names),
        )


def _changed(generation: Path) -> float:
    try:
        return generation.stat().st_mtime
    except OSError:
        return 0.0


def _record_deployment(name: str, failure: CertworkerError | None) -> None:
    """
    Do nothing. The deployment check logs the failure. A mirror sends no notifications.
    """
