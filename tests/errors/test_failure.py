"""
Tests of the base class of all failures, and of the rules for each failure of the catalog.
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
from certworker.acme.problems import REFUSALS
from certworker.errors import CertworkerError, Retry, Severity, catalog, printable
from certworker.errors.acct import UserActionRequired
from certworker.errors.config import InvalidSettings
from certworker.errors.dns import Moved, NameServersTimeout
from certworker.errors.imports import ImportDamaged, ImportFailure
from certworker.errors.name import ForbiddenByPolicy, NameFailure, NotRegistered
from certworker.errors.pages import template
from certworker.errors.payload import PayloadFailure
from certworker.errors.redis import RedisAuthFailed
from certworker.errors.worker import AlreadyInProgress, BadJob, FunctionNotRegistered

FAILURES = catalog()

#: Words that no message and no remedy has.
BANNED = re.compile(
    r"\b(tell|tells|told|said|mend|nobody|somebody|whoever|anew|by itself|goes on|for ever|of no use"
    r"|look|looks|we|us|our|ours|lies|stands|kept|wants|asks again|serves on|in the place of|at any rate)\b",
    re.IGNORECASE,
)
#: Commands, variables, paths and addresses do not count as words of a sentence.
NOT_WORDS = re.compile(r"(: (?:docker|certworker|dig|curl|mv|ls|redis-cli|rediss?://) .*|\S*[/=]\S*|\(.*?\))")
MAX_WORDS = 20


def all_classes(parent: type[CertworkerError] = CertworkerError) -> list[type[CertworkerError]]:
    """
    Return each class of the catalog with its own text, including the variants of a code.
    """
    return [
        found
        for child in parent.__subclasses__()
        for found in ([child] if "message_template" in vars(child) else []) + all_classes(child)
        if found.__module__.startswith("certworker.")
    ]


class Broken(CertworkerError):
    """
    A failure for these tests. A test that needs a code adds it in a subclass.
    """

    message_template = "{name} is broken: {reason}."
    remedy_template = "Repair {name}: repair {name}"
    retry = Retry.SOON


class TestPrintable:
    @given(st.text(alphabet=st.characters(exclude_categories=[])))
    def test_any_text_becomes_one_printable_line(self, text: str) -> None:
        """
        A hostile text cannot forge a log line, color a terminal or reverse the direction of text.
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
    def test_control_characters_are_escaped_and_letters_are_unchanged(self, text: object, shown: str) -> None:
        """
        Control characters are escaped, and the letters of all scripts are unchanged.
        """
        assert printable(text) == shown

    @pytest.mark.parametrize("text", ["x" * 501, "\n" * 400, "x" * 10_000_000])
    def test_a_long_text_is_truncated_with_an_ellipsis(self, text: str) -> None:
        """
        The result has 500 characters, including the ellipsis.
        """
        assert (len(printable(text)), printable(text)[-1]) == (500, "…")

    def test_a_text_of_the_maximum_length_is_complete(self) -> None:
        """
        A text of exactly 500 characters has no ellipsis.
        """
        assert printable("x" * 500) == "x" * 500


