"""
Tests of the steps of a job, and of their durations in the log.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from certworker.app import App
from certworker.errors import CertworkerError, Interrupted
from certworker.errors.worker import AlreadyInProgress
from certworker.observability.log import FIXED_FIELDS, HumanLines, JsonLines
from certworker.runtime import build_tasks
from certworker.tracing.steps import JOB_STEPS, Step, current_step, step
from tests.servers.faulty_authority import FaultyAuthority

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "log.md"

NAME = "shop.localhost"

#: The steps of a job that issues a certificate without a dry run, in their order.
STEPS = ["lock", "preflight", "order", "validate", "finalize", "store", "publish", "record"]


class Late(Interrupted):
    """
    The interruption of a job.
    """

    failure = AlreadyInProgress(name=NAME)


class TestStep:
    def test_a_step_has_the_steps_within_its_block(self) -> None:
        """
        Each step has the steps that ended within its block, in their order.
        """
        with step("issue") as job:
            with step("preflight"), step("DNS", domain=NAME):
                assert "DNS" == current_step().name
            with step("order"):
                pass

        preflight, order = job.steps
        assert ("preflight", "order") == (preflight.name, order.name)
        assert [("DNS", {"domain": NAME})] == [(each.name, each.attributes) for each in preflight.steps]
        assert [] == order.steps

    def test_a_step_lasts_as_long_as_its_block(self) -> None:
        """
        A step takes at least as long as the steps within it together, and begins before them.
        """
        with step("issue") as job, step("order") as first, step("poll") as second:
            pass

        assert job.duration_ns >= first.duration_ns >= second.duration_ns > 0
        assert job.began_ns <= first.began_ns <= second.began_ns

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (AlreadyInProgress(name=NAME), "lock.held"),
            (Late(), "lock.held"),
            (ValueError("odd"), "ValueError"),
        ],
    )
    def test_a_failed_step_has_the_code_of_its_failure(self, error: Exception, code: str) -> None:
        """
        A step has the code of the failure that its block raises, or the type of another exception.
        """
        with suppress(CertworkerError, Interrupted, ValueError), step("issue") as job, step("validate"):
            raise error

        assert [code, code] == [job.code, job.steps[0].code]

    def test_a_decorated_function_is_measured_at_each_call(self) -> None:
        """
        A decorated function is a step of its caller at each call, and keeps its result.
        """

        @step("order")
        def order(number: int) -> int:
            current_step().attributes["number"] = str(number)
            return number

        with step("issue") as job:
            assert [1, 2] == [order(1), order(2)]

        assert [{"number": "1"}, {"number": "2"}] == [each.attributes for each in job.steps]

    def test_a_thread_with_a_copy_of_the_context_belongs_to_the_step(self) -> None:
        """
        The steps of another thread belong to the step whose context it runs in.
        """
        with ThreadPoolExecutor() as threads, step("preflight") as preflight:
            found = [threads.submit(copy_context().run, step(name)(lambda: None)) for name in ("DNS", "CAA")]
            for each in found:
                each.result()

        assert {"DNS", "CAA"} == {each.name for each in preflight.steps}

    def test_without_a_job_nothing_refers_to_a_step(self) -> None:
        """
        Without a job, a loop measures steps that end with their block.
        """
        with step("publish"):
            pass

        current_step().attributes["outcome"] = "issued"
        assert Step("").attributes == current_step().attributes

    def test_steps_of_one_name_are_added_up(self) -> None:
        """
        The timings have the sum of all steps of one name, in milliseconds, in the order of the first ones.
        """
        job = Step(
            "issue", steps=[Step(name, duration_ns=2_540_000) for name in ("order", "validate", "order")]
        )

        assert {"order": 5.1, "validate": 2.5} == job.timings_ms()
        assert ["order", "validate"] == list(job.timings_ms())


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """
    Return a function that returns the JSON lines of the log of this test.
    """
    stream, own = io.StringIO(), logging.getLogger("certworker")
    handler, level = logging.StreamHandler(stream), own.level
    handler.setFormatter(JsonLines())
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    own.removeHandler(handler)
    own.setLevel(level)


class TestLog:
    def test_the_last_line_of_an_issuance_has_each_step(
        self, app: App, lines: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """
        The last line of a job has the milliseconds of each step, which together take no longer than the job.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)

        last = lines()[-1]
        assert "certificate issued" == last["message"]
        assert STEPS == list(last["timings_ms"])
        assert 0 < sum(last["timings_ms"].values()) <= 1000 * last["duration_s"] + 1

    def test_the_last_line_of_a_failed_job_has_the_steps_that_ran(
        self, app: App, app_authority: FaultyAuthority, lines: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """
        A job whose validation fails has only the steps until then.
        """
        with pytest.raises(CertworkerError):
            build_tasks(app)["certworker.issue"](domain="nowhere.invalid")

        last = lines()[-1]
        assert "failed" == last["event"]
        assert ["lock", "preflight", "order", "validate"] == list(last["timings_ms"])

    def test_a_rejected_request_has_no_timings(
        self, app: App, lines: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """
        A job that is rejected before its first step has no timings.
        """
        with pytest.raises(CertworkerError):
            build_tasks(app)["certworker.issue"](domain="")

        assert "timings_ms" not in lines()[-1]

    def test_a_line_for_people_has_no_timings(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log for people and the history have no timings.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            build_tasks(app)["certworker.issue"](domain=NAME)

        assert "timings_ms" in caplog.records[-1].__dict__["fields"]
        assert "timings_ms" not in HumanLines(color=False).format(caplog.records[-1])

    def test_the_page_lists_each_step_and_each_field(self) -> None:
        """
        docs/reference/log.md lists each step of a job, and each field that begins a line.
        """
        text = PAGE.read_text()
        fields, timings = (re.findall(r"^\| (`.+?`) \|", part, re.M) for part in text.split("## Timings"))

        assert set(JOB_STEPS) == {each.strip("`") for each in timings}
        assert set(FIXED_FIELDS) <= {name for each in fields for name in re.findall(r"`(\w+)`", each)}

    def test_each_check_is_a_step_of_preflight(self, app: App) -> None:
        """
        The checks, which run in threads of their own, are steps of the job, each with its outcome.
        """
        with step("issue") as job:
            app.preflight([NAME])

        names = {each.name for each in job.steps}
        assert {"DNS", "CAA", "port 80", "settings"} <= names
        assert {"pass"} == {each.attributes["outcome"] for each in job.steps}
