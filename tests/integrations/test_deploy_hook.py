"""
Tests of the deploy hook, a program that runs after each publication.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.integrations.deploy_hook import PAUSES, DeployHook
from certworker.storage.certificate_store import CertificateStore
from tests.servers.worker import wait_until
from tests.storage.authority import Signer
from tests.storage.stored import store

NAME, OTHER = "shop.example.com", "www.example.com"


@pytest.fixture(scope="module")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()


@pytest.fixture
def volume(tmp_path: Path, signer: Signer) -> CertificateStore:
    """
    Return a volume with one certificate for two names.
    """
    volume = CertificateStore(tmp_path / "certificates")
    store(volume, signer.certificate(NAME, OTHER), token=1)
    return volume


class Hook:
    """
    A deploy hook with a program of the test, which counts its runs in the file `runs`.
    """

    def __init__(self, directory: Path, volume: CertificateStore, script: str, **options: float) -> None:
        self.directory = directory
        program = directory / "program"
        program.write_text(f"#!/bin/sh\ncd {directory}\necho run >> runs\n{script}\n")
        program.chmod(0o755)
        pauses = [options.pop("pause", 0.05)]
        self.hook = DeployHook(program, volume, pauses=pauses, **options)
        self.issue = self.hook.after(lambda *names: {"state": "issued", "names": names})

    def __enter__(self) -> Hook:
        self.hook.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.stop()

    @property
    def runs(self) -> int:
        """
        Return the number of runs of the program.
        """
        file = self.directory / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wait_for(self, text: str, caplog: pytest.LogCaptureFixture) -> None:
        """
        Wait until the log has *text*.
        """
        wait_until(lambda: text in caplog.text or None, lambda: f"no {text!r} in:\n{caplog.text}")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """
    Capture the log lines of certworker.
    """
    with caplog.at_level(logging.INFO, "certworker"):
        yield


class TestRun:
    def test_the_program_gets_only_the_documented_variables(
        self,
        tmp_path: Path,
        volume: CertificateStore,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The program gets exactly the documented variables, and they name the files of the certificate.
        """
        monkeypatch.setenv("_APP_REDIS_PASS", "secret")
        monkeypatch.setenv("CERTWORKER_EAB_HMAC_KEY", "secret")
        script = (
            'env > environment; pwd > place; cat "$CERTWORKER_FULLCHAIN" "$CERTWORKER_PRIVATE_KEY" > files'
        )
        with Hook(tmp_path, volume, script) as hook:
            hook.issue(NAME, OTHER)
            hook.wait_for("the deploy hook succeeded", caplog)
        lines = (tmp_path / "environment").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        metadata = volume.metadata(NAME)
        assert metadata
        directory = volume.links.domain_dir(NAME)
        shell = {"PWD", "OLDPWD", "SHLVL", "_"}

        assert {name: value for name, value in seen.items() if name not in shell} == {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "CERTWORKER_DOMAIN": NAME,
            "CERTWORKER_DOMAINS": f"{NAME} {OTHER}",
            "CERTWORKER_CERTIFICATE": str(directory / "cert.pem"),
            "CERTWORKER_CHAIN": str(directory / "chain.pem"),
            "CERTWORKER_FULLCHAIN": str(directory / "fullchain.pem"),
            "CERTWORKER_PRIVATE_KEY": str(directory / "privkey.pem"),
            "CERTWORKER_SERIAL": metadata.serial,
            "CERTWORKER_NOT_AFTER": f"{metadata.not_after:%Y-%m-%dT%H:%M:%SZ}",
        }
        expected = (directory / "fullchain.pem").read_text() + (directory / "privkey.pem").read_text()
        assert expected == (tmp_path / "files").read_text()

    def test_no_shell_reads_the_path(
        self, tmp_path: Path, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A path with spaces and special characters is the path of one program.
        """
        directory = tmp_path / "a b; touch $HOME"
        directory.mkdir()
        volume = CertificateStore(tmp_path / "certificates")
        store(volume, signer.certificate(NAME), token=1)
        hook = Hook(tmp_path, volume, "")
        moved = (tmp_path / "program").rename(directory / "program")
        deploy = DeployHook(moved, volume)
        deploy.start()
        deploy.after(lambda: {"state": "issued", "names": [NAME]})()
        hook.wait_for("the deploy hook succeeded", caplog)
        deploy.stop()

        assert 1 == hook.runs

    def test_a_name_without_a_certificate_causes_no_run(
        self, tmp_path: Path, volume: CertificateStore
    ) -> None:
        """
        The program does not run for a name that was removed.
        """
        with Hook(tmp_path, volume, "") as hook:
            hook.issue("removed.example.com")

        assert 0 == hook.runs

    def test_a_publication_before_the_stop_causes_a_run(
        self, tmp_path: Path, volume: CertificateStore
    ) -> None:
        """
        A stopping worker runs the program for the last publication.
        """
        hook = Hook(tmp_path, volume, "")
        hook.issue(NAME)
        with hook:
            pass

        assert 1 == hook.runs

    def test_a_child_in_the_background_is_not_waited_for(
        self, tmp_path: Path, volume: CertificateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A child process that holds the output of the program open does not delay the hook.
        """
        with Hook(tmp_path, volume, "sleep 600 & echo $! > child") as hook:
            hook.issue(NAME)
            hook.wait_for("the deploy hook succeeded", caplog)
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


class TestFailures:
    def test_a_failure_is_logged_with_its_output_and_retried(
        self, tmp_path: Path, volume: CertificateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A failed program is logged with its output and retried. The result of the job is unchanged.
        """
        script = "[ -e repaired ] && exit 0\nprintf 'no \\033[2Jserver\\n' >&2; exit 3"
        with Hook(tmp_path, volume, script) as hook:
            assert {"state": "issued", "names": (NAME,)} == hook.issue(NAME)
            wait_until(lambda: hook.runs >= 3 or None, lambda: caplog.text)
            assert f"failed for {NAME}: exit code 3: no \\x1b[2Jserver" in caplog.text
            (tmp_path / "repaired").touch()
            hook.wait_for("the deploy hook succeeded", caplog)
            assert {} == hook.hook._pending

        records = [record for record in caplog.records if getattr(record, "code", "") == "hook.failed"]
        assert [1, 2, 3] == [vars(record)["fields"]["attempt"] for record in records][:3]
        assert {NAME} == {vars(record)["domain"] for record in records}

    def test_a_hanging_program_is_killed_with_its_children(
        self, tmp_path: Path, volume: CertificateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A program that exceeds its time limit is killed, even if it ignores SIGTERM.
        """
        script = "trap '' TERM; exec >&- 2>&-; sleep 600 & echo $! > child; wait"
        with Hook(tmp_path, volume, script, deadline_seconds=0.5, pause=3600) as hook:
            hook.issue(NAME)
            hook.wait_for("[hook.failed]", caplog)
        child = int((tmp_path / "child").read_text())

        assert "it did not end within" in caplog.text
        wait_until(lambda: _has_ended(child) or None, lambda: "the child still runs")

    def test_a_missing_program_is_a_failure(
        self, tmp_path: Path, volume: CertificateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A program that was removed after the start of the worker is a failure.
        """
        hook = Hook(tmp_path, volume, "", pause=3600)
        (tmp_path / "program").unlink()
        with hook:
            hook.issue(NAME)
            hook.wait_for("it cannot be started: No such file", caplog)

    def test_a_failure_affects_no_other_certificate(
        self, tmp_path: Path, volume: CertificateStore, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The program runs for another certificate while a failed run waits for its next attempt.
        """
        store(volume, signer.certificate("good.example.com"), token=2)
        script = '[ "$CERTWORKER_DOMAIN" = good.example.com ]'
        with Hook(tmp_path, volume, script, pause=3600) as hook:
            hook.issue(NAME)
            hook.issue("good.example.com")
            hook.wait_for("the deploy hook succeeded", caplog)

    def test_the_delays_grow_to_a_day(self) -> None:
        """
        The delays between attempts grow from 10 seconds to one day.
        """
        assert list(PAUSES) == sorted(PAUSES)
        assert (10, 86_400) == (PAUSES[0], PAUSES[-1])


def _has_ended(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"
