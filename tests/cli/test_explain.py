"""
Tests of `certworker explain`, as text and as JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from redis import Redis

from certworker.errors.pages import page_of
from certworker.state.domain_records import DomainRecords
from tests.servers.worker import WorkerProcess

NOW = datetime(2026, 11, 29, tzinfo=UTC)


class TestExplain:
    def test_the_remedy_precedes_the_history(self, worker: WorkerProcess) -> None:
        """
        The remedy of the failure precedes the history of the name.
        """
        worker.start()
        worker.command("request", "--wait", "nowhere.invalid")
        shown = worker.explained("certificate not issued:", "nowhere.invalid").splitlines()
        document = json.loads(worker.command("explain", "nowhere.invalid", "--json").stdout)

        assert shown[1] == f"→ {document['remedy']}"
        assert f"  more: {document['docs']}" in shown
        assert f"certworker explain {document['code']}" == document["docs"]
        assert "request received" in document["events"][0]["text"]
        assert "certificate not issued:" in document["events"][-1]["text"]
        assert document["events"][-1]["text"].endswith(document["remedy"])

    def test_a_success_has_a_history(self, worker: WorkerProcess) -> None:
        """
        The history of an issued certificate has its steps.
        """
        worker.start()
        worker.command("request", "--wait", "shop.localhost")
        shown = worker.explained("ownership confirmed", "shop.localhost")

        assert "in service, valid until" in shown
        assert "ownership confirmed" in shown

    def test_an_unknown_name_ends_with_exit_code_1(self, worker: WorkerProcess) -> None:
        """
        The message has the command that requests the name.
        """
        ended = worker.command("explain", "unknown.localhost")

        assert 1 == ended.returncode
        assert "certworker request unknown.localhost" in ended.stderr

    def test_a_requested_name_has_a_first_line(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The first line of a name without a certificate and without a failure is not empty.
        """
        worker.command("request", "shop.localhost")
        DomainRecords(connection).start_attempt(["shop.localhost"], next_check=NOW, now=NOW)
        shown = worker.command("explain", "shop.localhost").stdout.splitlines()

        assert "shop.localhost: no certificate yet" == shown[0]


class TestCodes:
    def test_a_code_shows_its_page(self, worker: WorkerProcess) -> None:
        """
        The command prints the page of the documentation, without Redis and with invalid settings.
        """
        worker.environment["_APP_REDIS_PORT"] = "nonsense"
        ended = worker.command("explain", "dns.no_record")

        assert (0, page_of("dns.no_record")) == (ended.returncode, ended.stdout)

    def test_a_code_can_have_the_brackets_of_the_log(self, worker: WorkerProcess) -> None:
        """
        A code in brackets or in capital letters is the same code.
        """
        shown = worker.command("explain", "[DNS.NO_RECORD]", "--json").stdout

        assert json.loads(shown) == {
            "code": "dns.no_record",
            "docs": "certworker explain dns.no_record",
            "page": page_of("dns.no_record"),
        }

    @pytest.mark.parametrize(
        ("word", "code"),
        [("http.40", "http.404"), ("dns.no_recrod", "dns.no_record"), ("wrong_ip", "dns.wrong_ip")],
    )
    def test_a_misspelled_code_has_a_suggestion(self, worker: WorkerProcess, word: str, code: str) -> None:
        """
        The message suggests the similar code, with the command that explains it.
        """
        ended = worker.command("explain", word)

        assert 1 == ended.returncode
        assert f"Did you mean {code}? certworker explain {code}" in ended.stderr

    def test_an_unknown_code_has_similar_codes(self, worker: WorkerProcess) -> None:
        """
        A code of a known kind, which no name could be, has the similar codes of its kind.
        """
        ended = worker.command("explain", "http.999")

        assert 1 == ended.returncode
        assert "No error has the code http.999. Similar codes: http." in ended.stderr

    def test_the_site_of_the_documentation_is_named(self, worker: WorkerProcess) -> None:
        """
        A failed command ends with the URL of the page, if the site is set.
        """
        worker.environment["CERTWORKER_DOCS_URL"] = "https://docs.example.org/"
        ended = worker.command("status", "not a name")

        assert 1 == ended.returncode
        assert "More: https://docs.example.org/reference/errors/name." in ended.stderr
