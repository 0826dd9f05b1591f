"""
A Redis that fails before each command of a renewal.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.redis.failures import to_failure
from certworker.state.locks import LOCKS
from tests.app_fixture import open_app
from tests.faults.accidents import Accidents
from tests.faults.service import NAME, in_service
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer


@pytest.fixture
def app(
    tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> Iterator[App]:
    """
    Open an app at `server` with a certificate for NAME in service.
    """
    with (
        Redis(host="127.0.0.1", port=own_redis.port, retry=Retry(NoBackoff(), 3)) as connection,
        open_app(tmp_path, connection, app_authority.directory_url, http_port) as opened,
    ):
        opened.issuance.issue((NAME,))
        yield opened


def renewed(app: App, number: int | None, accident: Callable[[], object]) -> tuple[str, int]:
    """
    Renew the certificate with *accident* before the command *number*, from 0. None means no accident.

    Returns:
        "issued" or the code of the failure, and the number of commands.
    """
    kind: Any = redis.connection.AbstractConnection
    send, thread, seen = kind.send_packed_command, threading.get_ident(), 0

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        if threading.get_ident() == thread:
            seen += 1
            if seen - 1 == number:
                # Commands of the accident do not count.
                kind.send_packed_command = send
                accident()
                kind.send_packed_command = counting
        return send(*arguments, **options)

    kind.send_packed_command = counting
    try:
        outcome: str = app.issuance.issue((NAME,), force=True).state
    except RedisError as error:
        outcome = to_failure(error, "here").code
    except CertworkerError as failure:
        outcome = failure.code
    finally:
        kind.send_packed_command = send
    return outcome, seen


class TestRenewals:
    @pytest.mark.timeout(300)
    @pytest.mark.parametrize(
        "accident", ["cut", "empty", "evict", "crowd", "hang", "read_only", "fill", "kill"]
    )
    def test_after_an_accident_at_each_command_the_certificate_is_in_service(
        self, app: App, own_redis: RedisServer, accident: str
    ) -> None:
        """
        After a fault of Redis at any command, the certificate stays in service, and the agenda is restored.
        """
        accidents, outcomes = Accidents(own_redis), Counter[str]()
        _, steps = renewed(app, None, accidents.repair)
        for number in range(steps):
            outcome, _ = renewed(app, number, getattr(accidents, accident))
            outcomes[outcome] += 1
            assert in_service(app, NAME)
            accidents.repair()
            # The app may not have released the lock. In production, its lease ends.
            app.connection.delete(LOCKS + NAME)
            app.reconciler.reconcile()
            assert NAME in app.agenda

        assert steps >= 12
        assert accident != "crowd" or accidents.evicted >= steps
        assert EXPECTED[accident] >= set(outcomes), outcomes
        assert "issued" == app.issuance.issue((NAME,), force=True).state
        # A read-only Redis still has tokens, which the maintenance of the worker removes.
        assert accident == "read_only" or {} == app.tokens.all()
        assert {NAME} >= {token.name for token in app.tokens.all().values()}


#: The possible outcomes of a renewal for each accident.
EXPECTED = {
    "cut": {"issued"},
    "empty": {"issued", "http.404"},
    "evict": {"issued", "http.404"},
    "crowd": {"issued", "http.404"},
    "hang": {"issued"},
    "read_only": {"issued", "redis.readonly"},
    "fill": {"issued", "redis.oom"},
    "kill": {"issued", "redis.unreachable"},
}
