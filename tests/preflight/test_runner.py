"""
Tests of the runner of the checks and its decision.
"""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from threading import Event, Thread

import pytest

from certworker.dns.records import DnsRecords
from certworker.errors.caa import CaaForbidden
from certworker.errors.dns import NoAddress
from certworker.errors.fs import VolumeFull
from certworker.errors.http import HttpRefused
from certworker.job_slot import JobSlot
from certworker.preflight.result import Check, CheckContext, CheckResult, MachineCheck
from certworker.preflight.runner import CONCURRENT_NAMES, SETTLING_SECONDS, PreflightRunner, Settling
from certworker.worker.own_domains import PORT_80_TIMEOUT_SECONDS
from tests.servers.worker import wait_until

NAME = "shop.org"
NO_ADDRESS = NoAddress(name=NAME, detail="none")
REFUSED = HttpRefused(name=NAME, address="203.0.113.7")
FULL = VolumeFull(path="/storage", reason="no space")

PASSED = CheckResult.passed("port 80")
FAILED = CheckResult.fail(NO_ADDRESS)
WARNED = CheckResult.warn(REFUSED)


class RecordedChecks:
    """
    Checks with given results, which record their calls.
    """

    def __init__(self) -> None:
        self.calls: list[CheckContext] = []
        self.looked_up: list[str] = []
        self.allowed: list[bool] = []

    def preflight(
        self,
        *results: Callable[[], CheckResult],
        machine: CheckResult = PASSED,
        observe: Callable[[str, str, float], object] = lambda *_: None,
    ) -> PreflightRunner:
        """
        Return a runner with these checks.
        """

        def check(result_of: Callable[[], CheckResult]) -> Callable[[CheckContext], CheckResult]:
            def run(context: CheckContext) -> CheckResult:
                self.calls.append(context)
                return result_of()

            return run

        return PreflightRunner(
            [MachineCheck("machine", lambda: machine, 1)],
            [Check(f"check {number}", check(each), 0.5) for number, each in enumerate(results)],
            self._look_up,
            lambda _name: self.allowed.pop(0) if self.allowed else False,
            Settling.over(),
            observe=observe,
        )

    def _look_up(self, name: str) -> DnsRecords:
        self.looked_up.append(name)
        return DnsRecords(name)


class Secret:
    """
    An object that only the frame of a job or a check references.
    """


def raised(secret: Secret) -> CheckResult:
    """
    Raise a failure, as a check may do.
    """
    raise NoAddress(name=NAME, detail=str(secret))


def caught(secret: Secret) -> CheckResult:
    """
    Return a failure that the check caught.
    """
    try:
        return raised(secret)
    except NoAddress as failure:
        return CheckResult.warn(failure)


@pytest.fixture
def recorded() -> RecordedChecks:
    """
    Return the recorder, without any check.
    """
    return RecordedChecks()


class TestObservation:
    def test_each_check_has_its_outcome_and_its_duration(self, recorded: RecordedChecks) -> None:
        """
        The observer gets each check that ran: a failure may be a result or an exception.
        """

        def refuse() -> CheckResult:
            raise NO_ADDRESS

        def break_down() -> CheckResult:
            raise ZeroDivisionError

        seen: dict[str, str] = {}
        results = (
            *(lambda: PASSED, lambda: FAILED, lambda: WARNED, lambda: CheckResult.skipped("no route")),
            *(refuse, break_down),
        )
        runner = recorded.preflight(*results, observe=lambda check, outcome, _: seen.update({check: outcome}))
        runner.check_machine()
        runner.check_names([NAME])
        checks = {f"check {n}": seen[f"check {n}"] for n in range(len(results))}

        assert ["pass", "fail", "warn", "skipped", "fail", "error"] == list(checks.values())
        assert "pass" == seen["machine"]


