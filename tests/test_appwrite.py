"""
certworker in place of Appwrite's worker: from PHP's messages to served certificates and documents.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from certworker.devca.proxy import DevelopmentProxy, handshake
from certworker.storage.metadata import PEM_FILES
from certworker.traefik.config import TraefikConfig
from tests.app_fixture import environment
from tests.contrib.test_follow import followed
from tests.integrations.appwrite.core import payload, php, produce, stats
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.storage.authority import Signer

NAME = "shop.localhost"
FUNCTIONS = "functions.localhost"


@pytest.fixture
def worker(
    tmp_path: Path, redis_server: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> WorkerProcess:
    """
    Return a worker that is not started.
    """
    with redis_server.client() as connection:
        connection.flushall()
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(redis_server.port),
        _APP_DOMAIN="main.localhost",
    )
    return WorkerProcess(variables, tmp_path / "worker.log")


class TestInPlaceOfAppwritesWorker:
    def test_messages_of_both_formats_become_served_certificates(
        self,
        worker: WorkerProcess,
        redis_server: RedisServer,
        app_authority: FaultyAuthority,
        tmp_path: Path,
    ) -> None:
        """
        A message of either format leads to a trusted certificate and to a verified document.
        """
        produce(redis_server, payload(NAME, action="verification"), payload("*.bad.localhost"))
        php("resque", redis_server, "old.localhost")
        with worker:
            for name in (NAME, "old.localhost"):
                worker.wait_for_line(f"{name}: certificate issued")
            with redis_server.client() as connection:
                assert (1, 1, 0) == tuple(
                    stats(connection)[kind] for kind in ("success", "failed", "processing list")
                )
                states = {name: status for name, _, status in followed(redis_server, connection)}

        proxy = DevelopmentProxy(TraefikConfig(tmp_path / "config").files)
        proxy.start()
        shown = handshake(NAME, proxy.port, app_authority.root_path)
        proxy.stop()
        assert (("DNS", NAME),) == shown["subjectAltName"]
        assert ("verified", "verified") == (states[NAME], states["old.localhost"])

    def test_the_first_start_adopts_what_is_there_and_orders_nothing(
        self, worker: WorkerProcess, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The worker adopts existing certificates at its first start, and places no order. This includes the
        main domain, which it requests at each start.
        """
        for name in ("main.localhost", NAME):
            certificate = Signer("R11").certificate(name)
            place = tmp_path / "certificates" / name
            place.mkdir()
            pems = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem)
            for file, content in zip(PEM_FILES, (*pems, certificate.key.pem), strict=True):
                (place / file).write_bytes(content)

        with worker:
            for name in ("main.localhost", NAME):
                worker.wait_for_line(f"{name}: adopted: issued by R11")
            worker.wait_for_line("main.localhost: certificate valid, nothing to do")
            status = json.loads(worker.command("status", NAME, "--json").stdout)

        assert ("valid", "adopted") == (status["state"], status["authority"])
        assert [] == [asked for asked in app_authority.requests if asked.kind == "newOrder"]

    def test_what_the_core_deletes_is_gone_after_the_next_start(
        self, worker: WorkerProcess, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        """
        The next start removes a name whose directory Appwrite deleted.
        """
        produce(redis_server, payload(NAME))
        program = f"""
            foreach (glob('{tmp_path}/certificates/{NAME}/*.*') as $file) unlink($file);
            $directory = '{tmp_path}/certificates/{NAME}';
            if (realpath($directory) === $directory) rmdir($directory);
        """
        with worker:
            worker.wait_for_line(f"{NAME}: certificate issued")
            worker.terminate()  # after the end of the job, which would otherwise run again
        subprocess.run(["php", "-r", program], check=True)
        assert not (tmp_path / "certificates" / NAME).exists()

        with worker:
            worker.wait_for_line(f"{NAME}: taken out of service")
            wait_until(
                lambda: None if (tmp_path / "config" / f"{NAME}.yml").exists() else True, lambda: worker.log
            )
            wait_until(lambda: _has_gone(tmp_path / "certificates") or None, lambda: worker.log)
            assert 1 == worker.command("status", NAME).returncode


class TestCovered:
    @pytest.fixture
    def name_server(self) -> Iterator[DevelopmentNameServer]:
        """
        Start the name server of Appwrite's functions.
        """
        with DevelopmentNameServer(FUNCTIONS) as server:
            yield server

    @pytest.fixture
    def app_authority(
        self, tmp_path: Path, http_port: int, name_server: DevelopmentNameServer
    ) -> Iterator[FaultyAuthority]:
        """
        Start a CA that also validates by DNS-01.
        """
        with development_authority(
            tmp_path, http01_port=http_port, dns_server=name_server.address
        ) as started:
            yield started

    def test_a_message_for_a_function_succeeds_by_the_wildcard_without_an_order(
        self,
        worker: WorkerProcess,
        redis_server: RedisServer,
        app_authority: FaultyAuthority,
        name_server: DevelopmentNameServer,
        tmp_path: Path,
    ) -> None:
        """
        A wildcard, which the worker requests at its start, covers the name of a function. The worker places
        no order for the name.
        """
        server = "{}:{}".format(*name_server.address)
        worker.environment |= {
            "_APP_DNS": server,
            "_APP_DOMAIN_FUNCTIONS": FUNCTIONS,
            "CERTWORKER_DNS01_PROVIDER": "rfc2136",
            "RFC2136_NAMESERVER": server,
            "RFC2136_TSIG_KEY": KEY_NAME,
            "RFC2136_TSIG_SECRET": name_server.secret,
        }
        function = f"f1.{FUNCTIONS}"
        with worker, redis_server.client() as connection:
            wait_until(
                lambda: (tmp_path / "config" / f"_.{FUNCTIONS}.yml").exists() or None, lambda: worker.log
            )
            produce(redis_server, payload(function))
            worker.wait_for_line(f"{function}: a wildcard covers the name")
            wait_until(lambda: stats(connection)["success"] or None, lambda: worker.log)
            counts = stats(connection)
            states = {name: status for name, _, status in followed(redis_server, connection)}
            status = json.loads(worker.command("status", function, "--json").stdout)

        assert (1, 0, 0, 0) == tuple(
            counts[kind] for kind in ("success", "failed", "processing", "processing list")
        )
        assert "verified" == states[function]
        assert ("covered", f"*.{FUNCTIONS}") == (status["state"], status["by"])
        ordered = [asked.names for asked in app_authority.requests if asked.kind == "newOrder"]
        assert function not in [name for names in ordered for name in names]
        assert not (tmp_path / "config" / f"{function}.yml").exists()


def _has_gone(certificates: Path) -> bool:
    try:
        found = [file.read_text() for file in certificates.glob(".certworker/generations/*/meta.json")]
    except FileNotFoundError:
        return False  # The removal runs.
    return not any(NAME in text for text in found)
