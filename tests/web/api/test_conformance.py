"""
Schemathesis sends generated calls to a real server, and compares the responses with the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from certworker.app import App
from certworker.web.api import rate_limit
from certworker.web.api.operations import OPERATIONS, Operation
from tests.web.api.conftest import BROKEN, OURS
from tests.web.api.serving import serving
from tests.web.application import create_token

#: A text of the right length is not always a name or a cursor. Other tests send calls without a token.
EXCLUDED = ("positive_data_acceptance", "ignored_auth")

CONFIG: dict[str, Any] = {
    # Generated tokens would lock out the address.
    "generation": {"with-security-parameters": False},
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
}

#: Generated calls of each operation, valid ones and as many invalid ones.
EXAMPLES = 10

#: A stream does not end, and the checks take seconds.
ENDLESS = ("/events", "/doctor/{name}")

CALLED = [operation for operation in OPERATIONS if operation.path not in ENDLESS]


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Accept any number of calls. An application reads the limit when it is built.
    """
    monkeypatch.setattr(rate_limit, "BURST", 10**6)


@pytest.fixture
def url(unlimited: None, names: App, application: Flask) -> Iterator[str]:
    """
    Start a server; yield the URL of its API.
    """
    load_all_checks()
    with serving(application) as url:
        yield url


class TestConformance:
    def test_each_call_conforms_to_the_document(self, url: str, tmp_path: Path) -> None:
        """
        Valid and invalid calls get documented responses of the documented form, and no error of the server.
        """
        excluded: list[Any] = [CHECKS.get_one(name) for name in EXCLUDED]
        headers = {"Authorization": f"Bearer {create_token(tmp_path / 'tokens.json', 'admin')}"}
        config = schemathesis.Config.from_dict(CONFIG | {"base-url": url})
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)

        def statuses_of(operation: Operation, mode: GenerationMode, names: Sequence[str | None]) -> set[int]:
            found = set()

            @seed(0)
            @settings(
                max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=schema[operation.path][operation.method].as_strategy(generation_mode=mode))
            def send(case: schemathesis.Case[Any]) -> None:
                for name in names:
                    case.path_parameters = {"name": name} if name else case.path_parameters
                    response = case.call(headers=headers)
                    found.add(response.status_code)
                    case.validate_response(response, excluded_checks=excluded, headers=headers)

            send()
            return found

        for operation in CALLED:
            known = [None, OURS, BROKEN] if "{name}" in operation.path else [None]
            accepted = statuses_of(operation, GenerationMode.POSITIVE, known)
            has_input = operation.query or operation.body or "{name}" in operation.path
            refused = statuses_of(operation, GenerationMode.NEGATIVE, [None]) if has_input else set()

            # Few generated texts are names, and none is a certificate.
            assert operation.body or {200, 202} & accepted, operation
            assert not {500, 503} & (accepted | refused), operation
