"""
The main job from end to end, with a real worker process, a real Redis and a real CA.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from redis import Redis

from certworker.devca.proxy import DevelopmentProxy, handshake
from certworker.traefik.config import TraefikConfig
from certworker.worker.producer import queue_length, request_certificate
from tests.app_fixture import environment
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.trickle import trickling
from tests.servers.worker import WorkerProcess, wait_until

NAME = "shop.localhost"


@pytest.fixture
def http_port() -> int:
    """
    Return the port of the worker's HTTP server, to which the CA connects for validation.
    """
    return free_port()


@pytest.fixture
def authority(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    Start a CA that connects to the port of the worker for validation.
    """
    with development_authority(tmp_path, http01_port=http_port) as started:
        yield started


@pytest.fixture
def worker(
    tmp_path: Path, own_redis: RedisServer, authority: FaultyAuthority, http_port: int
) -> Iterator[WorkerProcess]:
    """
    Yield a worker that is not started. A test may change its environment first.
    """
    variables = environment(
        tmp_path,
        authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(own_redis.port),
        _APP_DOMAIN="main.localhost",
    )
    process = WorkerProcess(variables, tmp_path / "worker.log")
    yield process
    process.kill()


def orders(authority: FaultyAuthority, name: str) -> int:
    """
    Return the number of orders for *name* that the CA received.
    """
    return sum(asked.kind == "newOrder" and name in asked.names for asked in authority.requests)


