"""
Tests of `certworker import`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from tests.certificate_builder import INTERMEDIATE, NOW, Signed, Wanted, key_pem
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess

NAME = "shop.example.org"

Import = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    """
    Return a certificate in files: `cert.pem`, `chain.pem`, `fullchain.pem` and `key.pem`.
    """
    found = Wanted([NAME], issuer=INTERMEDIATE).sign()
    contents = {
        "cert.pem": found.pem,
        "chain.pem": found.chain,
        "fullchain.pem": found.pem + INTERMEDIATE.pem,
        "key.pem": key_pem(found.key),
    }
    for file, content in contents.items():
        (tmp_path / file).write_bytes(content)
    return found


@pytest.fixture
def import_(worker: WorkerProcess, tmp_path: Path, signed: Signed) -> Import:
    """
    Return a function that runs `certworker import` in the directory of the files.
    """

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "certworker", "import", *arguments],
            env={**worker.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return subprocess.CompletedProcess(
            ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode()
        )

    return run


def stored(worker: WorkerProcess, name: str = NAME) -> StoredCertificate | None:
    """
    Return the certificate in service.
    """
    return CertificateStore(Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"])).current(name)


class TestImport:
    def test_the_worker_publishes_it_and_runs_the_deploy_hook(
        self,
        worker: WorkerProcess,
        import_: Import,
        signed: Signed,
        tmp_path: Path,
        app_authority: FaultyAuthority,
    ) -> None:
        """
        An import is in service when the command ends. The deploy hook runs, and the history has the event.
        The CA gets no request, and the certificate cannot be revoked there.
        """
        worker.environment["CERTWORKER_DEPLOY_HOOK"] = "/bin/true"
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        ended = import_(NAME, "--cert", "fullchain.pem", "--key", "key.pem", "--wait")

        assert (0, "") == (ended.returncode, ended.stderr)
        assert f"{NAME}: stored, issued by intermediate, valid until" in ended.stdout
        assert f"\n{NAME}: imported\n" in ended.stdout
        found = stored(worker)
        assert found
        assert signed.pem == found.certificate.cert_pem
        assert (tmp_path / "config" / f"{NAME}.yml").exists()
        worker.wait_for_line(f"{NAME}: the deploy hook succeeded")
        status = worker.command("status", NAME).stdout
        assert "state        imported; certworker does not renew it" in status
        assert "renewal      none" in status
        history = worker.explained("imported certificate in service", NAME)
        assert "certificate requested by certworker import (uid " in history
        assert "imported certificate in service" in history
        ended = worker.command("revoke", NAME)
        assert 1 == ended.returncode
        assert "Revoke it at its CA (intermediate)" in ended.stderr

        assert not [request for request in app_authority.requests if NAME in request.names]
        assert key_pem(signed.key).splitlines()[1].decode() not in worker.log

    def test_the_request_of_an_imported_name_shows_how_to_replace_it(
        self, worker: WorkerProcess, import_: Import, tmp_path: Path
    ) -> None:
        """
        `certworker request --wait` ends with `kept` and the remedy. With `--force` it orders a certificate.
        """
        other = Wanted(["shop.localhost"]).sign()
        (tmp_path / "own.pem").write_bytes(other.pem + key_pem(other.key))
        worker.start()
        assert 0 == import_("shop.localhost", "--cert", "own.pem", "--key", "own.pem", "--wait").returncode
        kept = worker.command("request", "--wait", "shop.localhost")
        forced = worker.command("request", "--wait", "--force", "shop.localhost")

        assert (0, 0) == (kept.returncode, forced.returncode)
        assert "shop.localhost: kept: shop.localhost has an imported certificate" in kept.stdout
        assert "certworker request --force shop.localhost" in kept.stdout
        assert "shop.localhost: issued\n" == forced.stdout

    def test_without_a_worker_it_is_stored_and_the_next_worker_publishes_it(
        self, worker: WorkerProcess, import_: Import
    ) -> None:
        """
        The command does not need the worker. It reports that none is running.
        """
        ended = import_(NAME, "--cert", "cert.pem", "--chain", "chain.pem", "--key", "key.pem")

        assert 0 == ended.returncode
        assert "No worker is running" in ended.stderr
        assert stored(worker)
        worker.start()
        worker.wait_for_line(f"{NAME}: imported certificate in service")

    @pytest.mark.parametrize(
        ("arguments", "files"),
        [
            (("--cert", "-", "--key", "key.pem"), ("fullchain.pem",)),
            (("--cert", "fullchain.pem", "--key", "-"), ("key.pem",)),
            (("--cert", "-", "--key", "-", "--chain", "-"), ("key.pem", "fullchain.pem")),
        ],
    )
    def test_files_can_come_from_the_standard_input(
        self, import_: Import, tmp_path: Path, arguments: tuple[str, ...], files: tuple[str, ...]
    ) -> None:
        """
        `-` is the standard input, which may contain several files.
        """
        ended = import_(
            NAME, "--json", *arguments, stdin=b"".join((tmp_path / f).read_bytes() for f in files)
        )

        assert 0 == ended.returncode, ended.stderr
        shown = json.loads(ended.stdout)
        assert (NAME, "requested", "intermediate", []) == tuple(
            shown[field] for field in ("name", "state", "issuer", "warnings")
        )

    def test_warnings_are_on_the_standard_error(self, import_: Import) -> None:
        """
        A certificate without a chain is imported with a warning.
        """
        ended = import_(NAME, "--cert", "cert.pem", "--key", "key.pem")

        assert 0 == ended.returncode
        assert "Warning: It has no chain: only clients that know its issuer accept it" in ended.stderr

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("--cert", "cert.pem", "--key", "/dev/zero"), "/dev/zero: it is not a regular file"),
            (("--cert", "cert.pem", "--key", "large.pem"), "large.pem: it has more than"),
            (("--cert", "cert.pem", "--key", "-"), "it has more than 80 KiB"),
        ],
    )
    def test_an_unsuitable_file_is_named(
        self, worker: WorkerProcess, import_: Import, tmp_path: Path, arguments: tuple[str, ...], text: str
    ) -> None:
        """
        The message has the file and the reason. Nothing is stored.
        """
        (tmp_path / "large.pem").write_bytes(b"x" * 200_000)
        ended = import_(NAME, *arguments, stdin=b"x" * 200_000)

        assert 1 == ended.returncode
        assert "[import.unreadable]" in ended.stderr
        assert text in ended.stderr
        assert stored(worker) is None

    @pytest.mark.parametrize(
        ("file", "reason"), [("none.pem", "No such file or directory"), (".", "Is a directory")]
    )
    def test_a_wrong_path_is_a_wrong_use_of_the_option(
        self, worker: WorkerProcess, import_: Import, file: str, reason: str
    ) -> None:
        """
        The message has the option, the path and the reason, and no remedy for another format.
        """
        ended = import_(NAME, "--cert", file, "--key", "key.pem")

        assert 2 == ended.returncode
        assert f"Invalid value for --cert: {file} cannot be read: {reason}. Pass the path" in ended.stderr
        assert "openssl" not in ended.stderr
        assert stored(worker) is None

    def test_a_certificate_that_certworker_renews_needs_force(
        self, worker: WorkerProcess, import_: Import, tmp_path: Path
    ) -> None:
        """
        Without `--force` an issued certificate stays.
        """
        own = Wanted(["main.localhost"], issuer=INTERMEDIATE, starts=NOW).sign()
        (tmp_path / "own.pem").write_bytes(own.pem + own.chain + key_pem(own.key))
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        arguments = ("main.localhost", "--cert", "own.pem", "--key", "own.pem", "--wait")
        refused = import_(*arguments)

        assert 1 == refused.returncode
        assert "[import.replaces_issued]" in refused.stderr
        assert 0 == import_(*arguments, "--force").returncode
        found = stored(worker, "main.localhost")
        assert found
        assert own.pem == found.certificate.cert_pem
