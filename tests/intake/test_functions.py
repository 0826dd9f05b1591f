"""
The door between a job and the house.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.errors import CertworkerError
from certworker.errors.machine import AlreadyUnderWay
from certworker.errors.naming import PayloadMissing, PayloadType, Wildcard
from certworker.intake.functions import functions_of

NAME = "shop.localhost"


def issue(house: House, **arguments: object) -> dict[str, Any]:
    """
    Call the registered function as a job would.
    """
    return functions_of(house)["certworker.issue"](**arguments)


class TestIssue:
    def test_the_result_says_what_is_in_service_and_what_comes_next(self, house: House) -> None:
        """
        Producers in other languages read it.
        """
        result = issue(house, domain=NAME)

        assert "issued" == result["state"]
        assert (NAME,) == tuple(result["names"])
        assert result["not_after"] > result["next_look"]
        assert "kept" == issue(house, domain=NAME)["state"]

    @pytest.mark.parametrize(
        ("arguments", "failure"),
        [
            ({}, PayloadMissing),
            ({"domain": 7}, PayloadType),
            ({"domain": ["a.localhost"]}, PayloadType),
            ({"domain": NAME, "force": "false"}, PayloadType),
            ({"domain": "*.shop.localhost"}, Wildcard),
        ],
    )
    def test_a_bad_request_is_one_warning_and_reaches_neither_ca_nor_disk(
        self,
        house: House,
        door_authority: DevelopmentAuthority,
        caplog: pytest.LogCaptureFixture,
        arguments: dict[str, object],
        failure: type[CertworkerError],
    ) -> None:
        """
        Jobs are hostile input.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(failure):
            issue(house, **arguments)

        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert failure.code in caplog.text
        assert [] == [asked for asked in door_authority.requests if asked.kind == "newOrder"]
        assert {} == house.agenda.moments()

    def test_arguments_of_a_later_version_are_ignored(self, house: House) -> None:
        """
        A newer core may say more than we know.
        """
        assert "issued" == issue(house, domain=NAME, colour="blue")["state"]

    def test_a_name_that_another_worker_has_ends_the_job_as_waiting(self, house: House) -> None:
        """
        That is no failure, and a slot never waits.
        """
        with house.locks.hold([NAME]):
            result = issue(house, domain=NAME)

        assert ("waiting", AlreadyUnderWay.code) == (result["state"], result["code"])

    def test_the_last_line_of_a_failure_has_code_remedy_and_the_next_attempt(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Nothing else has to be read.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(CertworkerError) as caught:
            issue(house, domain="nowhere.invalid")
        last = caplog.records[-1].getMessage()

        assert last.startswith(f"NOT ISSUED [{caught.value.code}] ")
        assert caught.value.remedy in last
        assert "attempt 1 · next try 20" in last
