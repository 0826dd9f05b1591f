"""
Renewals at CAs of other projects, by a complete worker in real time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certworker.issuance.pending_orders import ORDERS
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.validity import now_in_utc
from certworker.worker.producer import request_certificate
from tests.app_fixture import environment
from tests.interop.step_ca import StepCa
from tests.servers.redis import RedisServer
from tests.servers.web import always
from tests.servers.worker import WorkerProcess, wait_until

NAME = "shop.localhost"

#: step-ca backdates its certificates by a minute. They are due when half of the three minutes is left. Caddy
#: uses the same library, and issues no certificate for less than five minutes.
LIFETIME = timedelta(minutes=2)

#: The number of failures. The second one begins with the state after the first.
FAILURES = 2


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[StepCa]:
    """
    Start a CA whose certificates expire after two minutes.
    """
    directory = tmp_path / "authority"
    directory.mkdir()
    with StepCa(directory, LIFETIME) as started:
        yield started


@pytest.fixture
def worker(tmp_path: Path, own_redis: RedisServer, authority: StepCa) -> Iterator[WorkerProcess]:
    """
    Start a worker.
    """
    variables = environment(
        tmp_path,
        authority.directory_url,
        authority.http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(own_redis.port),
        CERTWORKER_CA_BUNDLE=str(authority.ca_bundle),
    )
    with WorkerProcess(variables, tmp_path / "log") as started:
        started.wait_for_line("ready")
        yield started


class TestRenewal:
    @pytest.mark.timeout(240)
    def test_a_renewal_succeeds_after_failed_validations(
        self, tmp_path: Path, own_redis: RedisServer, authority: StepCa, worker: WorkerProcess
    ) -> None:
        """
        Another server responds to the CA at first. Each failure has the reason of the CA, and the renewal
        succeeds before the certificate expires.
        """
        store = CertificateStore(tmp_path / "certificates")
        with own_redis.client() as connection:
            request_certificate(NAME, connection=connection)
            first = wait_until(lambda: served(store), lambda: worker.log)

            with authority.misled(NAME, always(200, "down for maintenance")):
                wait_until(
                    lambda: worker.log.count("not issued: [http.wrong_body]") >= FAILURES or None,
                    lambda: worker.log,
                    seconds_until(first.not_after),
                )
                status = json.loads(worker.command("status", "--json", NAME).stdout)
                assert first == served(store)
                assert not connection.keys(f"{ORDERS}*")
            wait_until(
                lambda: served(store) != first or None, lambda: worker.log, seconds_until(first.not_after)
            )

        assert "http.wrong_body" == status["code"]
        assert "The server will not issue certificates for the identifier" in status["message"]
        assert "resuming the pending order" not in worker.log
        assert "acme.pending_timeout" not in worker.log


def served(store: CertificateStore) -> CertificateMetadata | None:
    """
    Return the certificate in service.
    """
    stored = store.current(NAME)
    return stored.metadata if stored else None


def seconds_until(moment: datetime) -> float:
    """
    Return the seconds until *moment*.
    """
    return (moment - now_in_utc()).total_seconds()