class TestCertworkerError:
    def test_the_values_fill_both_templates(self) -> None:
        """
        The values of a failure are in its message and in its remedy.
        """
        failure = Broken(name="shop.org", reason="the key does not match")

        assert failure.message == "shop.org is broken: the key does not match."
        assert failure.remedy == "Repair shop.org: repair shop.org"

    def test_values_are_printable_and_are_no_templates(self) -> None:
        """
        A value with braces is not a template, and its control characters are escaped.
        """
        failure = Broken(name="{reason}\n", reason="{name.__class__}")

        assert failure.message == r"{reason}\n is broken: {name.__class__}."

    def test_the_text_has_code_message_and_remedy_in_one_line(self) -> None:
        """
        The text of a failure, as in the log, has the code, the message and the remedy in one line.
        """
        assert str(InvalidSettings(["A must be 1", "B must be 2"])) == (
            "[config.invalid] The configuration has invalid values (2). A must be 1. B must be 2. "
            "Correct the values in .env, then run: docker compose up -d"
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
        A message that ends with a text of the CA gets a full stop if it has none.
        """
        failure = UserActionRequired(authority="The CA", detail=detail, url="https://ca.example/42")

        assert end in str(failure)
        # A log line, a record and a notification that join the two parts have the same sentence.
        assert str(failure) == f"[{failure.code}] {failure.message} {failure.remedy}"

    @pytest.mark.parametrize(
        ("address", "reason", "message"),
        [
            ("redis:6379", "Authentication required.", "the password (Authentication required)."),
            ("redis:6379", "it is empty", "the password (it is empty)."),
            ("example.com.", "no", "Redis at example.com. rejects"),
        ],
    )
    def test_a_sentence_as_a_reason_has_one_period(self, address: str, reason: str, message: str) -> None:
        """
        A reason that is a sentence does not double the period of the message. Other values keep theirs.
        """
        assert message in RedisAuthFailed(address=address, reason=reason).message

    def test_the_json_object_has_the_problem_of_the_ca(self) -> None:
        """
        The JSON object has the code, the message, the remedy and the problem of the CA.
        """
        problem = {"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN", "status": 400}

        class Coded(Broken):
            code = vars(InvalidSettings)["code"]

        assert Coded(name="shop.org", reason="no key", problem=problem).as_json() == {
            "code": "config.invalid",
            "message": "shop.org is broken: no key.",
            "remedy": "Repair shop.org: repair shop.org",
            "problem": problem,
        }

    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, lambda failure: pickle.loads(pickle.dumps(failure))],  # noqa: S301 (its own pickle)
    )
    def test_a_failure_can_be_copied_and_pickled(self, duplicate: object) -> None:
        """
        A failure is equal after it is copied or pickled, as in queues and process pools.
        """
        assert callable(duplicate)
        failure = Broken(name="shop.org", reason="no key", until=datetime(2026, 11, 23, tzinfo=UTC))

        received = duplicate(failure)

        assert (received.message, received.until, type(received)) == (failure.message, failure.until, Broken)


class TestCatalog:
    def test_each_code_belongs_to_one_class(self) -> None:
        """
        No two classes have the same code, and the catalog is sorted by code.
        """
        codes = Counter(failure.code for failure in FAILURES)

        assert [code for code, count in codes.items() if count > 1] == []
        assert list(codes) == sorted(codes)

    def test_each_failure_has_a_message_and_a_remedy(self) -> None:
        """
        The message and the remedy are sentences. A remedy that ends with a command has no full stop.
        """
        texts = [(failure.code, failure.message_template, failure.remedy_template) for failure in FAILURES]

        assert [] == [code for code, message, _ in texts if not message.endswith((".", ")", "}"))]
        assert [] == [code for code, _, remedy in texts if not re.match(r"certworker |[A-Z]", remedy)]
        assert [] == [code for code, *both in texts if not all(map(str.isprintable, both))]

    def test_a_shell_does_not_change_the_command_of_a_remedy(self) -> None:
        """
        A value in a command is quoted if a shell would change it. A record has the value itself.
        """
        moved = Moved(name="*.example.org", found="A 192.0.2.1", record="*.example.org. A 192.0.2.2")
        broken = NameServersTimeout(name="a b;$(c)", detail="no answer")
        plain = AlreadyInProgress(name="shop.example.org")

        assert moved.remedy == (
            "Create the record *.example.org. A 192.0.2.2, or remove the name: "
            "certworker remove '*.example.org'"
        )
        assert broken.remedy.endswith(": dig +trace 'a b;$(c)'")
        assert plain.remedy.endswith(": certworker status shop.example.org")

    def test_each_failure_has_a_retry_and_a_severity(self) -> None:
        """
        The retry and the severity of each failure are members of their enumerations.
        """
        assert [] == [failure.code for failure in FAILURES if not isinstance(failure.retry, Retry)]
        assert [] == [failure.code for failure in FAILURES if not isinstance(failure.severity, Severity)]

    def test_each_text_is_plain_english(self) -> None:
        """
        No text has a banned word, and no sentence has more than twenty words.
        """
        wrong = []
        for failure in all_classes():
            for text in (template(failure.message_template), template(failure.remedy_template)):
                sentences = re.split(r"[.;:] ", NOT_WORDS.sub(" ", text))
                banned = [found[0] for found in BANNED.finditer(text)]
                long = [sentence for sentence in sentences if len(sentence.split()) > MAX_WORDS]
                wrong += [f"{failure.__name__}: {found}" for found in banned + long]

        assert not wrong, "\n".join(wrong)

    def test_only_an_invalid_request_is_never_retried(self) -> None:
        """
        Only a failure that depends on the content of the request alone is never retried.
        """
        never = {failure for failure in FAILURES if failure.retry is Retry.NEVER}
        kinds, later = (NameFailure, PayloadFailure, ImportFailure), {ImportDamaged}
        requests = {failure for failure in FAILURES if issubclass(failure, kinds)} - later

        assert never == requests - {ForbiddenByPolicy, NotRegistered} | {BadJob, FunctionNotRegistered}
        assert {ForbiddenByPolicy, NotRegistered} <= requests
        assert never.isdisjoint(failure for _, _, failure in REFUSALS)

    def test_templates_have_plain_fields_only(self) -> None:
        """
        A template has no index and no attribute, which can raise while the failure is reported.
        """
        assert [] == [
            f"{failure.code}: {field}"
            for failure in FAILURES
            for _, field, _, _ in Formatter().parse(failure.message_template + failure.remedy_template)
            if field and not field.isidentifier()
        ]

    def test_each_failure_is_in_the_module_of_its_code(self) -> None:
        """
        Each failure is in the module that the docstring of the package lists for its code.
        """
        families = dict(re.findall(r"^    (\w+) +((?:\w+\.\* ?)+)", str(errors.__doc__), re.M))
        modules = {failure.code: failure.__module__.rpartition(".")[2] for failure in FAILURES}

        assert [] == [
            f"{code} in {module}"
            for code, module in modules.items()
            if f"{code.partition('.')[0]}.*" not in families[module].split()
        ]
