"""
Tests of the process that changes a record with dns-lexicon. tests/dns01/test_lexicon.py starts the real
process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from lexicon.exceptions import AuthenticationError, ProviderNotAvailableError
from requests import HTTPError, Response

from certworker.dns01.lexicon_child import (
    CREDENTIALS,
    FAILED,
    FORBIDDEN,
    NO_ZONE,
    RATE_LIMITED,
    UNAVAILABLE,
    failure_of,
)


def http_error(status: int, **headers: str) -> HTTPError:
    """
    Return the exception for an answer with *status*.
    """
    answer = Response()
    answer.status_code = status
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return HTTPError(response=answer)


class TestFailures:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("No domain found", NO_ZONE),
            ("Domain not found", NO_ZONE),
            ("Domain example.com not found in view", NO_ZONE),
            ("example.com not managed", NO_ZONE),
            ("No zone was found in account matching example.com", NO_ZONE),
            ("Too many domains found. This should not happen", NO_ZONE),
            ("Requested domain is not among the owned domains", NO_ZONE),
            ("Incorrect API keys", CREDENTIALS),
            ("Login failed", CREDENTIALS),
            ("No valid authentication mechanism specified.", CREDENTIALS),
            ("No account id found", CREDENTIALS),
        ],
    )
    def test_the_text_of_an_exception_decides_its_result(self, text: str, expected: str) -> None:
        """
        The text of an AuthenticationError decides the result, and is not part of it.
        """
        found = failure_of(AuthenticationError(text), authenticated=False)

        assert found == {"result": expected, "reason": "AuthenticationError", "retry_after": ""}

    @pytest.mark.parametrize(
        ("status", "authenticated", "expected"),
        [
            (400, False, CREDENTIALS),
            (401, False, CREDENTIALS),
            (403, False, CREDENTIALS),
            (404, False, NO_ZONE),
            (422, False, NO_ZONE),
            (429, False, RATE_LIMITED),
            (500, False, FAILED),
            (400, True, FAILED),
            (401, True, CREDENTIALS),
            (403, True, FORBIDDEN),
            (404, True, FAILED),
            (429, True, RATE_LIMITED),
        ],
    )
    def test_a_status_has_its_result(self, status: int, authenticated: bool, expected: str) -> None:
        """
        The result of a status depends on whether it comes before or after the login.
        """
        found = failure_of(http_error(status), authenticated=authenticated)

        assert (found["result"], found["reason"]) == (expected, f"HTTPError, HTTP {status}")

    def test_the_status_of_a_chained_exception_counts(self) -> None:
        """
        The status counts even if the provider raises another exception from it.
        """
        outer = AuthenticationError("No domain found")
        outer.__context__ = http_error(401)

        assert failure_of(outer, authenticated=False)["result"] == CREDENTIALS

    def test_a_cyclic_chain_of_exceptions_is_a_failure(self) -> None:
        """
        A cyclic chain of exceptions is a failure, and does not hang.
        """
        first, second = ValueError(), KeyError()
        first.__cause__, second.__context__ = second, first

        assert failure_of(first, authenticated=True)["result"] == FAILED

    def test_a_long_retry_after_is_cut(self) -> None:
        """
        A long Retry-After header is cut to 60 characters, which the worker parses.
        """
        found = failure_of(http_error(429, Retry_After="9" * 1_000), authenticated=True)

        assert found["retry_after"] == "9" * 60

    @pytest.mark.parametrize("error", [ProviderNotAvailableError("x"), ImportError("lexicon")])
    def test_missing_packages_have_their_result(self, error: Exception) -> None:
        """
        Missing packages of dns-lexicon or of its providers have a result of their own.
        """
        assert failure_of(error, authenticated=False)["result"] == UNAVAILABLE


def test_missing_dns_lexicon_has_its_result() -> None:
    """
    The process has a result without dns-lexicon, which may be removed while the worker runs.
    """
    program = (
        "import sys; sys.modules['lexicon'] = None; from certworker.dns01.lexicon_child import main; "
        "main(['create', 'powerdns', 'example.com', 'a.example.com', 'v'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env=dict(os.environ)
    )

    assert json.loads(ended.stdout)["result"] == UNAVAILABLE
    assert ended.stderr == b""
