"""
Workers that a signal kills or stops at each step of an issuance.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App, build_app
from certworker.dns01.txt_records import RECORDS
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError
from certworker.errors.fs import Fenced, VolumeLocked
from certworker.job_slot import NO_SLOT, running_in
from certworker.runtime import build_tasks
from certworker.settings import load
from certworker.storage.keypair import stored_in
from tests.app_fixture import environment
from tests.crash_worker import FORCED_RUN, place_of
from tests.memory import in_memory
from tests.servers.bind import KEY, Bind
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.storage.authority import Signer

#: An idle machine needs a tenth of this limit.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[1]

Counts = Callable[[str, object], None]

NAME = "shop.localhost"

#: The lease of the processes that get a signal. It is shorter than in production.
LEASE_SECONDS = 2.0
#: The lease of the workers that follow them, which a busy machine must not lose.
LONG_LEASE_SECONDS = 60.0

#: The delay of the CA's response. A busy machine kills the worker before the response, and the end of the
#: CA ends the delay.
MUCH_LONGER_THAN_THE_KILL_SECONDS = 120.0

#: A process loses its order if the signal comes before Redis has the URL of the order. The number of this
#: step differs between processes.
MOST_LOST = 4

#: An issuance has at least this number of steps.
FEWEST_STEPS = 40
#: A handover to a wildcard has at least this number of steps.
FEWEST_STEPS_OF_A_HANDOVER = 20
MOST_STEPS_OF_A_HANDOVER = 100
#: An import has at least this number of steps.
FEWEST_STEPS_OF_AN_IMPORT = 30
MOST_STEPS_OF_AN_IMPORT = 100
#: An issuance of a wildcard has more steps, because it changes its zone twice.
MOST_STEPS_OF_A_WILDCARD = 300


@dataclass
class Victims:
    """
    Processes that get a signal, each at a different step.
    """

    process: subprocess.Popen[str]
    #: The id of each process that got a signal, by the name for which it issued.
    struck: dict[str, int] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """
        Return the names of the processes in the order of the steps.
        """
        return list(self.struck)

    def wait(self) -> None:
        """
        Wait until each process got its signal.
        """
        for line in self._lines():
            if "struck" in line:
                return
            if "code" in line:
                self.codes.append(str(line["code"]))
            elif line["harmed"]:
                self.struck[str(line["name"])] = int(str(line["pid"]))
            else:
                assert line["status"] == 0
        raise AssertionError("the program has ended")

    def continue_all(self) -> Iterator[int]:
        """
        Continue the stopped processes. Yield the exit status of each.
        """
        assert self.process.stdin is not None
        for pid in self.struck.values():
            self.process.stdin.write(f"{pid}\n")
            self.process.stdin.flush()
            for line in self._lines():
                if "status" in line:
                    yield int(str(line["status"]))
                    break
                self.codes.append(str(line["code"]))

    def _lines(self) -> Iterator[dict[str, object]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)


@dataclass(frozen=True)
class Site:
    """
    The volumes and the Redis of the processes.
    """

    environ: dict[str, str]
    connection: Redis
    #: The prefix of the name of each process.
    prefix: str = "n"
    #: What each process does; see :mod:`tests.crash_worker`.
    action: str = "issue"

    @contextmanager
    def victims(self, struck_by: signal.Signals) -> Iterator[Victims]:
        """
        Start one process for each step. Each gets *struck_by* at its step.
        """
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.crash_worker",
                self.prefix,
                str(int(struck_by)),
                str(LEASE_SECONDS),
                self.action,
            ],
            cwd=ROOT,
            env={**os.environ, **self.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            found = Victims(process)
            try:
                yield found
            finally:
                for pid in found.struck.values() if struck_by is signal.SIGSTOP else ():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.kill()

    def app(self, name: str, lease_seconds: float = LONG_LEASE_SECONDS) -> App:
        """
        Return the app of another worker with the volumes of *name*.
        """
        return build_app(
            load(place_of(name, self.environ)),
            self.connection,
            directory_of=lambda choice: str(choice.directory_url),
            wake=lambda _moment: None,
            lease_seconds=lease_seconds,
        )

    def issue(self, name: str, *, force: bool = False) -> str:
        """
        Issue a certificate for *name*. Return its serial number, or the code of the failure.
        """
        try:
            return self.app(name).issuance.issue((name,), force=force).metadata.serial
        except CertworkerError as failure:
            return failure.code


def orders(authority: FaultyAuthority, kind: str = "newOrder") -> Counter[str]:
    """
    Return the number of requests of *kind* that the CA received for each name.
    """
    return Counter(name for asked in authority.requests if asked.kind == kind for name in asked.names)


def in_service(app: App, name: str) -> str:
    """
    Return the serial number that Traefik serves for *name*. Assert that Traefik's file names the stored pair.
    """
    files, stored = app.traefik.files(name), app.certificates.current(name)
    assert files is not None
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.metadata.serial


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """
    Return a directory in memory, because the processes sync thousands of files.
    """
    with in_memory(tmp_path) as memory:
        yield memory


@pytest.fixture
def site(
    app: App,
    tmp_path: Path,
    redis_server: RedisServer,
    app_authority: FaultyAuthority,
    http_port: int,
) -> Site:
    """
    Return a site with an HTTP server and an account, so that each process has only the steps of an issuance.
    """
    app.issuance.issue(("first.localhost",))
    redis = {"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(redis_server.port)}
    return Site(environment(tmp_path, app_authority.directory_url, http_port) | redis, app.connection)


class TestKilled:
    def test_at_every_step_the_next_worker_finishes_with_one_order_more_at_most(
        self, site: Site, tmp_path: Path, app_authority: FaultyAuthority, record_property: Counts
    ) -> None:
        """
        After SIGKILL at any step, the next worker issues the certificate, with at most one more order.
        """
        with site.victims(signal.SIGKILL) as killed:
            killed.wait()
        record_property("killed at", f"{len(killed.names)} steps")
        time.sleep(LEASE_SECONDS)
        before = orders(app_authority)
        with ThreadPoolExecutor(8) as pool:
            serials = list(pool.map(site.issue, killed.names))

        after, signed = orders(app_authority), orders(app_authority, "finalize")
        assert len(killed.names) >= FEWEST_STEPS
        assert serials == [in_service(site.app(name), name) for name in killed.names]
        # The workers lose only orders whose URL is not in Redis yet.
        lost = [name for name in killed.names if (before[name], after[name]) == (1, 2)]
        assert len(lost) <= MOST_LOST, lost
        assert {1, 2} >= {after[name] for name in killed.names}
        assert {1} == {signed[name] for name in killed.names}
        for name in killed.names:
            volume = site.app(name).certificates
            generations = list(volume.directory.glob(".certworker/generations/*-*"))
            assert 1 == len(generations), f"{name} was stored twice: {generations}"
            assert [] == volume.unpublished_sets()
        # SIGKILL between the two steps of the removal leaves a key.
        assert len(list(tmp_path.glob("state/orders/*/*.pem"))) <= MOST_LOST


class TestKilledInAForcedRequest:
    def test_at_every_step_the_next_run_completes_the_request_with_one_certificate(
        self, site: Site, app_authority: FaultyAuthority, record_property: Counts
    ) -> None:
        """
        After SIGKILL at any step of a forced job, its next run leaves exactly one new certificate.
        """
        site = replace(site, action="force")
        with site.victims(signal.SIGKILL) as killed:
            killed.wait()
        record_property("killed at", f"{len(killed.names)} steps")
        before = orders(app_authority)

        def run_again(name: str) -> str:
            slot = replace(NO_SLOT, run="issue-forced:2", abandoned_run=FORCED_RUN)
            with running_in(slot):
                return str(build_tasks(site.app(name))["certworker.issue"](domain=name, force=True)["serial"])

        with ThreadPoolExecutor(8) as pool:
            serials = list(pool.map(run_again, killed.names))

        after, signed = orders(app_authority), orders(app_authority, "finalize")
        assert len(killed.names) >= FEWEST_STEPS
        assert serials == [in_service(site.app(name), name) for name in killed.names]
        lost = [name for name in killed.names if (before[name], after[name]) == (2, 3)]
        assert len(lost) <= MOST_LOST, lost
        assert {2, 3} >= {after[name] for name in killed.names}
        assert {2} == {signed[name] for name in killed.names}
        for name in killed.names:
            record = site.app(name).records.read(name)
            assert record
            assert record.forced
            assert record.forced.is_completed
            assert [] == site.app(name).certificates.unpublished_sets()


class TestKilledWithTxtRecord:
    @pytest.fixture
    def bind(self, tmp_path: Path) -> Iterator[Bind]:
        """
        Start a BIND with a zone for each process, because a killed process holds the lock on its zone until
        the lease ends.
        """
        zones = [f"n{step}.localhost" for step in ("", *range(MOST_STEPS_OF_A_WILDCARD))]
        with Bind(tmp_path / "bind", ("127.0.0.1", free_port()), dict.fromkeys(zones, ())) as server:
            yield server

    @pytest.fixture
    def app_authority(self, tmp_path: Path, http_port: int, bind: Bind) -> Iterator[FaultyAuthority]:
        """
        Start a CA that queries TXT records from that BIND.
        """
        with development_authority(tmp_path, http01_port=http_port, dns_server=bind.address) as started:
            yield started

    def test_at_every_step_the_next_worker_finishes_and_no_record_is_left(
        self, site: Site, bind: Bind, app_authority: FaultyAuthority, record_property: Counts
    ) -> None:
        """
        After SIGKILL at any step, the next worker issues the wildcard and deletes the TXT record. certworker
        lists a record before it creates it.
        """
        server = "{}:{}".format(*bind.address)
        provider = {
            "_APP_DNS": server,
            "CERTWORKER_DNS01_PROVIDER": "rfc2136",
            "RFC2136_NAMESERVER": server,
            "RFC2136_TSIG_KEY": KEY.name,
            "RFC2136_TSIG_SECRET": KEY.secret,
        }
        site = replace(site, environ=site.environ | provider, prefix="*.n")
        with site.victims(signal.SIGKILL) as killed:
            killed.wait()
        record_property("killed at", f"{len(killed.names)} steps")
        time.sleep(LEASE_SECONDS)
        left = {name: bind.txt(f"_acme-challenge.{base_name(name)}") for name in killed.names}
        before = orders(app_authority)
        with ThreadPoolExecutor(8) as pool:
            serials = list(pool.map(site.issue, killed.names))
        site.app(killed.names[0], LEASE_SECONDS).dns01.remove_leftovers()

        after, signed = orders(app_authority), orders(app_authority, "finalize")
        assert FEWEST_STEPS <= len(killed.names) <= MOST_STEPS_OF_A_WILDCARD
        assert serials == [in_service(site.app(name), name) for name in killed.names]
        lost = [name for name in killed.names if (before[name], after[name]) == (1, 2)]
        assert len(lost) <= MOST_LOST, lost
        assert {1, 2} >= {after[name] for name in killed.names}
        assert {1} == {signed[name] for name in killed.names}
        # SIGKILL at some steps leaves a record for the next worker.
        assert any(left.values())
        assert not any(bind.txt(f"_acme-challenge.{base_name(name)}") for name in killed.names)
        assert 0 == site.connection.hlen(RECORDS)
        assert [] == list(Path(site.environ["CERTWORKER_STATE_DIR"]).glob("dns01/*.json"))


class TestKilledAtHandover:
    def test_at_every_step_the_next_worker_covers_the_name(
        self, site: Site, app_authority: FaultyAuthority, record_property: Counts
    ) -> None:
        """
        After SIGKILL at any step of a handover, the next worker completes it, and the wildcard covers the
        name.
        """
        signer = Signer()
        for step in ("", *range(MOST_STEPS_OF_A_HANDOVER)):
            app = site.app(name := f"n{step}.localhost")
            for token, certificate in enumerate(
                (signer.certificate(name, ends=timedelta(hours=-1)), signer.certificate("*.localhost")),
                start=1,
            ):
                stored = app.certificates.store(certificate, authority="a", kind="private", token=token)
                app.traefik.publish(stored)
                app.certificates.mark_published(stored)
        before = orders(app_authority)

        with site.victims(signal.SIGKILL) as killed:
            killed.wait()
        record_property("killed at", f"{len(killed.names)} steps")
        time.sleep(LEASE_SECONDS)

        assert FEWEST_STEPS_OF_A_HANDOVER <= len(killed.names) <= MOST_STEPS_OF_A_HANDOVER
        for name in killed.names:
            app = site.app(name)
            assert "covered" == app.issuance.issue((name,)).state
            assert [name] == list(app.certificates.covered.names())
            assert ["*.localhost"] == list(app.certificates.names()) == app.certificates.links.live()
            assert [] == list(app.traefik.directory.glob("n*.yml"))
            assert name in app.agenda
        assert before == orders(app_authority)


class TestKilledAtImport:
    def test_at_every_step_of_an_import_the_pair_matches(
        self, site: Site, app_authority: FaultyAuthority, record_property: Counts
    ) -> None:
        """
        After SIGKILL at any step of an import, the name has its old certificate or the imported one. The next
        worker puts a stored import into service. Nothing is ordered.
        """
        signer, before, own = Signer(), orders(app_authority), dict[str, str]()
        for step in ("", *range(MOST_STEPS_OF_AN_IMPORT)):
            app = site.app(name := f"n{step}.localhost")
            stored = app.certificates.store(signer.certificate(name), authority="a", kind="private", token=1)
            app.traefik.publish(stored)
            app.certificates.mark_published(stored)
            new = signer.certificate(name)
            (app.certificates.directory / "own.pem").write_bytes(new.fullchain_pem + new.key.pem)
            own[name] = new.serial

        with replace(site, action="import").victims(signal.SIGKILL) as killed:
            killed.wait()
        record_property("killed at", f"{len(killed.names)} steps")
        time.sleep(LEASE_SECONDS)

        assert FEWEST_STEPS_OF_AN_IMPORT <= len(killed.names) <= MOST_STEPS_OF_AN_IMPORT
        ended = Counter[str]()
        for name in killed.names:
            app = site.app(name)
            files, found = app.traefik.files(name), app.certificates.current(name)
            assert found is not None
            assert files is not None
            assert stored_in(files[0].parent, name) is not None
            state = app.issuance.issue((name,)).state
            assert "issued" != state
            is_imported = found.metadata.serial == own[name] or state == "imported"
            assert is_imported is (in_service(app, name) == own[name])
            assert [] == app.certificates.unpublished_sets()
            ended["imported" if is_imported else "before"] += 1
        assert {"imported", "before"} == set(ended)
        assert before == orders(app_authority)


class TestFrozen:
    def test_at_every_step_the_newer_result_stays(self, site: Site, record_property: Counts) -> None:
        """
        A stopped worker that continues does not replace the newer certificate of another worker.
        """
        with site.victims(signal.SIGSTOP) as frozen:
            frozen.wait()
            record_property("frozen at", f"{len(frozen.names)} steps")
            time.sleep(LEASE_SECONDS)
            with ThreadPoolExecutor(len(frozen.names)) as pool:
                serials = list(pool.map(partial(site.issue, force=True), frozen.names))
            statuses = list(frozen.continue_all())
        for number, name in enumerate(frozen.names):
            if serials[number] == VolumeLocked.code:
                # A stopped process with the lock on the volume blocks the next worker, which retries.
                serials[number] = site.issue(name, force=True)

        assert len(frozen.names) >= FEWEST_STEPS
        assert [0] * len(frozen.names) == statuses
        assert Fenced.code in frozen.codes
        assert serials == [in_service(site.app(name), name) for name in frozen.names]


class TestRestarted:
    @pytest.mark.parametrize(
        "kind", ["newOrder", "authorization", "challenge", "order", "finalize", "certificate"]
    )
    def test_a_restarted_worker_issues_within_its_lease_and_30_seconds(
        self,
        tmp_path: Path,
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        http_port: int,
        kind: str,
    ) -> None:
        """
        A worker that dies after a request to the CA issues the certificate after its restart.
        """
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(own_redis.port),
            _APP_DOMAIN=NAME,
        )
        app_authority.faults.slow_seconds = {kind: MUCH_LONGER_THAN_THE_KILL_SECONDS}
        worker = WorkerProcess(variables, tmp_path / "worker.log")
        worker.program = ["tests.servers.worker_program", str(round(LEASE_SECONDS))]
        with worker:
            wait_until(lambda: orders(app_authority, kind)[NAME] or None, lambda: worker.log)
            worker.kill()
            app_authority.faults.reset()
            died = time.monotonic()
            worker.start()
            worker.wait_for_line(f"{NAME}: certificate issued")

        assert time.monotonic() - died < LEASE_SECONDS + 30
        assert orders(app_authority)[NAME] <= 2
        assert "Traceback" not in worker.log
