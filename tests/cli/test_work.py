"""
Tests of the start and the end of the worker.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from redis import Redis

from certworker.cli.work import exit_code_of, log_thread_exception, work
from certworker.errors import Interrupted
from certworker.preflight.runner import SETTLING_SECONDS
from certworker.settings import load
from certworker.state.schema import KEY, SCHEMA
from certworker.worker.producer import request_certificate
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.web import WebServer, response
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess, wait_until


class TestStart:
    def test_the_log_names_the_queue_and_its_length(self, worker: WorkerProcess) -> None:
        """
        The line of the start names the queue, and reports that the worker waits for requests.
        """
        worker.start()
        line = worker.wait_for_line("ready")

        assert 'queue "certificates" (0 waiting)' in line
        assert "waiting for requests" in line

    def test_an_invalid_limits_file_ends_the_start(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        An invalid file of `--override-limits` ends the start, like any invalid setting.
        """
        (tmp_path / "limits.json").write_text('{"letsencrypt": {"orders_per_account": "many"}}')
        worker.environment["CERTWORKER_AUTHORITY"] = "letsencrypt"
        ended = worker.command("work", "--override-limits", str(tmp_path / "limits.json"))

        assert 2 == ended.returncode
        assert "CERTWORKER_LIMITS_FILE must be" in ended.stdout + ended.stderr

    def test_a_port_in_use_is_reported_with_its_code(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        A second worker on the same address ends with the code of the failure.
        """
        worker.start()
        worker.wait_for_line("ready")
        second = WorkerProcess(worker.environment, tmp_path / "second.log")
        second.start()
        second.wait_for_line("config.http_address")
        assert second.process is not None
        assert 2 == second.process.wait(10)

    def test_the_worker_needs_no_assertions(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        With PYTHONOPTIMIZE, which removes assertions, an invalid response of the CA is no unexpected error.
        """
        app_authority.faults.fail("renewalInfo", Fault(200), times=None)
        worker.environment["PYTHONOPTIMIZE"] = "1"
        worker.environment["CERTWORKER_LOG_LEVEL"] = "debug"
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")

        assert "could not read the renewal information: [ca." in worker.log
        assert "Traceback" not in worker.log

    def test_metrics_can_have_a_separate_address(self, worker: WorkerProcess) -> None:
        """
        One address serves the challenge responses, and the other serves the metrics.
        """
        metrics_port = free_port()
        worker.environment["CERTWORKER_METRICS_ADDRESS"] = f"127.0.0.1:{metrics_port}"
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")

        assert [404, 200] == [worker.get(path)[0] for path in ("/metrics", "/healthz")]
        assert 0 == worker.command("health").returncode
        worker.http_port = metrics_port
        assert "certworker_queue_jobs" in worker.get("/metrics")[1]
        assert 200 == worker.get("/healthz")[0]
        assert 404 == worker.get("/.well-known/acme-challenge/token")[0]

    @pytest.mark.parametrize(("http", "metrics"), [("", "off"), ("off", "")])
    def test_one_of_the_two_addresses_can_be_off(
        self, worker: WorkerProcess, http: str, metrics: str
    ) -> None:
        """
        The worker starts without a challenge responder, or without metrics.
        """
        address = f"127.0.0.1:{worker.http_port}"
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = http or address
        worker.environment["CERTWORKER_METRICS_ADDRESS"] = metrics or address
        worker.start()
        worker.wait_for_line("ready")

        assert (404 if metrics else 200) == worker.get("/metrics")[0]

    def test_the_development_ca_issues_for_localhost_by_default(self, worker: WorkerProcess) -> None:
        """
        With Appwrite's default domain `localhost`, the development CA issues the certificate.
        """
        del worker.environment["CERTWORKER_AUTHORITY"]
        worker.environment |= {
            "CERTWORKER_PRIVATE_NETWORK": "",
            "_APP_DOMAIN": "localhost",
            "CERTWORKER_HTTP01_PORT": "",
        }
        worker.start()

        worker.wait_for_line("localhost: certificate issued")

    @pytest.mark.parametrize("private", ["true", ""])
    def test_without_a_domain_nothing_is_requested(
        self, worker: WorkerProcess, private: str, connection: Redis
    ) -> None:
        """
        Without a domain, the worker requests no certificate, in a private network either.
        """
        if not private:
            del worker.environment["CERTWORKER_AUTHORITY"]
        worker.environment |= {"CERTWORKER_PRIVATE_NETWORK": private, "_APP_DOMAIN": ""}
        worker.start()
        assert 0 == worker.command("request", "--wait", "shop.localhost").returncode

        assert [b"shop.localhost"] == connection.zrange("certworker:agenda", 0, -1)

    def test_unwritable_directories_are_reported_together(
        self, forbidden: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The start ends with exit code 2, and the log names each unwritable directory.
        """
        directories = {
            "CERTWORKER_CERTIFICATES_DIR": str(forbidden),
            "CERTWORKER_CONFIG_DIR": str(forbidden / "config"),
            "CERTWORKER_STATE_DIR": str(forbidden / "state"),
            "CERTWORKER_WEBROOT": str(forbidden / "webroot"),
        }

        assert 2 == work(load(directories))
        assert 4 == caplog.text.count("[fs.readonly]")


class TestFirstJobs:
    """
    The first jobs after a start. Docker Compose starts the worker and the proxy at the same time.
    """

    def test_a_job_waits_until_the_proxy_has_its_routes(
        self, worker: WorkerProcess, connection: Redis, http_port: int
    ) -> None:
        """
        The job waits for the proxy, without a failure or a warning.
        """
        worker.http_port = free_port()
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{worker.http_port}"
        worker.environment["_APP_DOMAIN"] = ""
        request_certificate("backlog.localhost", connection=connection)
        routes = threading.Event()

        def proxy(path: str, _visitor: object) -> bytes:
            return response(*worker.get(path)) if routes.is_set() else response(404, "404 page not found\n")

        with WebServer(proxy, port=http_port) as server:
            worker.start()
            worker.wait_for_line("backlog.localhost: the worker has just started")
            assert server.requests
            routes.set()
            worker.wait_for_line("backlog.localhost: certificate issued")

        assert " WARN" not in worker.log
        assert " ERROR" not in worker.log

    def test_sigterm_does_not_wait_for_the_proxy(
        self, worker: WorkerProcess, connection: Redis, http_port: int
    ) -> None:
        """
        On SIGTERM, the waiting job ends with the failure that its checks found.
        """
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{free_port()}"
        worker.environment["_APP_DOMAIN"] = ""
        request_certificate("backlog.localhost", connection=connection)
        worker.start()
        worker.wait_for_line("backlog.localhost: the worker has just started")

        assert 0 == worker.terminate(SETTLING_SECONDS / 2)
        assert "certificate not issued: [http.refused]" in worker.log


class TestEnd:
    def test_sigterm_ends_it_with_0_while_it_waits_for_redis(self, worker: WorkerProcess) -> None:
        """
        SIGTERM ends the worker while it waits for Redis, so that `docker compose stop` is fast.
        """
        worker.environment["_APP_REDIS_PORT"] = str(free_port())
        worker.start()
        worker.wait_for_line("redis.unreachable")

        assert 0 == worker.terminate()

    def test_sigterm_ends_it_with_0_while_it_starts(self, worker: WorkerProcess) -> None:
        """
        SIGTERM ends the worker during its imports.
        """
        worker.start()
        process = worker.process
        assert process is not None
        wait_until(lambda: _handles_sigterm(process.pid) or None, lambda: "no handler")

        assert 0 == worker.terminate()

    def test_it_continues_when_redis_returns(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The worker logs the failure, and issues certificates when Redis runs again.
        """
        server = RedisServer(tmp_path / "own-redis")
        server.start()
        worker.environment["_APP_REDIS_PORT"] = str(server.port)
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        server.kill()
        worker.wait_for_line("redis.unreachable")
        server.start()
        worker.command("request", "shop.localhost")

        worker.wait_for_line("shop.localhost: certificate issued")
        server.kill()


def _handles_sigterm(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line)
    return bool(int(caught.split()[1], 16) & 1 << 14)


def handles(worker: WorkerProcess, number: signal.Signals) -> bool:
    """
    Return whether the process of *worker* has a handler for the signal *number*.
    """
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def ignores_or_handles(worker: WorkerProcess, number: signal.Signals) -> bool:
    """
    Return whether the signal *number* does not end the process of *worker*.
    """
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    return handles(worker, number) or bool(ignored >> (number - 1) & 1)


class TestThreads:
    @pytest.mark.parametrize(
        ("error", "lines"), [(ValueError("odd"), 1), (type("OutOfTime", (Interrupted,), {})("late"), 0)]
    )
    def test_an_unexpected_end_of_a_thread_is_logged(
        self,
        error: Exception,
        lines: int,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The log has the traceback, except for a time limit that fires after the end of its job.
        """

        def fail() -> None:
            raise error

        monkeypatch.setattr(threading, "excepthook", log_thread_exception)
        thread = threading.Thread(target=fail, name="the-job")
        thread.start()
        thread.join()

        assert lines == len(caplog.records)
        assert lines == caplog.text.count("unexpected error in the thread the-job")
        assert lines == caplog.text.count("ValueError: odd")

    def test_the_log_names_the_program_that_an_unexpected_error_stops(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log names the program, and does not state that it continues.
        """

        def fail() -> int:
            raise ValueError("odd")

        assert 1 == exit_code_of("the mirror", fail)
        assert "[worker.unexpected] unexpected error in the mirror; it stops. " in caplog.text
        assert "ValueError: odd" in caplog.text


class TestDirectories:
    def test_missing_directories_are_created_without_a_warning(self, worker: WorkerProcess) -> None:
        """
        The worker creates its directories before the machine check reads them.
        """
        missing = [
            worker.environment[f"CERTWORKER_{each}_DIR"] for each in ("CERTIFICATES", "CONFIG", "STATE")
        ]
        for directory in missing:
            shutil.rmtree(directory, ignore_errors=True)
        worker.start()
        worker.wait_for_line("machine: ")

        assert all(Path(directory).is_dir() for directory in missing)
        assert "There is no such directory" not in worker.log


class TestFirstFailure:
    def test_a_name_without_address_names_the_record_to_create(self, worker: WorkerProcess) -> None:
        """
        The log, the status and the mail name the failure and the record to create.
        """
        name = "nothere.newbie.internal"
        with MailReceiver() as receiver:
            worker.environment |= {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(receiver.port),
            }
            worker.start()
            worker.wait_for_line("main.localhost: certificate issued")
            requested = worker.command("request", "--wait", name)
            last = worker.wait_for_line(f"{name}: certificate not issued")
            status = worker.command("status", name).stdout
            mail = wait_until(lambda: next(iter(receiver.mails), None), lambda: worker.log)

        part = mail.get_body(("plain",))
        assert part
        for text in (requested.stdout + requested.stderr, last, status, part.get_content()):
            assert "[dns.no_record]" in text
            assert f"Preflight found [dns.no_record]: {name} has neither an A nor an AAAA record" in text
            assert f"Create the record: {name}. A " in text
        assert "preflight ok" not in "".join(line for line in worker.log.splitlines() if name in line)


class TestSignals:
    def test_the_last_line_reports_the_stop(self, worker: WorkerProcess) -> None:
        """
        After SIGTERM, the last log line reports the stop, which distinguishes it from a crash.
        """
        worker.start()
        worker.wait_for_line("main.localhost: ")
        worker.wait_for_line("ready")

        assert 0 == worker.terminate()
        assert worker.log.splitlines()[-1].endswith("INFO  stopped")

    @pytest.mark.parametrize("seconds", [0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.3, 1.7, 2.5])
    def test_sigterm_at_any_moment_ends_it_with_0_and_no_traceback(
        self, worker: WorkerProcess, seconds: float
    ) -> None:
        """
        SIGTERM ends the worker with exit code 0 at any moment after its handler is installed.
        """
        worker.start()
        wait_until(lambda: handles(worker, signal.SIGTERM) or None, lambda: worker.log)
        time.sleep(seconds)

        assert 0 == worker.terminate()
        assert "Traceback" not in worker.log

    def test_sigterm_while_redis_refuses_the_start(
        self, own_redis: RedisServer, worker: WorkerProcess
    ) -> None:
        """
        SIGTERM ends a worker whose start Redis refuses, without a traceback.
        """
        with own_redis.client() as everything:
            everything.execute_command(
                "ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", "-@scripting"
            )
        access = {"_APP_REDIS_USER": "few", "_APP_REDIS_PASS": "pw"}
        worker.environment |= {"_APP_REDIS_PORT": str(own_redis.port), **access}
        worker.start()
        worker.wait_for_line("redis.rights")

        assert 0 == worker.terminate()
        assert "Traceback" not in worker.log

    def test_sighup_ends_nothing(self, worker: WorkerProcess) -> None:
        """
        SIGHUP does not end the worker, before or after it is ready.
        """
        worker.start()
        wait_until(lambda: handles(worker, signal.SIGTERM) or None, lambda: worker.log)
        assert worker.process is not None
        wait_until(lambda: ignores_or_handles(worker, signal.SIGHUP) or None, lambda: worker.log)
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_for_line("ready")
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_for_line("ignored SIGHUP")

        assert 0 == worker.terminate()


class TestRefusedStart:
    @pytest.mark.parametrize(
        ("code", "options", "rules"),
        [
            ("redis.rights", (), ("-@scripting",)),
            ("redis.rights", (), ("-info",)),
            ("redis.command", ("--rename-command", "EVAL", ""), ()),
            ("redis.cluster", ("--cluster-enabled", "yes"), ()),
            ("redis.readonly", ("--replicaof", "127.0.0.1", "1"), ()),
        ],
    )
    def test_the_reason_is_logged_once_and_the_delays_grow(
        self,
        tmp_path: Path,
        worker: WorkerProcess,
        code: str,
        options: tuple[str, ...],
        rules: tuple[str, ...],
    ) -> None:
        """
        The worker logs the reason once, and retries with growing delays.
        """
        server = RedisServer(tmp_path / "refusing")
        server.start(*options)
        try:
            with server.client() as everything:
                acl = ("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", *rules)
                everything.execute_command(*acl)
                worker.environment |= {
                    "_APP_REDIS_PORT": str(server.port),
                    "_APP_REDIS_USER": "worker",
                    "_APP_REDIS_PASS": "pw",
                }
                worker.start()
                worker.wait_for_line(code)
                before = everything.info("stats")["total_connections_received"]
                time.sleep(3)
                attempts = everything.info("stats")["total_connections_received"] - before

            assert attempts <= 10
            assert 1 == worker.log.count(f"[{code}]")
            assert 0 == worker.terminate()
        finally:
            worker.kill()
            server.kill()

    def test_it_starts_when_redis_accepts_it(self, own_redis: RedisServer, worker: WorkerProcess) -> None:
        """
        The worker starts as soon as its Redis user has the permissions.
        """
        with own_redis.client() as everything:
            acl = ("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all")
            everything.execute_command(*acl, "-@scripting")
            access = {"_APP_REDIS_USER": "worker", "_APP_REDIS_PASS": "pw"}
            worker.environment |= {"_APP_REDIS_PORT": str(own_redis.port), **access}
            worker.start()
            worker.wait_for_line("redis.rights")
            everything.execute_command(*acl)
            worker.wait_for_line("ready")

    def test_a_newer_schema_ends_the_start(self, connection: Redis, worker: WorkerProcess) -> None:
        """
        A newer schema in Redis ends the worker with exit code 1, without a traceback.
        """
        connection.set(KEY, SCHEMA + 1)
        worker.start()
        assert worker.process is not None

        assert 1 == worker.process.wait(PATIENCE_SECONDS)
        assert 1 == worker.log.count("[state.schema_too_new]")
        assert "Traceback" not in worker.log
