"""
Tests of `certworker status`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from tests.cli.test_output import shown
from tests.servers.worker import WorkerProcess

NAMES = [f"shop{number}.localhost" for number in range(5)]


class TestStatus:
    def test_pages_follow_one_another(self, worker: WorkerProcess, app: App) -> None:
        """
        Each page has its names, and names the command that shows the next page.
        """
        for name in NAMES:
            app.issuance.issue((name,))
        first = worker.command("status", "--page-size", "3").stdout
        second = worker.command("status", "--page-size", "3", "--page", "2").stdout

        assert all(name in first for name in NAMES[:3])
        assert "More: certworker status --page 2 --page-size 3\n" in first
        assert all(name in second for name in NAMES[3:])
        assert "More:" not in second

    def test_the_next_page_has_the_filters_of_this_one(self, worker: WorkerProcess, app: App) -> None:
        """
        The command for the next page repeats the filters.
        """
        for name in NAMES[:2]:
            app.issuance.issue((name,))
        text = worker.command("status", "--page-size", "1", "--state", "valid", "--due", "90d").stdout

        assert "More: certworker status --page 2 --page-size 1 --state valid --due 129600m\n" in text

    def test_filters_select_names(self, worker: WorkerProcess, app: App) -> None:
        """
        The options `--due` and `--state` select the names.
        """
        app.issuance.issue((NAMES[0],))

        due = worker.command("status", "--due", "7d").stdout
        assert due.startswith("No names on this page with these options. ")
        assert "certworker request" not in due
        assert NAMES[0] in worker.command("status", "--due", "90d").stdout
        assert "No names" in worker.command("status", "--state", "failed").stdout
        for wrong in ("soon", "99999999999d", "٣d"):
            assert 2 == worker.command("status", "--due", wrong).returncode

    def test_the_backfill_is_reported_with_its_end(
        self, worker: WorkerProcess, app: App, tmp_path: Path
    ) -> None:
        """
        The status counts the missing names, and estimates the end from the CA's rate.
        """
        (tmp_path / "limits.json").write_text(
            json.dumps({worker.environment["CERTWORKER_AUTHORITY"]: {"orders_per_account": "1/1h"}})
        )
        app.issuance.issue((NAMES[0],))
        app.agenda.put_many(dict.fromkeys(NAMES, app.clock()))
        assert worker.command("status").stdout.endswith("Names without a certificate: 4 of 5.\n")

        worker.environment["CERTWORKER_LIMITS_FILE"] = str(tmp_path / "limits.json")
        last = worker.command("status").stdout.splitlines()[-1]
        assert "Names without a certificate: 4 of 5; at the CA's rate, the last one is ordered at 20" in last

        summary = json.loads(worker.command("status", "--summary", "--json").stdout)
        ends = datetime.fromisoformat(summary["ends"])
        assert (5, 4, 1, 4) == (
            summary["names"],
            summary["missing"],
            summary["states"]["valid"],
            summary["states"]["missing"],
        )
        assert timedelta(hours=2.9) < ends - app.clock() < timedelta(hours=3.1)
        assert "valid                  1" in worker.command("status", "--summary").stdout

    def test_a_name_is_accepted_in_any_spelling(self, worker: WorkerProcess, app: App) -> None:
        """
        The command accepts international letters, capitals and a trailing dot.
        """
        app.issuance.issue(("xn--mnchen-3ya.localhost",))

        for spelling in ("München.localhost", "xn--mnchen-3ya.localhost.", " MÜNCHEN.LOCALHOST "):
            assert "valid until" in worker.command("status", spelling).stdout

    def test_an_invalid_name_is_refused_in_one_line(self, worker: WorkerProcess) -> None:
        """
        An invalid name is refused with its code, in one line.
        """
        for given, code in (
            ("https://shop.org/", "name.is_url"),
            ("../x", "name."),
            ("shop.org:443", "name.has_port"),
        ):
            ended = worker.command("status", given)

            assert 1 == ended.returncode
            assert f"[{code}" in ended.stderr
            assert 1 == len(ended.stderr.splitlines())

    def test_one_name_is_shown_in_detail(self, worker: WorkerProcess, app: App) -> None:
        """
        The text and the JSON output of one name have the same values.
        """
        app.issuance.issue((NAMES[0],))
        document = json.loads(worker.command("status", NAMES[0], "--json").stdout)
        text = worker.command("status", NAMES[0].upper()).stdout
        directory = app.settings.certificates_dir / NAMES[0]

        assert "valid" == document["state"]
        assert document["next_check"].endswith("Z")
        assert [NAMES[0]] == document["names"]
        assert (None, 0) == (document["queue_position"], document["workers"])
        assert 2 == len(document["chain"])
        assert {
            file: str(directory / f"{file}.pem") for file in ("cert", "chain", "fullchain", "privkey")
        } == (document["files"])
        assert "89 days left" in text
        for value in (
            document["serial"],
            document["issuer"],
            " < ".join(document["chain"]),
            *document["files"].values(),
        ):
            assert value in text

    def test_a_failure_shows_whether_the_certificate_is_still_valid(
        self, worker: WorkerProcess, app: App
    ) -> None:
        """
        A failure without a valid certificate is a separate state, and comes first.
        """
        app.issuance.issue((NAMES[0],))
        app.issuance.issue((NAMES[1],))
        for names in ((NAMES[1], "nowhere.invalid"), ("zzz.invalid",)):
            with pytest.raises(CertworkerError):
                app.issuance.issue(names)
        lines = worker.command("status").stdout.splitlines()
        document = json.loads(worker.command("status", "--summary", "--json").stdout)

        assert ["no", "no", "failing", "valid"] == [line.split()[1] for line in lines[1:5]]
        assert NAMES[1] in lines[3]
        assert {"failing": 1, "no_certificate": 2} == document["failures"]
        assert 3 == document["states"]["failed"]
        assert NAMES[1] in worker.command("status", "--state", "failing").stdout
        assert NAMES[1] in worker.command("status", "--state", "failed").stdout
        assert NAMES[1] not in worker.command("status", "--state", "no_certificate").stdout
        assert (
            "failing; the certificate in service is still valid" in worker.command("status", NAMES[1]).stdout
        )


class TestQueue:
    def test_a_queued_request_is_reported(self, worker: WorkerProcess) -> None:
        """
        The status of a queued name has its position, and warns if no worker is running.
        """
        worker.command("request", *NAMES[:3])
        ended = worker.command("status", NAMES[2])
        document = json.loads(worker.command("status", NAMES[2], "--json").stdout)

        assert 0 == ended.returncode
        assert "state        requested, 3rd in the queue\n" in ended.stdout
        assert ended.stderr.startswith("No worker is running. ")
        assert ("missing", 3, 0) == (document["state"], document["queue_position"], document["workers"])
        assert "3 requests are in the queue." in worker.command("status").stdout
        assert "3 requests are in the queue." in worker.command("status", "--summary").stdout

    def test_an_unknown_name_is_still_unknown(self, worker: WorkerProcess) -> None:
        """
        A name without a request is unknown, even if the queue has other requests.
        """
        worker.command("request", NAMES[0])
        ended = worker.command("status", NAMES[1])

        assert 1 == ended.returncode
        assert f"To request it: certworker request {NAMES[1]}" in ended.stderr


class TestDirectory:
    @pytest.mark.parametrize("arguments", [(), ("--summary",), ("--json",), ("--watch",), (NAMES[0],)])
    def test_a_missing_directory_is_reported_instead_of_missing_names(
        self, worker: WorkerProcess, arguments: tuple[str, ...]
    ) -> None:
        """
        A missing directory is an error. Otherwise, each name would seem to have no certificate.
        """
        worker.environment["CERTWORKER_CERTIFICATES_DIR"] = "/nonexistent/certificates"
        ended = worker.command("status", *arguments)

        assert 1 == ended.returncode
        assert ended.stderr.startswith("There is no directory /nonexistent/certificates. Set CERTWORKER_CERT")
        assert "" == ended.stdout


def test_the_module_loads_no_code_of_checks_and_jobs() -> None:
    """
    The import of the module is fast, because monitoring runs the command every minute.
    """
    listing = "import sys, certworker.cli.status; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)

    modules = ended.stdout.split()
    loaded = {name.removeprefix("certworker.").split(".")[0] for name in modules}
    unwanted = {"preflight", "doctor", "observability", "notify", "acme", "dns", "rich", "rq", "requests"}
    assert not (unwanted | {"docker", "smtplib"}) & loaded
    assert "cryptography.x509" not in modules


class TestWatchNames:
    def test_watch_ends_after_the_last_name(self, worker: WorkerProcess) -> None:
        """
        With `--watch` the command shows the progress, and ends when no request is left.
        """
        worker.command("request", *NAMES, "nowhere.internal")
        worker.start()
        _, text = shown(worker, "status", "--watch")
        ended = worker.command("status", "--watch")
        document = json.loads(worker.command("status", "--watch", "--json").stdout)

        assert text.rstrip().endswith("7 of 7 done, 1 failed.")
        assert "7 of 7 done, 1 failed.\n" == ended.stdout
        assert (7, 7, 1) == (document["names"], document["done"], document["failed"])
