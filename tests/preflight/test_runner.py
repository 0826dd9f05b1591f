"""
Many checks, one decision.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from itertools import count

import pytest

from certworker.errors.caa import CaaForbidden
from certworker.errors.dns import NoAddress
from certworker.errors.fs import VolumeFull
from certworker.errors.http import HttpRefused
from certworker.job_slot import JobSlot
from certworker.preflight.dns.records import DnsRecords
from certworker.preflight.result import Check, CheckContext, CheckResult, MachineCheck
from certworker.preflight.runner import CONCURRENT_NAMES, PreflightRunner
from certworker.preflight.settling import Settling

NAME = "shop.org"
NO_ADDRESS = NoAddress(name=NAME, detail="none")
REFUSED = HttpRefused(name=NAME, address="203.0.113.7")
FULL = VolumeFull(path="/storage", reason="no space")

YES = CheckResult.passed("all is well")
NO = CheckResult.fail(NO_ADDRESS)
LIKELY_NO = CheckResult.warn(REFUSED)


class Questions:
    """
    Checks that answer what they are told to, and remember that they were asked.
    """

    def __init__(self) -> None:
        self.asked: list[CheckContext] = []
        self.looked_up: list[str] = []
        self.may: list[bool] = []

    def preflight(self, *answers: Callable[[], CheckResult], machine: CheckResult = YES) -> PreflightRunner:
        """
        All checks of a house that has these.
        """

        def check(answer: Callable[[], CheckResult]) -> Callable[[CheckContext], CheckResult]:
            def ask(question: CheckContext) -> CheckResult:
                self.asked.append(question)
                return answer()

            return ask

        return PreflightRunner(
            [MachineCheck("machine", lambda: machine, 1)],
            [Check(f"check {number}", check(each), 0.5) for number, each in enumerate(answers)],
            self._look_up,
            lambda _name: self.may.pop(0) if self.may else False,
            Settling.over(),
        )

    def _look_up(self, name: str) -> DnsRecords:
        self.looked_up.append(name)
        return DnsRecords(name)


class Secret:
    """
    What only the frame of a job or of a check knows.
    """


def raised(secret: Secret) -> CheckResult:
    """
    A check that raises its failure.
    """
    raise NoAddress(name=NAME, detail=str(secret))


def caught(secret: Secret) -> CheckResult:
    """
    A check that answers with a failure which it caught.
    """
    try:
        return raised(secret)
    except NoAddress as failure:
        return CheckResult.warn(failure)


@pytest.fixture
def questions() -> Questions:
    """
    No checks yet.
    """
    return Questions()


class TestDecision:
    def test_when_all_say_yes_the_ca_is_asked(
        self, questions: Questions, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        One line of the log says what was seen.
        """
        with caplog.at_level(logging.INFO):
            questions.preflight(lambda: YES, lambda: CheckResult.passed("CAA open"))([NAME])

        assert ["preflight ok (all is well, CAA open)"] == [each.message for each in caplog.records]

    def test_a_no_stops_it(self, questions: Questions) -> None:
        """
        The CA would refuse, and count it.
        """
        questions.may = [True]
        with pytest.raises(NoAddress):
            questions.preflight(lambda: YES, lambda: NO)([NAME])

    @pytest.mark.parametrize("answer", [raised, caught])
    def test_a_cached_no_holds_nothing_of_the_job_that_met_it(
        self, questions: Questions, answer: Callable[[Secret], CheckResult]
    ) -> None:
        """
        A traceback has the frames of its job, with keys in them, and ten thousand answers are cached.
        """
        checked: list[weakref.ref[Secret]] = []

        def check() -> CheckResult:
            secret = Secret()
            checked.append(weakref.ref(secret))
            return answer(secret)

        def job() -> weakref.ref[Secret]:
            secret = Secret()
            with pytest.raises(NoAddress):
                preflight([NAME])
            return weakref.ref(secret)

        preflight = questions.preflight(check)
        jobs = [job(), job()]
        gc.collect()

        assert 1 == len(checked)
        assert [None] * 3 == [each() for each in (*jobs, *checked)]

    def test_a_no_of_the_machine_stops_it(self, questions: Questions) -> None:
        """
        A certificate that cannot be kept is one of five a week.
        """
        with pytest.raises(VolumeFull):
            questions.preflight(lambda: YES, machine=CheckResult.fail(FULL))([NAME], renewing=True)
        assert [] == questions.looked_up

    def test_each_name_of_a_set_counts(self, questions: Questions) -> None:
        """
        A certificate for nine of ten names is none.
        """
        with pytest.raises(NoAddress):
            questions.preflight(lambda: NO if len(questions.looked_up) > 1 else YES)([NAME, "www.shop.org"])
        assert {NAME, "www.shop.org"} == {each.name for each in questions.asked}

    def test_a_likely_no_is_asked_about_once(
        self, questions: Questions, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A router may hide us from ourselves; but the CA counts what it refuses.
        """
        questions.may = [True]
        preflight = questions.preflight(lambda: LIKELY_NO)

        (finding,) = preflight([NAME])
        assert isinstance(finding, HttpRefused)
        assert "[http.refused]" in caplog.text
        with pytest.raises(HttpRefused):
            preflight([NAME])

    def test_the_certain_no_is_told_before_the_likely_one(self, questions: Questions) -> None:
        """
        It is what has to be changed; the other is often its consequence.
        """
        with pytest.raises(NoAddress):
            questions.preflight(lambda: LIKELY_NO, lambda: NO)([NAME])

    def test_a_proof_outweighs_a_doubt(self, questions: Questions, caplog: pytest.LogCaptureFixture) -> None:
        """
        If our own nonce came back, the CA's will, wherever the name seems to point.
        """
        preflight = questions.preflight(lambda: LIKELY_NO, lambda: CheckResult.proven("port 80 answers"))

        preflight([NAME])
        preflight([NAME])
        assert "[http.refused]" in caplog.text

    def test_a_proof_does_not_outweigh_a_certain_no(self, questions: Questions) -> None:
        """
        A CAA record forbids a certificate for the best of servers.
        """
        with pytest.raises(NoAddress):
            questions.preflight(lambda: CheckResult.proven("port 80 answers"), lambda: NO)([NAME])

    def test_a_no_to_what_works_is_but_a_likely_one(self, questions: Questions) -> None:
        """
        A renewal must not hang on a mistake of ours; and often the CA does not validate anew.
        """
        questions.may = [True]

        questions.preflight(lambda: NO)([NAME], renewing=True)
        assert [True] == [each.renewing for each in questions.asked]

    def test_a_remark_stops_nothing(self, questions: Questions, caplog: pytest.LogCaptureFixture) -> None:
        """
        It is told, with its code, and the summary counts it: a preflight with a warning is not ok.
        """
        odd = CaaForbidden(name=NAME, detail="odd")
        with caplog.at_level(logging.INFO):
            findings = questions.preflight(lambda: CheckResult.passed("CAA", odd))([NAME])

        assert (odd,) == findings
        assert "[caa.forbidden]" in caplog.text
        assert "preflight passed with 1 warning (CAA)" == caplog.messages[-1]


class TestDeadlines:
    def test_the_checks_of_all_names_run_at_the_same_time(self, questions: Questions) -> None:
        """
        What waits for the network need not wait for the others.
        """
        together = threading.Barrier(6, timeout=0.4)

        def answer() -> CheckResult:
            together.wait()
            return YES

        questions.preflight(answer, answer)([NAME, "www.shop.org", "api.shop.org"])

    def test_a_check_that_takes_too_long_stops_nothing(self, questions: Questions) -> None:
        """
        Whatever cannot be found out from here is the CA's to say.
        """
        release = threading.Event()
        began = time.monotonic()

        def answer() -> CheckResult:
            release.wait(10)
            return NO

        questions.preflight(answer)([NAME])
        release.set()
        assert time.monotonic() - began < 5

    def test_the_renewal_of_what_works_waits_two_seconds_at_most(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Name servers that are silent today were asked by the CA yesterday, and will be tomorrow.
        """
        answered = threading.Event()

        def look_up(name: str) -> DnsRecords:
            answered.wait(60)
            return DnsRecords(name)

        checks = [Check("DNS", lambda _: NO, 1)]
        preflight = PreflightRunner([], checks, look_up, lambda _: False, Settling.over())
        with caplog.at_level(logging.INFO):
            preflight([NAME, "www.shop.org"], renewing=True)
        answered.set()

        assert "preflight ok (no check ended in time)" == caplog.messages[-1]

    def test_what_has_answered_by_then_counts(self, questions: Questions) -> None:
        """
        DNS says at once that the name leads elsewhere, while nobody answers there.
        """
        silence = threading.Event()

        def slow() -> CheckResult:
            silence.wait(60)
            return YES

        preflight = questions.preflight(lambda: LIKELY_NO, slow)
        with pytest.raises(HttpRefused):
            preflight([NAME], renewing=True)
        silence.set()

    def test_a_fault_of_ours_stops_nothing(
        self, questions: Questions, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is told, and the site gets its certificate.
        """

        def answer() -> CheckResult:
            raise ValueError("a bug")

        questions.preflight(answer)([NAME])
        assert "a bug" in caplog.text

    def test_a_fault_of_the_look_up_stops_nothing(self) -> None:
        """
        The checks are asked all the same, and know nothing.
        """
        seen: list[DnsRecords] = []

        def look_up(_name: str) -> DnsRecords:
            raise ValueError("a bug")

        def ask(question: CheckContext) -> CheckResult:
            seen.append(question.records)
            return YES

        checks = [Check("check", ask, 1)]
        PreflightRunner([], checks, look_up, lambda _name: False, Settling.over())([NAME])
        assert [DnsRecords(NAME)] == seen

    def test_slow_checks_do_not_make_others_late(self, questions: Questions) -> None:
        """
        An answer that comes late counts as a yes: it must not be late for want of a thread.
        """
        release = threading.Event()

        def slow() -> CheckResult:
            release.wait(5)
            return YES

        names = [f"{number}.shop.org" for number in range(CONCURRENT_NAMES)]
        found = questions.preflight(slow, slow, slow, lambda: NO).check_names(names)
        release.set()

        assert all(each[-1].result == NO for each in found)


def started(
    check: Callable[[], CheckResult], *, settles: bool = True, seconds: float = 3600, pause_seconds: float = 0
) -> PreflightRunner:
    """
    The checks of a worker that has just started; one that *settles* asks what may start later.
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
    Traefik loads its routes while the worker already checks its first names.
    """

    @pytest.mark.parametrize("renewing", [False, True])
    def test_what_starts_later_is_checked_again(
        self, renewing: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Nothing has failed then, and nothing is logged as if it had.
        """
        answers = iter([CheckResult.fail(REFUSED), LIKELY_NO, YES])
        with caplog.at_level(logging.INFO):
            started(lambda: next(answers))([NAME], renewing=renewing)

        assert ["the worker has just started", "preflight ok (all is well)"] == [
            each.split(":")[0] for each in caplog.messages
        ]
        assert all(each.levelno < logging.WARNING for each in caplog.records)

    def test_one_name_that_has_not_settled_is_enough(self) -> None:
        """
        A certificate for several names needs all of them.
        """
        numbers = count()

        def check() -> CheckResult:
            return CheckResult.fail(REFUSED) if next(numbers) == 1 else YES

        started(check)([NAME, "www.shop.org"])

        assert 4 > next(numbers) > 2

    def test_the_slot_is_given_back_meanwhile(self) -> None:
        """
        Eight names that lead nowhere must not hold up all others of a start.
        """
        given_back: list[str] = []
        answers = iter([CheckResult.fail(REFUSED), YES, YES])
        slot = JobSlot(lambda: given_back.append("slot"), lambda: True)
        started(lambda: next(answers))([NAME], slot=slot)
        assert ["slot"] == given_back
        started(lambda: YES)([NAME], slot=slot)

        assert ["slot"] == given_back

    def test_in_the_end_it_counts(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        What still does not lead here is reported, with its remedy.
        """
        with pytest.raises(HttpRefused):
            started(lambda: CheckResult.fail(REFUSED), seconds=0.1, pause_seconds=0.01)([NAME])

    def test_what_no_start_changes_counts_at_once(self) -> None:
        """
        The records of a name do not wait for a proxy.
        """
        with pytest.raises(NoAddress):
            started(lambda: NO, settles=False)([NAME])


class TestMemory:
    def test_what_was_found_is_not_asked_for_again_at_once(self, questions: Questions) -> None:
        """
        Ten jobs for ten names of one site look up the same things.
        """
        preflight = questions.preflight(lambda: YES)
        preflight([NAME])
        preflight([NAME])

        assert [NAME] == questions.looked_up
