"""
The check that Traefik serves what was published.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certworker.devca.proxy import DevelopmentProxy
from certworker.settings import HttpAddress
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from certworker.traefik.deployment_check import DeploymentCheck
from tests.servers.ports import free_port
from tests.servers.worker import wait_until
from tests.storage.authority import Signer

NAME = "shop.example.org"
OTHER = "www.example.org"


class World:
    """
    A volume, Traefik's files, and a proxy that reads them when a test allows it.
    """

    def __init__(self, place: Path) -> None:
        self.volume = CertificateStore(place / "certificates")
        self.traefik = TraefikConfig(place / "config")
        self.signer = Signer()
        self.token = 0
        #: What the proxy has read so far.
        self.read: dict[str, tuple[Path, Path]] = {}
        self.proxy = DevelopmentProxy(self.read.get)
        self.proxy.start()
        self.address = HttpAddress("127.0.0.1", self.proxy.port)
        #: What a human was written, by code; empty: it is over.
        self.written: list[tuple[str, str]] = []

    def publish(self, *names: str) -> None:
        """
        Store and publish a new certificate.
        """
        self.token += 1
        stored = self.volume.store(
            self.signer.certificate(*names), authority="a", kind="private", token=self.token
        )
        self.traefik.publish(stored)

    def reload(self, *names: str) -> None:
        """
        Let the proxy read the files of *names*.
        """
        for name in names:
            files = self.traefik.files(name)
            assert files
            self.read[name] = files

    def deployment_check(
        self,
        address: HttpAddress | None = None,
        *,
        demanded: bool = True,
        day: timedelta = timedelta(days=1),
        patience_seconds: float = 0.6,
    ) -> DeploymentCheck:
        """
        Return a check with short pauses and short days.
        """
        return DeploymentCheck(
            self.volume,
            self.traefik,
            address or self.address,
            demanded=demanded,
            write=lambda name, failure: self.written.append((name, failure.code if failure else "")),
            patience_seconds=patience_seconds,
            pause_seconds=0.05,
            pause_after_that_seconds=0.05,
            day=day,
        )


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """
    Return an environment without any published certificate.
    """
    caplog.set_level(logging.INFO, "certworker.traefik.deployment_check")
    made = World(tmp_path)
    yield made
    made.proxy.stop()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    Return the lines that the check logged.
    """
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "certworker.traefik.deployment_check"
    ]


def last_line(caplog: pytest.LogCaptureFixture) -> str:
    """
    Wait for the last line of the check, and return it.
    """
    return wait_until(lambda: next(reversed(lines(caplog)), None), lambda: "nothing was said")


