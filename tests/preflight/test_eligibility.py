"""
Who may ask a public CA.
"""

from __future__ import annotations

import pytest

from certworker.errors import CertworkerError
from certworker.errors.config import EmailInvalid, EmailMissing, NotProduction
from certworker.preflight.eligibility import check_eligibility
from certworker.settings import load

PRODUCTION = {"_APP_ENV": "production"}
LETSENCRYPT = {"CERTWORKER_AUTHORITY": "letsencrypt"}


class TestCheckEligibility:
    @pytest.mark.parametrize(
        ("environ", "failure"),
        [
            (LETSENCRYPT, NotProduction),
            (PRODUCTION, EmailMissing),
            (PRODUCTION | {"_APP_EMAIL_CERTIFICATES": "admin@example.com"}, EmailInvalid),
        ],
    )
    def test_what_is_missing_has_its_code(
        self, environ: dict[str, str], failure: type[CertworkerError]
    ) -> None:
        """
        The job fails with it, and the worker goes on.
        """
        with pytest.raises(failure):
            check_eligibility(settings := load(environ), settings.authority)

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"CERTWORKER_AUTHORITY": "letsencrypt-staging"},
            PRODUCTION | {"_APP_EMAIL_CERTIFICATES": "ops@shop.dev"},
        ],
    )
    def test_what_needs_nothing_gets_no_complaint(self, environ: dict[str, str]) -> None:
        """
        Development and staging are for trying.
        """
        check_eligibility(settings := load(environ), settings.authority)
