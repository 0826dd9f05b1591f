"""
Tests of the check that Traefik serves the published certificate.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator
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
    A volume, the files of Traefik, and a proxy that reads them when a test calls `reload`.
    """

    def __init__(self, root: Path) -> None:
        self.volume = CertificateStore(root / "certificates")
        self.traefik = TraefikConfig(root / "config")
        self.signer = Signer()
        self.token = 0
        #: The files that the proxy has read.
        self.read: dict[str, tuple[Path, Path]] = {}
        self.proxy = DevelopmentProxy(self.read.get)
        self.proxy.start()
        self.address = HttpAddress("127.0.0.1", self.proxy.port)
        #: The notifications, as name and code. An empty code is a recovery.
        self.written: list[tuple[str, str]] = []

    def publish(self, *names: str) -> None:
        """
        Store and publish a new certificate for *names*.
        """
        self.token += 1
        stored = self.volume.store(
            self.signer.certificate(*names), authority="a", kind="private", token=self.token
        )
        self.traefik.publish(stored)

    def reload(self, *names: str) -> None:
        """
        Make the proxy read the files of *names*.
        """
        for name in names:
            files = self.traefik.files(name)
            assert files
            self.read[name] = files

    def deployment_check(
        self,
        address: HttpAddress | None = None,
        *,
        configured: bool = True,
        day: timedelta = timedelta(days=1),
        grace_seconds: float = 0.6,
        observe: Callable[[float], object] = lambda _seconds: None,
    ) -> DeploymentCheck:
        """
        Return a check with short delays and a short *day*.
        """
        return DeploymentCheck(
            self.volume,
            self.traefik,
            address or self.address,
            configured=configured,
            write=lambda name, failure: self.written.append((name, failure.code if failure else "")),
            grace_seconds=grace_seconds,
            pause_seconds=0.05,
            slow_poll_seconds=0.05,
            day=day,
            observe=observe,
        )


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """
    Yield a world without a published certificate.
    """
    caplog.set_level(logging.INFO, "certworker.traefik.deployment_check")
    world = World(tmp_path)
    yield world
    world.proxy.stop()


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
    return wait_until(lambda: next(reversed(lines(caplog)), None), lambda: "nothing was logged")


class TestExpect:
    def test_the_check_waits_for_a_slow_proxy(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        The check waits until the proxy serves the certificate for all names, and then logs it once.
        """
        deployment_check = world.deployment_check(grace_seconds=60)
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

    def test_the_files_are_written_again_once(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        The files are written again once, because an event of a network file system can be lost.
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
    def test_another_served_certificate_is_reported(
        self, world: World, caplog: pytest.LogCaptureFixture, issuer: str, code: str, tmp_path: Path
    ) -> None:
        """
        After the timeout, the log line has the code of the certificate that Traefik serves instead.
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
        The check of a renewed certificate replaces the pending one of the same name.
        """
        deployment_check = world.deployment_check(grace_seconds=60)
        deployment_check.start()
        for _ in range(2):
            world.publish(NAME)
            deployment_check.enqueue((NAME,))
        world.reload(NAME)

        assert "Traefik now serves the new certificate (checked)" == last_line(caplog)
        time.sleep(0.8)
        assert 1 == len(lines(caplog))
        deployment_check.stop()


class TestNotServed:
    def test_a_certificate_that_is_not_served_is_reported_each_day(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log line is repeated daily, and the notification is sent once.
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

    def test_a_certificate_of_another_worker_is_checked_instead(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The check uses the new certificate after another worker has renewed it.
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
        A removed name is no longer checked.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(day=timedelta(seconds=0.2))
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        last_line(caplog)
        world.volume.remove(NAME)
        wait_until(lambda: not deployment_check._pending or None, lambda: "it is still checked")
        deployment_check.stop()


class TestProxy:
    def test_a_missing_default_proxy_is_ignored(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        An unreachable proxy at the default address causes no log line.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(HttpAddress("nowhere.invalid", 443), configured=False)
        deployment_check.start()
        deployment_check.enqueue((NAME,))
        time.sleep(0.8)

        assert [] == lines(caplog)
        deployment_check.stop()

    @pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1"])
    def test_an_unreachable_proxy_of_the_settings_is_reported(
        self, world: World, caplog: pytest.LogCaptureFixture, host: str
    ) -> None:
        """
        An unreachable proxy that the settings name is reported.
        """
        world.publish(NAME)
        deployment_check = world.deployment_check(HttpAddress(host, free_port()))
        deployment_check.start()
        deployment_check.enqueue((NAME,))

        assert "[proxy.unreachable]" in last_line(caplog)
        deployment_check.stop()

    def test_an_unreachable_proxy_is_reported_once(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An unreachable proxy is reported once, and the check continues when it is reachable.
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


class TestMeasurements:
    def test_the_delay_of_the_proxy_is_measured(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """
        The age of an unserved certificate grows until the proxy serves it. The check then reports the delay.
        """
        delays: list[float] = []
        deployment_check = world.deployment_check(grace_seconds=60, observe=delays.append)
        assert 0 == deployment_check.oldest_unserved()
        world.publish(NAME)
        deployment_check.enqueue((NAME,))
        first = wait_until(lambda: deployment_check.oldest_unserved() or None, lambda: "no age")
        assert first < deployment_check.oldest_unserved()
        world.reload(NAME)
        deployment_check.start()
        last_line(caplog)
        wait_until(lambda: not deployment_check.oldest_unserved() or None, lambda: "it is still unserved")
        deployment_check.stop()

        (delay,) = delays
        assert delay >= first


class TestAfter:
    @pytest.mark.parametrize("state", ["issued", "imported"])
    def test_only_new_certificates_are_checked(
        self, world: World, caplog: pytest.LogCaptureFixture, state: str
    ) -> None:
        """
        Only a new certificate is checked, and the job does not wait for the check.
        """
        world.publish(NAME)
        world.reload(NAME)
        deployment_check = world.deployment_check(grace_seconds=60)
        deployment_check.start()
        issue = deployment_check.after(lambda state: {"state": state, "names": (NAME,)})

        assert "kept" == issue(state="kept")["state"]
        time.sleep(0.2)
        assert [] == lines(caplog)
        issue(state=state)
        assert "Traefik now serves the new certificate (checked)" == last_line(caplog)
        deployment_check.stop()

    def test_the_wrapped_function_has_the_same_signature(self, world: World) -> None:
        """
        The wrapped function has the signature of the original, and accepts its arguments.
        """

        def issue(domain: str = "", force: bool = False) -> dict[str, Any]:
            return {"state": "kept", "names": (domain, force)}

        wrapped = world.deployment_check().after(issue)

        assert inspect.signature(issue) == inspect.signature(wrapped)
        assert {"state": "kept", "names": (NAME, True)} == wrapped(NAME, True)

    def test_a_check_that_was_not_started_stops_at_once(self, world: World) -> None:
        """
        The stop of a check that was not started returns immediately.
        """
        world.deployment_check().stop()