class TestDecision:
    def test_the_preflight_passes_if_all_checks_pass(
        self, recorded: RecordedChecks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The preflight passes, and logs one line with the evidence.
        """
        with caplog.at_level(logging.INFO):
            recorded.preflight(lambda: PASSED, lambda: CheckResult.passed("CAA open"))([NAME])

        assert ["preflight ok (port 80, CAA open)"] == [each.message for each in caplog.records]

    def test_a_certain_refusal_is_raised(self, recorded: RecordedChecks) -> None:
        """
        A certain refusal is raised, because the CA would count the failed validation.
        """
        recorded.allowed = [True]
        with pytest.raises(NoAddress):
            recorded.preflight(lambda: PASSED, lambda: FAILED)([NAME])

    @pytest.mark.parametrize("result_of", [raised, caught])
    def test_a_cached_failure_holds_no_frames(
        self, recorded: RecordedChecks, result_of: Callable[[Secret], CheckResult]
    ) -> None:
        """
        A cached failure has no traceback, which references the frames of its job with their keys.
        """
        checked: list[weakref.ref[Secret]] = []

        def check() -> CheckResult:
            secret = Secret()
            checked.append(weakref.ref(secret))
            return result_of(secret)

        def job() -> weakref.ref[Secret]:
            secret = Secret()
            with pytest.raises(NoAddress):
                preflight([NAME])
            return weakref.ref(secret)

        preflight = recorded.preflight(check)
        jobs = [job(), job()]
        gc.collect()

        assert 1 == len(checked)
        assert [None] * 3 == [each() for each in (*jobs, *checked)]

    def test_a_failure_of_the_machine_is_raised(self, recorded: RecordedChecks) -> None:
        """
        A failure of this machine is raised, also for a renewal.
        """
        with pytest.raises(VolumeFull):
            recorded.preflight(lambda: PASSED, machine=CheckResult.fail(FULL))([NAME], renewing=True)
        assert [] == recorded.looked_up

    def test_each_name_of_a_set_counts(self, recorded: RecordedChecks) -> None:
        """
        The failure of one name of a set is raised.
        """
        with pytest.raises(NoAddress):
            recorded.preflight(lambda: FAILED if len(recorded.looked_up) > 1 else PASSED)(
                [NAME, "www.shop.org"]
            )
        assert {NAME, "www.shop.org"} == {each.name for each in recorded.calls}

    def test_a_probable_refusal_is_a_warning_once_a_day(
        self, recorded: RecordedChecks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A probable refusal is a warning once a day, and is raised otherwise.
        """
        recorded.allowed = [True]
        preflight = recorded.preflight(lambda: WARNED)

        (finding,) = preflight([NAME])
        assert isinstance(finding, HttpRefused)
        assert "[http.refused]" in caplog.text
        with pytest.raises(HttpRefused):
            preflight([NAME])

    def test_a_certain_refusal_precedes_a_probable_one(self, recorded: RecordedChecks) -> None:
        """
        The certain refusal is raised, because the probable refusal is often its consequence.
        """
        with pytest.raises(NoAddress):
            recorded.preflight(lambda: WARNED, lambda: FAILED)([NAME])

    def test_a_proof_outweighs_a_probable_refusal(
        self, recorded: RecordedChecks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A test response over port 80 outweighs a probable refusal.
        """
        preflight = recorded.preflight(lambda: WARNED, lambda: CheckResult.proven("port 80 answers"))

        preflight([NAME])
        preflight([NAME])
        assert "[http.refused]" in caplog.text

    def test_a_proof_does_not_outweigh_a_certain_refusal(self, recorded: RecordedChecks) -> None:
        """
        A test response over port 80 does not outweigh a certain refusal.
        """
        with pytest.raises(NoAddress):
            recorded.preflight(lambda: CheckResult.proven("port 80 answers"), lambda: FAILED)([NAME])

    def test_for_a_renewal_a_failure_is_only_probable(self, recorded: RecordedChecks) -> None:
        """
        A failure is only probable for a renewal, because the CA often skips the validation.
        """
        recorded.allowed = [True]

        (finding,) = recorded.preflight(lambda: FAILED)([NAME], renewing=True)
        assert FAILED.failure is finding

    def test_a_warning_does_not_fail_the_preflight(
        self, recorded: RecordedChecks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A warning is logged with its code, and the summary counts it.
        """
        found = CaaForbidden(name=NAME, owner=NAME, detail="odd")
        with caplog.at_level(logging.INFO):
            findings = recorded.preflight(lambda: CheckResult.passed("CAA", found))([NAME])

        assert (found,) == findings
        assert "[caa.forbidden]" in caplog.text
        assert "preflight passed with 1 warning (CAA)" == caplog.messages[-1]


class TestDeadlines:
    def test_the_checks_of_all_names_run_at_the_same_time(self, recorded: RecordedChecks) -> None:
        """
        The runner runs the checks of all names concurrently.
        """
        together = threading.Barrier(6)

        def result_of() -> CheckResult:
            together.wait()
            return PASSED

        recorded.preflight(result_of, result_of)([NAME, "www.shop.org", "api.shop.org"])

    def test_a_check_that_exceeds_its_deadline_passes(self, recorded: RecordedChecks) -> None:
        """
        A check that exceeds its deadline counts as passed.
        """
        release = threading.Event()

        def result_of() -> CheckResult:
            release.wait()
            return FAILED

        recorded.preflight(result_of)([NAME])
        release.set()

    def test_a_renewal_waits_at_most_two_seconds(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A renewal waits at most two seconds for silent name servers.
        """
        answered = threading.Event()

        def look_up(name: str) -> DnsRecords:
            answered.wait(60)
            return DnsRecords(name)

        checks = [Check("DNS", lambda _: FAILED, 1)]
        preflight = PreflightRunner([], checks, look_up, lambda _: False, Settling.over())
        with caplog.at_level(logging.INFO):
            preflight([NAME, "www.shop.org"], renewing=True)
        answered.set()

        assert "preflight ok (no check ended in time)" == caplog.messages[-1]

    def test_a_result_within_two_seconds_counts(self, recorded: RecordedChecks) -> None:
        """
        A result within the two seconds counts, although another check still runs.
        """
        finish = threading.Event()

        def slow() -> CheckResult:
            finish.wait(60)
            return PASSED

        preflight = recorded.preflight(lambda: WARNED, slow)
        with pytest.raises(HttpRefused):
            preflight([NAME], renewing=True)
        finish.set()

    def test_an_unexpected_error_in_a_check_passes(
        self, recorded: RecordedChecks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An unexpected error in a check is logged, and the preflight passes.
        """

        def result_of() -> CheckResult:
            raise ValueError("a bug")

        recorded.preflight(result_of)([NAME])
        assert "a bug" in caplog.text

    def test_an_unexpected_error_in_the_lookup_passes(self) -> None:
        """
        The checks run without records after an unexpected error in the lookup.
        """
        seen: list[DnsRecords] = []

        def look_up(_name: str) -> DnsRecords:
            raise ValueError("a bug")

        def run(context: CheckContext) -> CheckResult:
            seen.append(context.records)
            return PASSED

        checks = [Check("check", run, 1)]
        PreflightRunner([], checks, look_up, lambda _name: False, Settling.over())([NAME])
        assert [DnsRecords(NAME)] == seen

    def test_slow_checks_do_not_delay_other_checks(self, recorded: RecordedChecks) -> None:
        """
        Each check has its own thread, so slow checks do not delay other checks beyond their deadline.
        """
        release = threading.Event()

        def slow() -> CheckResult:
            release.wait(5)
            return PASSED

        names = [f"{number}.shop.org" for number in range(CONCURRENT_NAMES)]
        found = recorded.preflight(slow, slow, slow, lambda: FAILED).check_names(names)
        release.set()

        assert all(each[-1].result == FAILED for each in found)


def started(
    check: Callable[[], CheckResult], *, settles: bool = True, seconds: float = 3600, pause_seconds: float = 0
) -> PreflightRunner:
    """
    Return the runner of a worker that has just started.
    """
    return PreflightRunner(
        [],
        [Check("port 80", lambda _: check(), 10, settles=settles)],
        DnsRecords,
        lambda _name: False,
        Settling(threading.Event(), seconds, first_pause_seconds=pause_seconds),
    )


class TestStart:
    """
    Tests of the first seconds, in which Traefik may still load its routes.
    """

    @pytest.mark.parametrize("renewing", [False, True])
    def test_a_failure_in_the_first_seconds_is_checked_again(
        self, renewing: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A failure that ends within the first seconds is not logged as a failure.
        """
        results = iter([CheckResult.fail(REFUSED), WARNED, PASSED])
        with caplog.at_level(logging.INFO):
            started(lambda: next(results))([NAME], renewing=renewing)

        assert ["the worker has just started", "preflight ok (port 80)"] == [
            each.split(":")[0] for each in caplog.messages
        ]
        assert all(each.levelno < logging.WARNING for each in caplog.records)

    def test_all_names_are_checked_again_after_one_failure(self) -> None:
        """
        All names are checked again if one of them fails.
        """
        numbers = count()

        def check() -> CheckResult:
            return CheckResult.fail(REFUSED) if next(numbers) == 1 else PASSED

        started(check)([NAME, "www.shop.org"])

        assert 4 > next(numbers) > 2

    def test_the_slot_is_released_during_the_wait(self) -> None:
        """
        A job releases its slot while its names are checked again.
        """
        released: list[str] = []
        results = iter([CheckResult.fail(REFUSED), PASSED, PASSED])
        slot = JobSlot(lambda: released.append("slot"), lambda: True)
        started(lambda: next(results))([NAME], slot=slot)
        assert ["slot"] == released
        started(lambda: PASSED)([NAME], slot=slot)

        assert ["slot"] == released

    def test_a_failure_that_lasts_is_raised(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A failure that lasts is raised after the first seconds.
        """
        with pytest.raises(HttpRefused):
            started(lambda: CheckResult.fail(REFUSED), seconds=0.1, pause_seconds=0.01)([NAME])

    def test_a_check_that_does_not_settle_fails_at_once(self) -> None:
        """
        A failure of a check that does not settle is raised immediately.
        """
        with pytest.raises(NoAddress):
            started(lambda: FAILED, settles=False)([NAME])


class TestCache:
    def test_results_are_cached(self, recorded: RecordedChecks) -> None:
        """
        The results are cached for jobs that follow soon.
        """
        preflight = recorded.preflight(lambda: PASSED)
        preflight([NAME])
        preflight([NAME])

        assert [NAME] == recorded.looked_up


class TestPauses:
    def test_there_are_no_pauses_after_the_end(self) -> None:
        """
        Settling has no pauses after its end, so a failure counts immediately.
        """
        settling = Settling.over()

        assert 0 == settling.seconds_left()
        assert [] == list(settling.pauses())

    def test_pauses_end_with_the_first_seconds(self) -> None:
        """
        The last pause ends with the first seconds.
        """
        settling = Settling(Event(), 0.1, first_pause_seconds=0.01)

        assert 1 < len(list(settling.pauses())) < 10

    def test_pauses_continue_while_there_is_time(self) -> None:
        """
        Pauses follow each other while there is time.
        """
        settling = Settling(Event(), 3600, first_pause_seconds=0)

        assert [None] * 5 == list(islice(settling.pauses(), 5))

    def test_the_stop_of_the_worker_ends_the_pauses(self) -> None:
        """
        A stopping worker does not wait for a proxy.
        """
        stopping = Event()
        settling = Settling(stopping, 3600, first_pause_seconds=3600)
        waiting = Thread(target=lambda: list(settling.pauses()), daemon=True)
        waiting.start()
        stopping.set()

        wait_until(lambda: not waiting.is_alive() or None, lambda: "the thread still waits")
        assert 0 == settling.seconds_left()


def test_the_documentation_has_the_same_figures() -> None:
    """
    The documentation has the figures of the code.
    """
    page = Path(__file__).parents[2] / "docs" / "concepts" / "renewal-and-retries.md"
    text = " ".join(page.read_text().split())

    assert f"In the first {SETTLING_SECONDS:.0f} seconds after its start" in text
    assert f"as soon as their port 80 responds, and after {PORT_80_TIMEOUT_SECONDS:.0f} seconds" in text
