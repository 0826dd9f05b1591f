"""
A12 and E: jobs on the queue, as whoever can write to Redis sends them.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import pytest

from certworker.app import App
from tests.scenarios.scenario import SOON, Scene, play, played
from tests.scenarios.worlds import NAME, Stage


def call(function: str = "certworker.issue", **keywords: object) -> bytes:
    """
    The data of a job.
    """
    return json.dumps([function, None, [], keywords]).encode()


def sent(data: bytes, **fields: str | int) -> Callable[[Stage], object]:
    """
    A job with *data*, and these further fields in its hash.
    """
    return lambda stage: stage.send(data, **fields)


def refused(title: str, code: str, data: bytes, remedy: str, **fields: str | int) -> Scene:
    """
    A scene with a job that is never begun.
    """
    return Scene(title, code, sent(data, **fields), remedy, again=None, shows="queue")


def too_long(stage: Stage) -> None:
    """
    The CA takes longer than the job may.
    """
    stage.ca.slow_seconds["newOrder"] = 4
    stage.send(call(domain=NAME), timeout=1)


def left_behind(stage: Stage) -> None:
    """
    A second worker has died of the job.
    """
    stage.send(call(domain=NAME), status="started", abandoned=1)
    stage.connection.lpop("rq:queue:certificates")
    stage.connection.zadd("rq:wip:certificates", {"scene:execution": 1})


def a_key_of_another_type(stage: Stage) -> None:
    """
    Another program keeps a list in the place of the record.
    """

    def plant(app: App) -> None:
        app.connection.lpush(f"certworker:name:{NAME}", "x")

    stage.before.append(plant)


SCENES = [
    refused(
        "a callback, which could be any program",
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
        "an argument with a slip of the pen",
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
        "a whole book",
        "payload.too_large",
        call(domain=NAME, note="x" * 70_000),
        "Send only names",
    ),
    refused(
        "more names than a certificate has",
        "payload.too_many_names",
        call(domains=[f"n{number}.{NAME}" for number in range(101)]),
        "Send several jobs",
    ),
    Scene(
        "a CA that is slower than the job may be",
        "queue.timeout",
        too_long,
        "certworker doctor",
        asked=True,
        again=SOON,
        shows="queue",
    ),
    Scene(
        "two workers died with it",
        "queue.abandoned",
        left_behind,
        "docker compose logs --tail 200",
        again=None,
        shows="queue",
    ),
    Scene(
        "a key of another type",
        "redis.wrong_type",
        a_key_of_another_type,
        f"certworker:name:{NAME} was a list, not a hash",
        asked=True,
        shows="warning",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells what to send instead; the worker goes on.
    """
    play(scene, stage, caplog)
