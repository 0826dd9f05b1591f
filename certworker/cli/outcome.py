"""
The output of commands that make requests: positions in the queue, and outcomes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from shlex import quote

import click
from redis import Redis

from certworker.cli.output import progress_line, reference, say, say_json
from certworker.worker.queue_stats import are_suspended, job_position, running_workers

#: The id of a job and its names.
Job = tuple[str, tuple[str, ...]]

#: The maximum number of requests that each have a line. More requests share one line, apart from failures.
MOST_LINES = 10

NO_WORKER = "No worker is running. Start one to process the requests: certworker work"

SUSPENDED = "All workers are suspended and start no job. To resume them: rq resume --url redis://HOST:PORT"

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object for each request, one per line."
)


def show_requested(connection: Redis, jobs: Sequence[Job], action: str, *, as_json: bool) -> None:
    """
    Print that *jobs* are requested, and warn if no worker starts jobs.

    With at most :data:`MOST_LINES` jobs, the output has their positions in the queue.

    Args:
        connection: To Redis.
        jobs: The new jobs.
        action: The words for the request: `requested` or `removal requested`.
        as_json: Print one JSON object for each job.
    """
    workers = running_workers(connection)
    few = len(jobs) <= MOST_LINES
    for job_id, names in jobs if few or as_json else ():
        # Redis reads the whole queue to find one position.
        position = job_position(connection, job_id) if few else None
        if as_json:
            say_json(_about(job_id, names) | {"state": "requested", "position": position, "workers": workers})
        else:
            in_queue = f", {ordinal(position)} in the queue" if position else ""
            say(f"{', '.join(names)}: {action}{in_queue}; see its state: certworker status {quote(names[0])}")
    if not (few or as_json):
        say(f"{len(jobs):,} requests were put on the queue; see their progress: certworker status --watch")
    if reason := why_nothing_starts(connection):
        say(reason, err=True)


def show_outcomes(connection: Redis, jobs: Sequence[Job], timeout_seconds: float, *, as_json: bool) -> bool:
    """
    Wait for the outcomes of *jobs*, for at most *timeout_seconds*, and print them; return whether all
    succeeded.

    With more than :data:`MOST_LINES` jobs, print only the failures and a summary. JSON has each outcome.
    """
    # The import of RQ is slow, and only this function needs it.
    from certworker.worker.wait import JobOutcome, wait_for

    if reason := why_nothing_starts(connection):
        say(reason, err=True)
        say(f"Waiting for up to {timeout_seconds:.0f} s.", err=True)
    done: Counter[bool] = Counter()
    with progress_line() as update:

        def report(end: JobOutcome) -> None:
            done[end.ok] += 1
            update(done.total(), done[False], len(jobs))

        ended = wait_for(connection, jobs, timeout_seconds=timeout_seconds, report=report)
    for (job_id, names), end in zip(jobs, ended, strict=True):
        if as_json:
            known = {"ok": end.ok, "state": end.state, "code": end.code, "text": end.text}
            say_json(_about(job_id, names) | known | {"docs": reference(end.code)})
        elif len(jobs) <= MOST_LINES or not end.ok:
            more = f" More: {reference(end.code)}" if reference(end.code) else ""
            say(f"{', '.join(names)}: {end.text}{more}")
    if len(jobs) > 1 and not as_json:
        say(_summary(end.state for end in ended))
    return all(end.ok for end in ended)


def why_nothing_starts(connection: Redis) -> str:
    """
    Return why no worker takes requests from the queue, with the remedy.

    Return an empty string if a worker takes requests, or if Redis does not permit the query.
    """
    if running_workers(connection) == 0:
        return NO_WORKER
    return SUSPENDED if are_suspended(connection) else ""


def ordinal(number: int) -> str:
    """
    Return *number* as an ordinal: 1st, 2nd, 3rd, 4th.
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _about(job_id: str, names: tuple[str, ...]) -> dict[str, object]:
    return {"job": job_id, "name": names[0], "names": list(names)}


def _summary(states: Iterable[str]) -> str:
    counted = Counter(states)
    return ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in counted.most_common()) + "."
