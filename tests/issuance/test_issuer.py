"""
Test one configured CA. tests/test_several_authorities.py tests its dry runs with two CAs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.app import App
from certworker.errors.config import WouldReplacePublic
from tests.servers.faulty_authority import FaultyAuthority

NAMES = ("shop.localhost",)


class TestCheck:
    @pytest.mark.parametrize("kind", ["staging", "development"])
    def test_a_valid_public_certificate_is_not_replaced(self, app: App, kind: str) -> None:
        """
        A staging or development CA does not replace a valid public certificate.
        """
        issuer = app.issuers[0]
        public = replace(issuer.ca, kind="public")
        app.issuance.issue(NAMES)
        stored = app.certificates.current(NAMES[0])
        assert stored is not None
        in_service = [replace(stored, metadata=replace(stored.metadata, kind=public.kind))]
        untrusted = replace(issuer, ca=replace(issuer.ca, kind=kind))  # type: ignore[arg-type] # a parameter of the test is a str

        issuer.check(in_service)
        untrusted.check([stored, None])
        with pytest.raises(WouldReplacePublic):
            untrusted.check(in_service)


class TestPredecessor:
    def test_only_the_issuing_ca_gets_the_replaced_certificate(self, app: App) -> None:
        """
        Only the CA that issued the certificate gets its renewal ID, because any other CA refuses the
        order.
        """
        issuer = app.issuers[0]
        app.issuance.issue(NAMES)
        stored = app.certificates.current(NAMES[0])
        assert stored is not None
        another = replace(stored, metadata=replace(stored.metadata, authority="another"))

        assert [stored.metadata.renewal_id, None, None] == [
            issuer.replaces_id(stored),
            issuer.replaces_id(another),
            issuer.replaces_id(None),
        ]


class TestRenews:
    def test_the_same_names_from_the_same_ca_are_a_renewal_for_120_days(self, app: App) -> None:
        """
        A request is a renewal within 120 days of a certificate of the same CA, including an adopted
        one.
        """
        app.issuance.issue(NAMES)
        stored = app.certificates.current(NAMES[0])
        assert stored is not None
        issuer, metadata = app.issuers[0], stored.metadata
        others = {
            "adopted": replace(metadata, authority=""),
            "another CA": replace(metadata, authority="another"),
            "adopted from staging": replace(metadata, authority="", kind="staging"),
            "long ago": replace(metadata, not_before=metadata.not_before - timedelta(days=121)),
        }

        assert issuer.renews(stored)
        assert not issuer.renews(None)
        assert {name for name, each in others.items() if issuer.renews(replace(stored, metadata=each))} == {
            "adopted"
        }


class TestDryRun:
    def test_without_a_staging_environment_there_is_no_dry_run(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A CA without a staging environment gets no request for a dry run.
        """
        app.issuers[0].dry_run(NAMES)

        assert [] == app_authority.requests