class TestExpect:
    def test_a_proxy_that_lags_is_waited_for(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        Traefik reads its files every two seconds at most.
        """
        deployment_check = world.deployment_check(patience_seconds=60)
        deployment_check.start()
        world.publish(NAME, OTHER)
        deployment_check.enqueue((NAME, OTHER))
        time.sleep(0.15)
        world.reload(NAME)
        time.sleep(0.15)
        assert [] == lines(caplog)
        world.reload(OTHER)

        assert "Traefik now serves the new certificate (checked)" == last_line(caplog)
        assert [NAME] == [vars(record)["domain"] for record in caplog.records]
        deployment_check.stop()

    def test_the_files_are_written_once_more(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        An event of a network file system may get lost.
        """
        world.publish(NAME)
        file = world.traefik.directory / f"{NAME}.yml"
        before = file.stat().st_ino
        deployment_check = world.deployment_check()
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        wait_until(lambda: file.stat().st_ino != before or None, lambda: "it was not written")
        after = file.stat().st_ino

        assert "[proxy.default_cert]" in last_line(caplog)
        assert after == file.stat().st_ino
        deployment_check.stop()

    @pytest.mark.parametrize(
        ("issuer", "code"), [("TRAEFIK DEFAULT CERT", "default_cert"), ("a CA", "old_cert")]
    )
    def test_the_certificate_that_is_served_instead_is_reported_in_the_end(
        self, world: World, caplog: pytest.LogCaptureFixture, issuer: str, code: str, tmp_path: Path
    ) -> None:
        """
        The line has the code and the remedy of what Traefik serves instead.
        """
        other = Signer(issuer).certificate(NAME)
        (tmp_path / "chain.pem").write_bytes(other.fullchain_pem)
        (tmp_path / "key.pem").write_bytes(other.key.pem)
        world.read[NAME] = (tmp_path / "chain.pem", tmp_path / "key.pem")
        world.publish(NAME)
        deployment_check = world.deployment_check()
        deployment_check.start()
        deployment_check.enqueue((NAME,))

        assert f"[proxy.{code}]" in last_line(caplog)
        deployment_check.stop()

    def test_a_renewal_replaces_the_pending_check(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A renewed certificate replaces the one that is checked.
        """
        deployment_check = world.deployment_check(patience_seconds=60)
        deployment_check.start()
        for _ in range(2):
            world.publish(NAME)
            deployment_check.enqueue((NAME,))
        world.reload(NAME)

        assert "Traefik now serves the new certificate (checked)" == last_line(caplog)
        time.sleep(0.8)
        assert 1 == len(lines(caplog))
        deployment_check.stop()


class TestMissed:
    def test_a_certificate_that_is_not_served_is_reported_each_day(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The line is repeated daily, and the notification is sent once.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(day=timedelta(seconds=0.3))
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        wait_until(lambda: len(lines(caplog)) > 2 or None, lambda: str(lines(caplog)))
        world.reload(NAME)
        wait_until(lambda: "checked" in last_line(caplog) or None, lambda: str(lines(caplog)))
        deployment_check.stop()

        *missed, found = lines(caplog)
        assert {"[proxy.default_cert]"} == {line.split()[0] for line in missed}
        assert "Traefik now serves the new certificate (checked)" == found
        assert [(NAME, "proxy.default_cert"), (NAME, "")] == world.written

    def test_a_certificate_that_another_worker_renewed_is_checked_instead(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Another worker renewed the certificate, so the new one is checked.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check()
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        last_line(caplog)
        world.publish(NAME)
        world.reload(NAME)

        wait_until(lambda: "checked" in last_line(caplog) or None, lambda: str(lines(caplog)))
        deployment_check.stop()

    def test_a_removed_certificate_is_no_longer_checked(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A removed name is not checked any more.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(day=timedelta(seconds=0.2))
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        last_line(caplog)
        world.volume.remove(NAME)
        wait_until(lambda: not deployment_check._pending or None, lambda: "it is still looked for")
        deployment_check.stop()


class TestProxy:
    def test_one_that_was_guessed_and_is_not_there_is_no_matter(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The default address may not exist.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(HttpAddress("nowhere.invalid", 443), demanded=False)
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        time.sleep(0.8)

        assert [] == lines(caplog)
        deployment_check.stop()

    @pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1"])
    def test_an_explicit_proxy_that_is_unreachable_is_reported(
        self, world: World, caplog: pytest.LogCaptureFixture, host: str
    ) -> None:
        """
        An operator set the address, so a failure is logged.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(HttpAddress(host, free_port()))
        deployment_check.start()
        deployment_check.enqueue((NAME,))

        assert "[proxy.unreachable]" in last_line(caplog)
        deployment_check.stop()

    def test_an_unreachable_proxy_is_reported_once_and_then_what_it_serves(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Traefik restarts without its files, and is checked until it has them.
        """
        world.publish(NAME)
        port = free_port()
        deployment_check = world.deployment_check(HttpAddress("127.0.0.1", port), day=timedelta(0))
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        last_line(caplog)
        time.sleep(0.3)
        assert 1 == len(lines(caplog))
        assert [] == world.written
        deployment_check._address = world.address
        wait_until(lambda: world.written or None, lambda: str(lines(caplog)))
        deployment_check.stop()

        assert "[proxy.default_cert]" in last_line(caplog)


class TestAfter:
    def test_only_issued_certificates_are_checked(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A kept certificate was checked before, and the job does not wait.
        """
        world.publish(NAME)
        world.reload(NAME)
        deployment_check = world.deployment_check(patience_seconds=60)
        deployment_check.start()
        issue = deployment_check.after(lambda state: {"state": state, "names": (NAME,)})

        assert "kept" == issue(state="kept")["state"]
        time.sleep(0.2)
        assert [] == lines(caplog)
        issue(state="issued")
        assert "Traefik now serves the new certificate (checked)" == last_line(caplog)
        deployment_check.stop()

    def test_the_function_takes_the_same_arguments_as_before(self, world: World) -> None:
        """
        The wrapped function accepts the arguments of the original, and has its signature.
        """

        def issue(domain: str = "", force: bool = False) -> dict[str, Any]:
            return {"state": "kept", "names": (domain, force)}

        followed = world.deployment_check().after(issue)

        assert inspect.signature(issue) == inspect.signature(followed)
        assert {"state": "kept", "names": (NAME, True)} == followed(NAME, True)

    def test_one_that_never_started_stops_at_once(self, world: World) -> None:
        """
        The worker may stop before it is ready.
        """
        world.deployment_check().stop()
