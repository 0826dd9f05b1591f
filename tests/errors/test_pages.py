"""
The documentation page of each failure.
"""

from __future__ import annotations

import re

import pytest

from certworker.errors import CertworkerError, Retry, catalogue
from certworker.errors.dns import WrongAddress
from certworker.errors.http import HttpNotFound
from certworker.errors.pages import (
    RETRIES,
    RETRIES_BY_CODE,
    explanations,
    page_of,
    reference_of,
    remedy_of,
    retry_of,
)
from tests.documentation import DOCS, pauses_of

FAILURES = {kind.code: kind for kind in catalogue()}
SECTIONS = ["Cause", "How to check", "Remedy", "When certworker tries again"]


class TestExplanations:
    def test_each_failure_has_an_explanation_and_there_is_no_other(self) -> None:
        """
        Each code has a cause and a check in certworker/errors/explanations.
        """
        assert set(FAILURES) == set(explanations())

    @pytest.mark.parametrize("code", FAILURES)
    def test_it_has_a_cause_and_a_check(self, code: str) -> None:
        """
        Both are sentences, on lines that fit a terminal.
        """
        explanation = explanations()[code]
        lines = f"{explanation.cause}\n{explanation.check}".splitlines()

        assert "." in explanation.cause
        assert explanation.check
        assert [] == [line for line in lines if len(line) > 120]


class TestPage:
    @pytest.mark.parametrize("code", FAILURES)
    def test_it_has_all_sections(self, code: str) -> None:
        """
        Every page has the same sections, and none of them is empty.
        """
        page = page_of(code)

        assert page.startswith(f"# {code}\n\n```text\n[{code}] ")
        assert SECTIONS == re.findall(r"^## (.+)\n\n\S", page.replace("\n\n    ", "\n\n"), re.MULTILINE)

    def test_an_unknown_code_raises_a_key_error(self) -> None:
        """
        `page_of` raises KeyError for an unknown code, and the caller lists the known ones.
        """
        with pytest.raises(KeyError):
            page_of("http.teapot")

    @pytest.mark.parametrize(
        ("remedy_template", "remedy"),
        [
            ("Read it: docker ps; docker logs x", "Read it: `docker ps`; `docker logs x`"),
            ("Wait; certworker retries", "Wait; certworker retries"),
            ("See: dig NAME. Then wait.", "See: `dig NAME`. Then wait."),
            ("Set _APP_ENV=production.", "Set `_APP_ENV=production`."),
            ("Start it with --port=80; then wait", "Start it with `--port=80`; then wait"),
            ("See https://example.org/a_b.", "See <https://example.org/a_b>."),
            ("Set it to redis://HOST:6379/0", "Set it to `redis://HOST:6379/0`"),
            ("Exclude {name}/*", "Exclude NAME/\\*"),
        ],
    )
    def test_commands_and_variables_of_a_remedy_are_code(self, remedy_template: str, remedy: str) -> None:
        """
        Markdown shows them unchanged, and an underscore does not begin emphasis.
        """
        failure = type("Failure", (CertworkerError,), {"remedy_template": remedy_template})

        assert remedy == remedy_of(failure)


class TestReference:
    def test_without_a_site_it_is_the_command(self) -> None:
        """
        The command works on a machine without the Internet.
        """
        assert "certworker explain http.404" == reference_of("http.404", None)

    @pytest.mark.parametrize("code", FAILURES)
    def test_with_a_site_it_is_the_page_that_mkdocs_makes(self, code: str) -> None:
        """
        MkDocs makes CODE/index.html of CODE.md.
        """
        url = reference_of(code, "https://docs.example.org/latest/")
        source = url.removeprefix("https://docs.example.org/latest/").removesuffix("/")

        assert (DOCS / f"{source}.md").is_file()

    def test_an_unknown_code_has_no_page(self) -> None:
        """
        A code from Redis may be anything.
        """
        assert "" == reference_of("http.teapot", "https://docs.example.org")


class TestRetries:
    @pytest.mark.parametrize("retry", [Retry.PREFLIGHT, Retry.CA, Retry.SOON])
    def test_the_pauses_are_those_of_the_policy(self, retry: Retry) -> None:
        """
        The page has the pauses of the retry policy.
        """
        assert RETRIES[retry] == f"certworker tries again {pauses_of(retry)}."

    def test_a_failure_that_only_a_check_finds_has_the_pauses_of_a_check(self) -> None:
        """
        The CA is not asked, so the pauses after its refusals do not apply.
        """
        assert retry_of(WrongAddress) == RETRIES[Retry.PREFLIGHT]

    def test_a_failure_that_a_check_or_the_ca_finds_has_both(self) -> None:
        """
        The first sentence has the pauses after a refusal of the CA.
        """
        text = retry_of(HttpNotFound)

        assert text.startswith(RETRIES[Retry.CA])
        assert text.endswith("first: after 1, 5, 10 and 30 minutes, then hourly, then daily.")

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            ("label.refused", "certworker tries again after growing pauses of at most a minute."),
            ("label.unusable", "certworker reads the label again when the container starts."),
            ("queue.abandoned", "certworker does not run this job again."),
        ],
    )
    def test_a_failure_without_the_pauses_of_the_policy_has_a_text_of_its_own(
        self, code: str, text: str
    ) -> None:
        """
        The retry policy plans no attempt after these failures, so its pauses do not apply.
        """
        assert retry_of(FAILURES[code]) == text
        assert page_of(code).rstrip().endswith(text)

    def test_each_text_of_its_own_belongs_to_a_failure(self) -> None:
        """
        A text of a code that no longer exists would be dead.
        """
        assert set(RETRIES_BY_CODE) <= set(FAILURES)
