"""
Scenarios of jobs on the queue, which any program with access to Redis can send.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import pytest

from certworker.app import App
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import SOON, Scenario, check_scenario, each_scenario


def call(function: str = "certworker.issue", **keywords: object) -> bytes:
    """
    Return the data of a job.
    """
    return json.dumps([function, None, [], keywords]).encode()


def sent(data: bytes, **fields: str | int) -> Callable[[Installation], object]:
    """
    Return a step that sends a job with *data* and additional *fields* in its hash.
    """
    return lambda installation: installation.send(data, **fields)


def refused(title: str, code: str, data: bytes, remedy: str, **fields: str | int) -> Scenario:
    """
    Return a scenario with a job that does not start.
    """
    return Scenario(title, code, sent(data, **fields), remedy, retry_after=None, shows="queue")


def too_long(installation: Installation) -> None:
    """
    Make the CA respond after the time limit of the job.
    """
    installation.ca.slow_seconds["newOrder"] = 4
    installation.send(call(domain=NAME), timeout=1)


def left_behind(installation: Installation) -> None:
    """
    Abandon the job, as after a crash of the second worker.
    """
    installation.send(call(domain=NAME), status="started", abandoned=1)
    installation.connection.lpop("rq:queue:certificates")
    installation.connection.zadd("rq:wip:certificates", {"scenario:execution": 1})


def key_of_another_type(installation: Installation) -> None:
    """
    Write a list to the key of the record.
    """

    def plant(app: App) -> None:
        app.connection.lpush(f"certworker:name:{NAME}", "x")

    installation.before.append(plant)


SCENARIOS = [
    refused(
        "a callback, which may be any program",
        "queue.bad_payload",
        call(domain=NAME),
        "certworker request NAME",
        success_callback_name="os.system",
    ),
    refused(
        "a function that is not registered",
        "queue.not_registered",
        call("os.system", domain=NAME),
        "certworker.issue",
    ),
    refused("half a request", "payload.json", call()[:-3], "Send JSON as in docs/reference/queue"),
    refused("Latin-1", "payload.encoding", call(domain="x").replace(b"x", b"\xfc"), "UTF-8"),
    refused(
        "a pickle",
        "payload.pickle",
        pickle.dumps(("certworker.issue", None, (), {"domain": NAME})),
        "serializer=JSONSerializer",
    ),
    refused(
        "a misspelled argument",
        "payload.unknown",
        call(domain=NAME, forse=True),
        "domain, domains, force, use_full_quota, tenant, by",
    ),
    refused(
        "the same key twice",
        "payload.duplicate_key",
        call(domain="shop.org", domains=["x"]).replace(b"domains", b"domain"),
        "Send each key once",
    ),
    refused("no domain", "payload.missing", call(), '"domain": "api.example.org"'),
    refused(
        "a request that is too large",
        "payload.too_large",
        call(domain=NAME, note="x" * 70_000),
        "Send only names",
    ),
    refused(
        "too many names",
        "payload.too_many_names",
        call(domains=[f"n{number}.{NAME}" for number in range(101)]),
        "Send several jobs",
    ),
    Scenario(
        "a CA that answers after the time limit of the job",
        "queue.timeout",
        too_long,
        "certworker doctor",
        asked=True,
        retry_after=SOON,
        shows="queue",
    ),
    Scenario(
        "two workers crashed during the job",
        "queue.abandoned",
        left_behind,
        "docker compose logs --tail 200",
        retry_after=None,
        shows="queue",
    ),
    Scenario(
        "a key of another type",
        "redis.wrong_type",
        key_of_another_type,
        f"certworker:name:{NAME} was a list, not a hash",
        asked=True,
        shows="warning",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy has the correct form, and the worker continues.
    """
    check_scenario(scenario, installation, caplog)
