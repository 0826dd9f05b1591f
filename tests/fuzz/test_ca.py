"""
CA: the CA, or a proxy in front of it, can send any response to each request.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.client import AcmeClient
from certworker.certificates import Certificate, PrivateKey
from certworker.devca.messages import Reply, Request
from certworker.errors import CertworkerError
from tests.acme.clients import client_of, presented
from tests.fuzz.strategies import anything, places, raw, texts, written
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.tampering import tampered

NAME, NEIGHBOR = "shop.localhost", "neighbor.localhost"

KINDS = ["directory", "newNonce", "newAccount", "newOrder", "order", "authorization", "challenge", "finalize"]
KINDS += ["certificate", "renewalInfo", "account"]

#: The possible values of an HTTP header.
values = texts.filter(lambda text: text.isascii() and text.isprintable()) | st.sampled_from(
    [
        "<https://[>; rel=up",
        '</alternate>;rel="alternate"',
        "<",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "9" * 30,
        "-5",
        "soon",
    ]
)
headers = st.dictionaries(
    st.sampled_from(["Location", "Link", "Retry-After", "Replay-Nonce", "Date", "Content-Type"]),
    values,
    max_size=2,
)
PROBLEM = {
    "type": "urn:ietf:params:acme:error:malformed",
    "detail": "No.",
    "status": 400,
    "subproblems": [
        {"type": "urn:ietf:params:acme:error:caa", "detail": "No.", "identifier": {"value": NAME}}
    ],
}
KINDS_OF_PROBLEMS = [
    "badNonce",
    "rateLimited",
    "accountDoesNotExist",
    "userActionRequired",
    "serverInternal",
    "odd",
]


@dataclass(frozen=True)
class Lie:
    """
    The changes of one response.
    """

    status: int | None
    headers: dict[str, str]
    #: Numbers that select members of the JSON body, each with a new value.
    members: list[tuple[int, Any]]
    body: bytes | None

    def of(self, reply: Reply) -> Reply:
        """
        Return *reply* with the changes.
        """
        body = reply.body if self.body is None else self.body
        with suppress(ValueError):
            body = self._spoiled(body)
        kept = {**reply.headers, **self.headers}
        return replace(reply, status=self.status or reply.status, headers=kept, body=body)

    def _spoiled(self, body: bytes) -> bytes:
        document = json.loads(body)
        for number, value in self.members:
            if ways := places(document):
                *way, last = ways[number % len(ways)]
                parent = document
                for key in way:
                    parent = parent[key]
                parent[last] = value
        return written(document)


problems = st.sampled_from(KINDS_OF_PROBLEMS).map(
    lambda kind: written({**PROBLEM, "type": f"urn:ietf:params:acme:error:{kind}"})
)
states = st.sampled_from(["pending", "processing", "ready", "valid", "invalid", "deactivated", "expired"])
lies = st.builds(
    Lie,
    status=st.none() | st.none() | st.sampled_from([200, 201, 204, 301, 400, 404, 405, 409, 429, 500, 503]),
    headers=headers,
    members=st.lists(st.tuples(st.integers(0, 30), anything | states), max_size=3),
    body=st.none() | st.none() | st.none() | raw | problems | anything.map(written),
)


@dataclass
class Clock:
    """
    A clock that :meth:`sleep` advances immediately.
    """

    passed: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def sleep(self, seconds: float) -> None:
        """
        Advance the clock by *seconds*.
        """
        self.passed += timedelta(seconds=seconds)


@pytest.fixture
def issue(challenge_server: ChallengeServer) -> Callable[[AcmeClient, str], Certificate]:
    """
    Return a function that orders a certificate, from the order to the check of the chain.
    """

    def ordered(client: AcmeClient, name: str) -> Certificate:
        order = presented(client.order((name,)), challenge_server)
        order.validate()
        key = PrivateKey.generate()
        certificate = Certificate.from_pem(order.finalize(key.sign_request((name,))), key)
        certificate.check((name,), datetime.now(UTC))
        return certificate

    return ordered


@given(message=st.dictionaries(st.sampled_from(KINDS), lies, min_size=1, max_size=3), fresh=st.booleans())
def test_order(
    authority: FaultyAuthority,
    issue: Callable[[AcmeClient, str], Certificate],
    tmp_path_factory: pytest.TempPathFactory,
    message: dict[str, Lie],
    fresh: bool,
) -> None:
    """
    An order ends with a certificate or a documented failure, and the neighbor gets a certificate a day later.
    """
    clock = Clock()
    place: Path = tmp_path_factory.mktemp("state")
    client = client_of(
        authority.directory_url, place, clock=clock, sleep=clock.sleep, preferred_chain="Other"
    )
    if not fresh:
        issue(client, NAME)

    def change(request: Request, reply: Reply) -> Reply:
        return message[request.kind].of(reply) if request.kind in message else reply

    with tampered(authority, change):
        attempts: list[Callable[[], object]] = [
            client.check,
            lambda: issue(client, NAME),
            lambda: client.renewal_suggestion("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", (NAME,)),
            client.account_admin.info,
        ]
        for attempt in attempts:
            failure = _failure_of(attempt)
            assert failure is None or str(failure).isprintable()
    clock.sleep(25 * 3_600)
    assert NEIGHBOR in _issued_at_last(client, issue, clock).names


def _failure_of(attempt: Callable[[], object]) -> CertworkerError | None:
    try:
        attempt()
    except CertworkerError as failure:
        return failure
    return None


def _issued_at_last(
    client: AcmeClient, issue: Callable[[AcmeClient, str], Certificate], clock: Clock
) -> Certificate:
    for _ in range(2):
        with suppress(CertworkerError):
            return issue(client, NEIGHBOR)
        clock.sleep(600)
    return issue(client, NEIGHBOR)
