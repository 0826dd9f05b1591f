"""
`certworker work` with short heartbeats, whose loops fail or hang while a file exists.

Its arguments are the directory of these files and the lease time in seconds. A loop that meets its file
creates another file, with the extension `.met`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from certworker.cli.work import work
from certworker.observability import log
from certworker.settings import load
from certworker.supervision import Heartbeat

#: The function of one step of each loop.
STEPS = {
    "jobs": "certworker.worker.threaded_worker ThreadedWorker.poll",
    "scheduler": "certworker.worker.scheduler _Mover.enqueue_scheduled_jobs",
    "job_leases": "certworker.worker.recovery Recovery.sweep",
    "leases": "certworker.state.locks DomainLocks._renew_all",
    "maintenance": "certworker.worker.maintenance AgendaCheck.run",
    "appwrite": "certworker.integrations.appwrite.consumer Consumer._pass",
    "notifications_hook": "certworker.notify.notifier Notifier.deliver",
    "history": "certworker.observability.history History.flush",
    "labels": "certworker.integrations.docker.label_watcher LabelWatcher._follow",
    "reloads": "certworker.integrations.docker.reloader Reloader._step",
    "deployment_check": "certworker.traefik.deployment_check DeploymentCheck._due",
    "moved_names": "certworker.worker.moved_watch MovedWatch.step",
    "clock": "certworker.worker.clock_watch ClockWatch._check",
    "responder": "certworker.http.throttle BoundedServer.pass_once",
    "health": "certworker.worker.health Health._log_stalls",
}

#: The same for the loops that end after their work at the start.
STEPS_AT_THE_START = {
    "own_domains": "certworker.worker.own_domains OwnDomains.step",
    "machine_check": "certworker.runtime _check_machine",
}

#: The pauses between two steps. In production, they are minutes.
PAUSES = (
    "certworker.worker.maintenance AGENDA_CHECK_SECONDS",
    "certworker.worker.maintenance DELIVERY_INTERVAL_SECONDS",
    "certworker.observability.history PAUSE_SECONDS",
    "certworker.worker.moved_watch PAUSE_SECONDS",
    "certworker.worker.clock_watch CHECK_SECONDS",
    "certworker.integrations.docker.reloader PAUSE_WITHOUT_A_CHANGE_SECONDS",
    "certworker.traefik.deployment_check IDLE_PAUSE_SECONDS",
    "certworker.worker.health REPORT_EVERY_SECONDS",
    "certworker.integrations.docker.client MAX_SILENCE_SECONDS",
    "certworker.supervision.faults LONGEST_PAUSE_SECONDS",
)
PAUSE_SECONDS = 0.2
BEAT_SECONDS = 1.0


def sabotaged(place: Path, loop: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return *step* with a fault: it raises or hangs while the file of *loop* for that fault is in *place*.
    """

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if (place / f"raise-{loop}").exists():
            (place / f"raise-{loop}.met").touch()
            raise ValueError(f"sabotage of {loop}")
        while (place / f"hang-{loop}").exists():
            (place / f"hang-{loop}.met").touch()
            time.sleep(0.02)
        return step(*arguments, **options)

    return wrapped


def main(place: str, lease_seconds: str) -> int:
    """
    Run the worker with sabotaged loops.
    """
    for loop, target in {**STEPS, **STEPS_AT_THE_START}.items():
        module, _, path = target.partition(" ")
        owner_path, _, function = path.rpartition(".")
        owner = import_module(module)
        owner = getattr(owner, owner_path) if owner_path else owner
        setattr(owner, function, sabotaged(Path(place), loop, getattr(owner, function)))
    for target in PAUSES:
        module, _, name = target.partition(" ")
        assert hasattr(import_module(module), name), target
        setattr(import_module(module), name, PAUSE_SECONDS)
    begin = Heartbeat.__init__

    def quick(self: Heartbeat, name: str, seconds: float = 0, **options: Any) -> None:
        begin(self, name, min(seconds, BEAT_SECONDS) or BEAT_SECONDS, **options)

    Heartbeat.__init__ = quick  # type: ignore[method-assign] # the sabotage
    settings = load(os.environ)
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
    return work(settings, lease_seconds=int(lease_seconds))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
