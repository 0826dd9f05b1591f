"""
10,000 arbitrary jobs, and 10,000 arbitrary responses of a CA.

A generator with a fixed seed creates them, so a failure is reproducible.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis import Redis

from certworker.acme.order import Order
from certworker.acme.polling import OrderContext
from certworker.acme.problems import failure_from_reply
from certworker.acme.renewal_info import RenewalInfo
from certworker.acme.resources import OrderState
from certworker.acme.session import Session
from certworker.acme.transport import Reply, Transport
from certworker.certificates import Certificate, PrivateKey
from certworker.challenges.challenge import DNS01, HTTP01
from certworker.errors import CertworkerError
from certworker.runtime import build_tasks
from certworker.worker.job_class import job_class_for
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority

COUNT = 10_000

#: Names with which an attacker may try to write to another path.
NAMES = (
    "../../etc/passwd",
    "/etc/cron.d/job",
    "..",
    "a/../../b.localhost",
    "shop.localhost\x00.pem",
    "shop.localhost\n- exec: rm",
    "*.localhost",
    "xn--ls8h.localhost",
    "a" * 64 + ".localhost",
    "%2e%2e%2f",
    "{{shop}}.localhost",
    "`id`.localhost",
    "ünïcode..localhost",
    "169.254.169.254",
    "shop.localhost:80",
    "http://shop.localhost/",
    "-.localhost",
    "com",
    "",
)
WORDS = (
    "domain",
    "domains",
    "force",
    "use_full_quota",
    "tenant",
    "certworker.issue",
    "certworker.remove",
    "os.system",
)


def value(random: Random, depth: int = 0) -> Any:
    """
    Return an arbitrary JSON value.
    """
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: random.random() < 0.5,
        lambda: random.choice((0, -1, 2**70, 1e308, random.randrange(10**6))),
        lambda: random.choice(NAMES),
        lambda: random.choice(WORDS),
        lambda: text(random),
    ]
    if depth < 4:
        kinds += [
            lambda: [value(random, depth + 1) for _ in range(random.randrange(4))],
            lambda: {text(random): value(random, depth + 1) for _ in range(random.randrange(4))},
        ]
    return random.choice(kinds)()


def text(random: Random) -> str:
    """
    Return a few arbitrary characters, including control characters.
    """
    return "".join(chr(random.choice((random.randrange(128), random.randrange(0xD800)))) for _ in range(8))


def damaged(random: Random, content: bytes) -> bytes:
    """
    Return *content*, in some cases with changed, lost or repeated bytes.
    """
    if random.random() < 0.8:
        return content
    place, end = sorted((random.randrange(len(content) + 1), random.randrange(len(content) + 1)))
    return content[:place] + random.choice((b"", random.randbytes(3), content[place:end] * 2)) + content[end:]


def job(random: Random) -> bytes:
    """
    Return the data of a job: a call with arbitrary values.
    """
    keywords = {
        word: random.choice((random.choice(NAMES), value(random)))
        for word in random.sample(WORDS[:5], random.randrange(4))
    }
    call = [
        random.choice((*WORDS[5:], "certworker.issue", "certworker.issue", value(random))),
        random.choice((None, None, None, value(random))),
        random.choice(([], [], [], value(random), [random.choice(NAMES)])),
        random.choice((keywords, keywords, keywords, value(random))),
    ]
    data = json.dumps(call, ensure_ascii=random.random() < 0.5).encode()
    data = damaged(random, data)
    return zlib.compress(data) if random.random() < 0.3 else data


def everything(root: Path) -> set[Path]:
    """
    Return all files and directories below *root*.
    """
    return set(root.rglob("*"))


def ended(attempt: Callable[[], object]) -> object:
    """
    Return the result of *attempt*, or the failure that it raises. Other exceptions pass.
    """
    try:
        return attempt()
    except CertworkerError as failure:
        return failure


class TestJobs:
    @pytest.mark.timeout(300)
    def test_ten_thousand_are_rejected_with_one_warning_each_and_without_a_file(
        self,
        connection: Redis,
        app_authority: FaultyAuthority,
        tmp_path: Path,
        http_port: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The worker logs one printable warning for each job, and writes no file. It rejects valid names, too,
        because it lacks the settings for a public CA.
        """
        random, refused = Random(1), 0
        caplog.set_level(logging.WARNING, "certworker")
        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_PRIVATE_NETWORK="false") as app:
            kind, before = job_class_for(build_tasks(app)), everything(tmp_path.parent)
            for number in range(COUNT):
                caplog.clear()
                data = job(random)
                given = kind(f"job-{number}", connection=connection, serializer="json")
                given.restore({"data": data})
                result = ended(given.perform)
                if isinstance(result, CertworkerError):
                    refused += 1
                    assert [True] == [message.isprintable() for message in caplog.messages], data
                else:
                    # The removal of a name without a certificate succeeds and changes nothing.
                    assert isinstance(result, dict)
                    assert "unknown" == result["state"], data

        assert refused > COUNT * 0.9
        # An attempt creates only lock files in each directory.
        made = everything(tmp_path.parent) - before
        assert {".certworker", "lock", "writing.lock"} >= {path.name for path in made}
        assert [] == app_authority.requests


