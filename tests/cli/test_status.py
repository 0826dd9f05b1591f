"""
The states of names, page by page.
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
        With 50,000 names one page is enough.
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
        Without them the next page would belong to another list.
        """
        for name in NAMES[:2]:
            app.issuance.issue((name,))
        text = worker.command("status", "--page-size", "1", "--state", "valid", "--due", "90d").stdout

        assert "More: certworker status --page 2 --page-size 1 --state valid --due 129600m\n" in text

    def test_filters_narrow_it_down(self, worker: WorkerProcess, app: App) -> None:
        """
        Filters select names that are due soon, or in a state.
        """
        app.issuance.issue((NAMES[0],))

        assert "No names" in worker.command("status", "--due", "7d").stdout
        assert NAMES[0] in worker.command("status", "--due", "90d").stdout
        assert "No names" in worker.command("status", "--state", "failed").stdout
        assert 2 == worker.command("status", "--due", "soon").returncode

    def test_the_backfill_is_reported_with_its_end(
        self, worker: WorkerProcess, app: App, tmp_path: Path
    ) -> None:
        """
        How long it takes is known on the first day, because the CA's rate decides.
        """
        (tmp_path / "limits.json").write_text(
            json.dumps({worker.environment["CERTWORKER_AUTHORITY"]: {"orders_per_account": "1/1h"}})
        )
        app.issuance.issue((NAMES[0],))
        app.agenda.put_many(dict.fromkeys(NAMES, app.clock()))
        assert worker.command("status").stdout.endswith("4 of 5 names have no certificate yet.\n")

        worker.environment["CERTWORKER_LIMITS_FILE"] = str(tmp_path / "limits.json")
        last = worker.command("status").stdout.splitlines()[-1]
        assert "4 of 5 names have no certificate yet; at the CA's rate the last one is ordered at 20" in last

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

    def test_a_name_may_be_written_as_people_write_it(self, worker: WorkerProcess, app: App) -> None:
        """
        Every other command takes international letters, capitals and a dot at the end.
        """
        app.issuance.issue(("xn--mnchen-3ya.localhost",))

        for spelling in ("München.localhost", "xn--mnchen-3ya.localhost.", " MÜNCHEN.LOCALHOST "):
            assert "valid until" in worker.command("status", spelling).stdout

    def test_what_is_no_name_is_refused_in_one_line(self, worker: WorkerProcess) -> None:
        """
        The line has the remedy, as in every other command.
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

    def test_one_name_is_shown_with_all_that_is_known(self, worker: WorkerProcess, app: App) -> None:
        """
        The output is lines for people, and JSON for programs.
        """
        app.issuance.issue((NAMES[0],))
        document = json.loads(worker.command("status", NAMES[0], "--json").stdout)
        text = worker.command("status", NAMES[0].upper()).stdout
        place = app.settings.certificates_dir / NAMES[0]

        assert "valid" == document["state"]
        assert document["next_check"].endswith("Z")
        assert [NAMES[0]] == document["names"]
        assert (None, 0) == (document["queue_position"], document["workers"])
        assert 2 == len(document["chain"])
        assert {file: str(place / f"{file}.pem") for file in ("cert", "chain", "fullchain", "privkey")} == (
            document["files"]
        )
        assert "89 days left" in text
        for value in (
            document["serial"],
            document["issuer"],
            " < ".join(document["chain"]),
            *document["files"].values(),
        ):
            assert value in text

    def test_a_failure_says_whether_the_certificate_is_still_valid(
        self, worker: WorkerProcess, app: App
    ) -> None:
        """
        Only one of the two failures is an alarm; it comes first.
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
    def test_a_request_that_no_worker_took_is_known(self, worker: WorkerProcess) -> None:
        """
        A person who just requested the name sees its position, and why nothing happens.
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
        The queue has requests for other names.
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
        A shell without the settings of the worker sees no certificate, though all are in service.
        """
        worker.environment["CERTWORKER_CERTIFICATES_DIR"] = "/nonexistent/certificates"
        ended = worker.command("status", *arguments)

        assert 1 == ended.returncode
        assert ended.stderr.startswith("There is no directory /nonexistent/certificates. Set CERTWORKER_CERT")
        assert "" == ended.stdout


def test_it_loads_nothing_that_only_checks_and_jobs_need() -> None:
    """
    Monitoring asks for it every minute.
    """
    listing = "import sys, certworker.cli.status; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)

    modules = ended.stdout.split()
    loaded = {name.removeprefix("certworker.").split(".")[0] for name in modules}
    unwanted = {"preflight", "doctor", "observability", "notify", "acme", "dns", "rich", "rq", "requests"}
    assert not (unwanted | {"docker", "smtplib"}) & loaded
    assert "cryptography.x509" not in modules


class TestWatchNames:
    def test_watch_ends_with_the_last_name(self, worker: WorkerProcess) -> None:
        """
        It counts what is in the queue, shows one line, and ends when nothing is left to wait for.
        """
        worker.command("request", *NAMES, "nowhere.internal")
        worker.start()
        _, text = shown(worker, "status", "--watch")
        ended = worker.command("status", "--watch")
        document = json.loads(worker.command("status", "--watch", "--json").stdout)

        assert text.rstrip().endswith("7 of 7 done, 1 failed.")
        assert "7 of 7 done, 1 failed.\n" == ended.stdout
        assert (7, 7, 1) == (document["names"], document["done"], document["failed"])
