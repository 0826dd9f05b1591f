"""
What every failure has, and what every failure of the catalogue keeps to.
"""

from __future__ import annotations

import copy
import pickle
import re
from collections import Counter
from datetime import UTC, datetime
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker import errors
from certworker.acme.problem_mapping import REFUSALS
from certworker.errors import CertworkerError, Retry, Severity, catalogue, printable
from certworker.errors.acct import UserActionRequired
from certworker.errors.config import InvalidSettings
from certworker.errors.name import ForbiddenByPolicy, NameFailure, NotRegistered
from certworker.errors.payload import PayloadFailure
from certworker.errors.worker import BadJob, FunctionNotRegistered

KINDS = catalogue()


class Broken(CertworkerError):
    """
    A failure for these tests; it has a code only where one is looked at.
    """

    message_template = "{name} is broken: {reason}."
    remedy_template = "Mend {name}: mend {name}"
    retry = Retry.SOON


class TestPrintable:
    @given(st.text(alphabet=st.characters(exclude_categories=[])))
    def test_whatever_was_written_is_one_harmless_line(self, text: str) -> None:
        """
        A job or a CA could forge log lines, colour a terminal or turn the direction of the text.
        """
        shown = printable(text)

        assert shown.isprintable()
        assert len(shown) <= 500
        shown.encode()

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("x.org\r\nERROR fake", r"x.org\r\nERROR fake"),
            ("\x1b[31mx.org\x00", r"\x1b[31mx.org\x00"),
            ("a\u202eb", r"a\u202eb"),
            ("\ud800", r"\ud800"),
            ("müller 東京 😀", "müller 東京 😀"),
            (None, "None"),
        ],
    )
    def test_control_characters_are_shown_and_letters_left_alone(self, text: object, shown: str) -> None:
        """
        What somebody tried is worth seeing, and names have letters of all scripts.
        """
        assert printable(text) == shown

    @pytest.mark.parametrize("text", ["x" * 501, "\n" * 400, "x" * 10_000_000])
    def test_long_texts_are_cut_with_a_mark(self, text: str) -> None:
        """
        Nobody reads the rest, and a log is not a dump.
        """
        assert (len(printable(text)), printable(text)[-1]) == (500, "…")

    def test_a_text_that_just_fits_is_whole(self) -> None:
        """
        The mark would be a lie.
        """
        assert printable("x" * 500) == "x" * 500


class TestCertworkerError:
    def test_the_values_fill_both_templates(self) -> None:
        """
        The remedy names the very thing to change.
        """
        failure = Broken(name="shop.org", reason="the key does not fit")

        assert failure.message == "shop.org is broken: the key does not fit."
        assert failure.remedy == "Mend shop.org: mend shop.org"

    def test_values_are_made_printable_and_never_read_as_templates(self) -> None:
        """
        They come from strangers.
        """
        failure = Broken(name="{reason}\n", reason="{name.__class__}")

        assert failure.message == r"{reason}\n is broken: {name.__class__}."

    def test_it_tells_all_of_it_in_one_line(self) -> None:
        """
        The line of the log, wherever it is caught.
        """
        told = str(InvalidSettings(["A must be 1", "B must be 2"]))

        assert told == (
            "[config.invalid] The configuration has wrong values (2). A must be 1. B must be 2. "
            "Correct them in .env, then run: docker compose up -d"
        )

    @pytest.mark.parametrize(
        ("detail", "end"),
        [
            ("confirm first", "confirm first. Open"),
            ("confirm first.", "confirm first. Open"),
            ("Confirm!", "Confirm! Open"),
            ("see https://ca.example/42", "see https://ca.example/42 Open"),
        ],
    )
    def test_the_remedy_begins_a_new_sentence(self, detail: str, end: str) -> None:
        """
        The words of a CA may end without a full stop.
        """
        failure = UserActionRequired(authority="The CA", detail=detail, url="https://ca.example/42")

        assert end in str(failure)
        # A line of the log, a record and a notification join the two parts by a space.
        assert str(failure) == f"[{failure.code}] {failure.message} {failure.remedy}"

    def test_it_is_json_with_the_words_of_the_ca(self) -> None:
        """
        For programs that read the log, the job's result or the ledger.
        """
        problem = {"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN", "status": 400}

        class Told(Broken):
            code = vars(InvalidSettings)["code"]

        told = Told(name="shop.org", reason="no key", problem=problem).as_json()

        assert told == {
            "code": "config.invalid",
            "message": "shop.org is broken: no key.",
            "remedy": "Mend shop.org: mend shop.org",
            "problem": problem,
        }

    @pytest.mark.parametrize("again", [copy.copy, lambda failure: pickle.loads(pickle.dumps(failure))])  # noqa: S301
    def test_it_survives_a_journey_between_processes(self, again: object) -> None:
        """
        Queues and pools carry exceptions around; one that cannot be unpacked hides the failure itself.
        """
        assert callable(again)
        failure = Broken(name="shop.org", reason="no key", until=datetime(2026, 11, 23, tzinfo=UTC))

        arrived = again(failure)

        assert (arrived.message, arrived.until, type(arrived)) == (failure.message, failure.until, Broken)


class TestCatalogue:
    def test_each_code_belongs_to_one_class(self) -> None:
        """
        People search for the code.
        """
        codes = Counter(kind.code for kind in KINDS)

        assert [code for code, times in codes.items() if times > 1] == []
        assert list(codes) == sorted(codes)

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
    def test_each_says_what_is_wrong_and_what_to_do(self, kind: type[CertworkerError]) -> None:
        """
        Both are sentences; the remedy may end with the thing to type, and then without a full stop.
        """
        assert kind.message_template
        assert kind.message_template[-1] in ".)}"
        assert kind.remedy_template
        assert kind.remedy_template[0].isupper() or kind.remedy_template.startswith("certworker ")
        assert kind.message_template.isprintable()
        assert kind.remedy_template.isprintable()
        assert isinstance(kind.retry, Retry)
        assert isinstance(kind.severity, Severity)

    def test_only_a_request_can_be_wrong_for_good(self) -> None:
        """
        What a CA says of an order, an account or a name may change; what a job says of itself does not.
        """
        wrong = {kind for kind in KINDS if kind.retry is Retry.NEVER}
        requests = {kind for kind in KINDS if issubclass(kind, (NameFailure, PayloadFailure))}

        assert wrong == requests - {ForbiddenByPolicy, NotRegistered} | {BadJob, FunctionNotRegistered}
        assert {ForbiddenByPolicy, NotRegistered} <= requests
        assert [kind.code for kind in wrong if kind in {kind for _, _, kind in REFUSALS}] == []

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
    def test_templates_take_plain_values_only(self, kind: type[CertworkerError]) -> None:
        """
        An index or an attribute in a template would fail when the failure is told, and hide it.
        """
        fields = [
            field
            for _, field, _, _ in Formatter().parse(kind.message_template + kind.remedy_template)
            if field
        ]

        assert all(field.isidentifier() for field in fields)

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
    def test_each_stands_in_the_file_of_its_first_word(self, kind: type[CertworkerError]) -> None:
        """
        So that it is found.
        """
        told = dict(re.findall(r"^    (\w+) +((?:\w+\.\* ?)+)", str(errors.__doc__), re.M))
        room = kind.__module__.rpartition(".")[2]

        assert f"{kind.code.partition('.')[0]}.*" in told[room].split()
