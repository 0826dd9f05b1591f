"""
Tests of the checks of the settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.doctor.findings import Verdict
from certworker.doctor.settings import _page, configuration
from certworker.settings import load

PRODUCTION = {
    "_APP_ENV": "production",
    "_APP_DOMAIN": "api.shop.org",
    "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
}


def problems(**environ: str) -> list[tuple[str, Verdict, str]]:
    """
    Return the findings that did not pass: subject, verdict and code.
    """
    return [
        (finding.subject, finding.verdict, finding.code)
        for finding in configuration(load({**PRODUCTION, **environ}))
        if finding.verdict is not Verdict.WELL
    ]


class TestConfiguration:
    def test_a_complete_configuration_has_no_problem(self) -> None:
        """
        A complete configuration has no problem, and the findings name the CA and the contact.
        """
        texts = {finding.subject: finding.text for finding in configuration(load(PRODUCTION))}

        assert [] == problems()
        assert "Let's Encrypt" == texts["CA"]
        assert "ops@shop.org" == texts["e-mail"]
        assert "api.shop.org" == texts["_APP_DOMAIN"]

    @pytest.mark.parametrize(
        ("newer", "older", "words"),
        [
            ("new@shop.org", "old@shop.org", "differ; the first is used"),
            ("", "certs@appwrite.io", "Appwrite's default"),
            ("", "ops@shop.org", None),
            ("ops@shop.org", "ops@shop.org", None),
        ],
    )
    def test_a_doubtful_contact_has_a_warning(self, newer: str, older: str, words: str | None) -> None:
        """
        A contact that differs between two variables, or is Appwrite's default, is a warning.
        """
        environ = {"_APP_EMAIL_CERTIFICATES": newer, "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": older}
        warnings = [
            finding.text
            for finding in configuration(load(PRODUCTION | environ))
            if finding.verdict is Verdict.WARN
        ]

        assert len(warnings) == bool(words)
        assert words is None or words in warnings[0]

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            (
                {"_APP_ENV": "development", "CERTWORKER_AUTHORITY": "letsencrypt"},
                ("_APP_ENV", Verdict.FAIL, "config.not_production"),
            ),
            ({"_APP_ENV": "development"}, ("_APP_ENV", Verdict.WARN, "")),
            ({"_APP_EMAIL_CERTIFICATES": ""}, ("e-mail", Verdict.FAIL, "config.email_missing")),
            (
                {"_APP_EMAIL_CERTIFICATES": "a@example.com"},
                ("e-mail", Verdict.FAIL, "config.email_invalid"),
            ),
            ({"_APP_EMAIL_CERTIFICATES": "certs@appwrite.io"}, ("e-mail", Verdict.WARN, "")),
            (
                {"_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "other@shop.org"},
                ("e-mail", Verdict.WARN, ""),
            ),
            ({"_APP_DOMAIN": "localhost"}, ("_APP_DOMAIN", Verdict.WARN, "config.domain_localhost")),
            ({"_APP_DOMAIN": "https://api.shop.org/"}, ("_APP_DOMAIN", Verdict.FAIL, "name.is_url")),
            ({"_APP_DOMAIN": "api.shop.org,*.shop.org"}, ("_APP_DOMAIN", Verdict.FAIL, "name.wildcard")),
            ({"_APP_DOMAIN": "1-2-3-4.sslip.io"}, ("_APP_DOMAIN", Verdict.WARN, "")),
        ],
    )
    def test_each_mistake_is_a_finding(
        self, changed: dict[str, str], expected: tuple[str, Verdict, str]
    ) -> None:
        """
        Each mistake is one finding with its variable, verdict and code.
        """
        assert [expected] == problems(**changed)

    def test_a_private_ca_needs_no_environment_and_no_contact(self) -> None:
        """
        With a private CA, a missing environment or contact is not a problem.
        """
        assert [] == problems(
            _APP_ENV="",
            _APP_EMAIL_CERTIFICATES="",
            CERTWORKER_AUTHORITY="https://ca.internal/directory",
            CERTWORKER_PRIVATE_NETWORK="true",
        )


class TestPage:
    @pytest.mark.parametrize(
        ("environ", "verdict", "words"),
        [
            ({}, Verdict.WELL, "127.0.0.1:8081, which only this machine can reach"),
            ({"CERTWORKER_WEB_ADDRESS": "off"}, Verdict.SKIPPED, "off"),
            ({"CERTWORKER_WEB_ADDRESS": "0.0.0.0:8081"}, Verdict.WARN, "without encryption"),
            (
                {"CERTWORKER_WEB_ADDRESS": "0.0.0.0:8081", "CERTWORKER_WEB_PROXIES": "10.0.0.1"},
                Verdict.WELL,
                "each request needs a token",
            ),
        ],
    )
    def test_an_address_for_others_needs_a_proxy(
        self, environ: dict[str, str], verdict: Verdict, words: str
    ) -> None:
        """
        A page that other machines reach without HTTPS is a warning with the remedy.
        """
        (finding,) = _page(load(environ), markers=())

        assert verdict is finding.verdict
        assert words in finding.text
        assert ("CERTWORKER_WEB_PROXIES" in finding.remedy) == (verdict is Verdict.WARN)

    def test_in_a_container_docker_decides_who_reaches_it(self, tmp_path: Path) -> None:
        """
        In a container, the page listens at each address, and Docker publishes it.
        """
        (finding,) = _page(load({"CERTWORKER_WEB_ADDRESS": "0.0.0.0:8082"}), markers=[tmp_path])

        assert Verdict.WELL is finding.verdict

    def test_a_missing_file_of_tokens_is_a_warning(self, tmp_path: Path) -> None:
        """
        A configured file that does not exist gives nothing access.
        """
        _, finding = _page(load({"CERTWORKER_TOKENS_FILE": str(tmp_path / "tokens")}), markers=())

        assert Verdict.WARN is finding.verdict
        assert "certworker token create" in finding.remedy