#: The valid content by the first part of a path.
TEMPLATES: dict[str, dict[str, Any]] = {
    "directory": {
        "newNonce": "http://127.0.0.1/nonce",
        "newAccount": "http://127.0.0.1/account",
        "newOrder": "http://127.0.0.1/order",
        "renewalInfo": "http://127.0.0.1/info",
        "meta": {"profiles": {"classic": "as ever"}, "caaIdentities": ["ca.example"]},
    },
    "order": {
        "status": "pending",
        "expires": "2026-12-01T00:00:00Z",
        "identifiers": [{"type": "dns", "value": "shop.localhost"}],
        "authorizations": ["http://127.0.0.1/authorization/1"],
        "finalize": "http://127.0.0.1/order/1/finalize",
        "error": {"type": "urn:ietf:params:acme:error:caa", "detail": "no", "status": 403},
    },
    "authorization": {
        "status": "pending",
        "identifier": {"type": "dns", "value": "shop.localhost"},
        "challenges": [
            {
                "type": "http-01",
                "url": "http://127.0.0.1/challenge/1",
                "token": "t",
                "error": {"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN"},
                "validationRecord": [{"addressUsed": "127.0.0.1"}],
            }
        ],
    },
    "problem": {
        "type": "urn:ietf:params:acme:error:rateLimited",
        "detail": "too many new orders, retry after 2026-12-01 00:00:00 UTC",
        "status": 429,
        "subproblems": [{"type": "urn:ietf:params:acme:error:caa", "identifier": {"value": "a.org"}}],
    },
    "info": {"suggestedWindow": {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"}},
    "challenge": {"type": "http-01", "status": "processing", "url": "http://127.0.0.1/challenge/1"},
}

#: The states of an order and of an authorization.
STATES = ("pending", "ready", "processing", "valid", "invalid", "expired")


def answer(random: Random, url: str) -> Reply:
    """
    Return a response of a CA at *url* with some arbitrary values.
    """
    path = url.removeprefix("http://127.0.0.1/").partition("/")[0]
    status = random.choice((200, 200, 200, 200, 200, 201, 400, 403, 429, 500))
    # The URL may be an arbitrary one from a response.
    path = path if path in TEMPLATES else random.choice(sorted(TEMPLATES))
    document = dict(TEMPLATES["problem" if status >= 400 else path])
    if "authorizations" in document:
        document["status"] = random.choice(STATES)
    for name in random.sample(sorted(document), random.choice((0, 0, 0, 1, 1))):
        document[name] = value(random)
    body = damaged(random, json.dumps(document).encode())
    headers = {
        "Content-Type": random.choice(("application/json", "text/html", text(random))),
        "Retry-After": random.choice(("", "10", "-1", "9" * 400, "Mon, 99 Jan 0000", text(random))),
        "Link": random.choice(("", '<http://x>;rel="up"', "<", ';rel="alternate"', text(random))),
        "Replay-Nonce": text(random),
    }
    return Reply(url, status, headers, body)


class Parrot(Transport):
    """
    A transport to a CA with arbitrary responses.
    """

    def __init__(self, random: Random) -> None:
        self.random = random

    def send(self, method: str, url: str, body: bytes | None = None) -> Reply:
        """
        Return the next arbitrary response.
        """
        return answer(self.random, url)


@dataclass
class Clock:
    """
    A clock that only :meth:`sleep` advances.
    """

    now: datetime = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        """
        Advance the clock by *seconds*.
        """
        self.now += timedelta(seconds=seconds)


class TestAnswers:
    @pytest.mark.timeout(300)
    def test_ten_thousand_are_accepted_or_rejected(self) -> None:
        """
        Each arbitrary response leads to a result or to a failure with a code.
        """
        random, clock, result = Random(2), Clock(), Counter[str]()
        key, base = PrivateKey.generate(), "http://127.0.0.1"

        def ask(url: str, _payload: dict[str, Any] | None = None) -> Reply:
            result["answers"] += 1
            if (reply := answer(random, url)).status >= 400:
                raise failure_from_reply(reply, "The CA", clock())
            return reply

        def types(_name: str) -> str:
            return random.choice([HTTP01, DNS01])

        world = OrderContext("The CA", ask, "thumbprint", "Root", types, clock, clock.sleep, random)

        def order() -> object:
            placed = Order(
                ("shop.localhost",), f"{base}/order/1", OrderState.read(ask(f"{base}/order")), world
            )
            placed.validate()
            return Certificate.from_pem(placed.finalize(b"request"), key)

        def advice() -> object:
            result["answers"] += 2
            network = Session("The CA", f"{base}/directory", Parrot(random), clock)
            return RenewalInfo(network, clock).suggestion("an.id", ("shop.localhost",))

        while result["answers"] < COUNT:
            failure = ended(random.choice((order, order, advice)))
            if isinstance(failure, CertworkerError):
                result[failure.code] += 1
                assert str(failure).isprintable()
                assert failure.until is None or failure.until.tzinfo

        assert len(result) > 8