class TestIssuance:
    def test_a_request_becomes_a_served_certificate(
        self, worker: WorkerProcess, own_redis: RedisServer, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A request in the queue leads to a TLS handshake with a trusted certificate.
        """
        worker.start()
        with own_redis.client() as connection:
            request_certificate(NAME, connection=connection)
        worker.wait_for_line(f"{NAME}: certificate issued")

        proxy = DevelopmentProxy(TraefikConfig(tmp_path / "config").files)
        proxy.start()
        shown = handshake(NAME, proxy.port, authority.root_path)
        proxy.stop()

        assert (("DNS", NAME),) == shown["subjectAltName"]

    def test_a_success_has_few_log_lines_and_the_last_one_has_the_next_check(
        self, worker: WorkerProcess, own_redis: RedisServer
    ) -> None:
        """
        A successful issuance logs 5 to 8 lines, and the last line has the next check.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        with own_redis.client() as connection:
            request_certificate(NAME, connection=connection)
        last = worker.wait_for_line(f"{NAME}: certificate issued")
        lines = [line for line in worker.log.splitlines() if f" {NAME}: " in line]

        assert 5 <= len(lines) <= 8
        assert "next_check=20" in last

    def test_the_names_of_app_domain_are_checked_at_every_start(
        self, worker: WorkerProcess, authority: FaultyAuthority
    ) -> None:
        """
        A restart requests the names of `_APP_DOMAIN` again, and places no order for a valid certificate.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        assert 0 == worker.terminate()
        worker.start()
        worker.wait_for_line("main.localhost: certificate valid, nothing to do")

        assert 1 == orders(authority, "main.localhost")

    def test_a_certificate_is_renewed_automatically(
        self, worker: WorkerProcess, own_redis: RedisServer, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The worker renews a certificate without another request.
        """
        authority.lifetime = timedelta(seconds=8)
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        wait_until(lambda: orders(authority, "main.localhost") > 1 or None, lambda: worker.log)
        assert "scheduled" in str(own_redis.client().keys("rq:scheduled:*"))


class TestSlowConnections:
    def test_hundreds_of_them_do_not_stop_an_issuance(
        self, worker: WorkerProcess, own_redis: RedisServer
    ) -> None:
        """
        The CA gets the challenge response while 780 slow clients are connected to the same port.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        with trickling("127.0.0.1", worker.http_port, 780), own_redis.client() as connection:
            request_certificate(NAME, connection=connection)
            worker.wait_for_line(f"{NAME}: certificate issued")


class TestOneOrder:
    def test_a_thousand_requests_by_four_producers_are_one_order(
        self, worker: WorkerProcess, own_redis: RedisServer, authority: FaultyAuthority
    ) -> None:
        """
        1,000 requests for a name lead to one order. Half of them use RPUSH with their own ids.
        """

        def produce(producer: int) -> None:
            with own_redis.client() as connection:
                for number in range(250):
                    if producer % 2:
                        request_certificate(NAME, connection=connection)
                    else:
                        push(connection, f"by-hand-{producer}-{number}")

        worker.environment["_APP_DOMAIN"] = NAME
        worker.start()
        with ThreadPoolExecutor(4) as producers:
            list(producers.map(produce, range(4)))
        worker.wait_for_line(f"{NAME}: certificate issued")
        with own_redis.client() as connection:
            wait_until(lambda: queue_length(connection) == 0 or None, lambda: worker.log)
        assert 0 == worker.terminate()

        assert 1 == orders(authority, NAME)


def push(connection: Redis, job_id: str) -> None:
    """
    Push a job in the wire format, as a producer in any language may.
    """
    call = json.dumps(["certworker.issue", None, [], {"domain": NAME}])
    connection.hset(f"rq:job:{job_id}", mapping={"data": call, "origin": "certificates"})
    connection.rpush("rq:queue:certificates", job_id)


class TestFailures:
    def test_after_a_flush_of_redis_the_agenda_is_restored(
        self, worker: WorkerProcess, own_redis: RedisServer, authority: FaultyAuthority
    ) -> None:
        """
        After a flush of Redis, the worker restores the agenda from the volume and orders nothing again.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        worker.terminate()
        with own_redis.client() as connection:
            connection.flushall()
            worker.environment["_APP_DOMAIN"] = "other.localhost"
            worker.start()
            worker.wait_for_line("added names from the volume to the agenda")

            assert connection.zscore("certworker:agenda", "main.localhost")
        assert 1 == orders(authority, "main.localhost")

    def test_the_worker_waits_for_redis(self, worker: WorkerProcess, own_redis: RedisServer) -> None:
        """
        A worker that starts before Redis logs the failure, and continues as soon as Redis starts.
        """
        own_redis.kill()
        worker.start()
        worker.wait_for_line("redis.unreachable")
        own_redis.start()

        worker.wait_for_line("main.localhost: certificate issued")

    def test_all_wrong_settings_are_reported_at_once(self, worker: WorkerProcess) -> None:
        """
        The worker reports all invalid settings together, without their values, and exits with code 2.
        """
        worker.environment |= {"CERTWORKER_KEY_TYPE": "dsa", "CERTWORKER_CONCURRENCY": "many"}
        ended = worker.command("work")

        assert 2 == ended.returncode
        assert "CERTWORKER_KEY_TYPE" in ended.stdout
        assert "CERTWORKER_CONCURRENCY" in ended.stdout
        assert "Traceback" not in ended.stdout + ended.stderr
        assert "dsa" not in ended.stdout


class TestCommands:
    def test_request_waits_for_the_outcome(self, worker: WorkerProcess) -> None:
        """
        `request --wait` prints the outcome, and its exit code shows whether a name failed.
        """
        worker.start()
        good = worker.command("request", "--wait", NAME)
        bad = worker.command("request", "--wait", "nowhere.invalid")

        assert (0, f"{NAME}: issued\n") == (good.returncode, good.stdout)
        assert 1 == bad.returncode
        assert "[" in bad.stdout

    def test_status_shows_states_days_and_remedies(self, worker: WorkerProcess) -> None:
        """
        `status` shows the state of each name, its days left, and the remedy of a failure.
        """
        worker.start()
        worker.command("request", "--wait", NAME, "nowhere.invalid")
        shown = worker.command("status", "--json")
        rows = {row["name"]: row for row in map(json.loads, shown.stdout.splitlines())}

        assert "valid" == rows[NAME]["state"]
        assert rows[NAME]["days_left"] > 80
        assert "failed" == rows["nowhere.invalid"]["state"]
        assert rows["nowhere.invalid"]["remedy"]
        assert 1 == worker.command("status", "unknown.localhost").returncode

    def test_doctor_finds_nothing_wrong_on_a_healthy_machine(self, worker: WorkerProcess) -> None:
        """
        `doctor` reports 0 problems on a healthy machine.
        """
        worker.start()
        worker.wait_for_line("certificate issued")
        ended = worker.command("doctor")

        assert (0, "") == (ended.returncode, ended.stderr)
        assert "0 problems" in ended.stdout

    def test_health_and_metrics_follow_the_state_of_redis(
        self, worker: WorkerProcess, own_redis: RedisServer
    ) -> None:
        """
        `/healthz` returns 503 after Redis stops, and `/metrics` counts the issued certificates.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")

        assert 0 == worker.command("health").returncode
        assert 'certworker_jobs_total{code="",outcome="issued"} 1.0' in worker.get("/metrics")[1]
        own_redis.kill()
        assert 503 == worker.get("/healthz")[0]


class TestFilesForReaders:
    def test_traefik_reads_an_immutable_directory_and_others_read_links(
        self, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        Traefik's file names the immutable directory, and the links for other readers lead to the same key.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        message = yaml.safe_load((tmp_path / "config" / "main.localhost.yml").read_text())
        pair = message["tls"]["certificates"][0]

        assert "/.certworker/generations/" in pair["certFile"]
        assert (
            Path(pair["keyFile"]).read_bytes()
            == (tmp_path / "certificates" / "main.localhost" / "privkey.pem").read_bytes()
        )
        assert 0o600 == Path(pair["keyFile"]).stat().st_mode & 0o777
