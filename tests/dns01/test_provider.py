"""
Tests of the selection of the provider of a zone.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from certworker.dns01.provider import ANY_ZONE, Provider, Providers, TxtRecord

RECORD = TxtRecord("_acme-challenge.example.com", "v" * 43, "example.com")


@dataclass(frozen=True)
class Named:
    """
    Change no record.
    """

    label: str

    def present(self, record: TxtRecord) -> None:
        """
        Create no record.
        """

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete no record.
        """


COM, SUB, OTHERS = Named("com"), Named("sub"), Named("others")


class TestServing:
    @pytest.mark.parametrize(
        ("zone", "expected"),
        [
            ("example.com", COM),
            ("Example.COM.", COM),
            ("deeper.example.com", COM),
            ("sub.example.com", SUB),
            ("x.y.sub.example.com", SUB),
            ("notexample.com", OTHERS),
            ("com", OTHERS),
            ("example.net", OTHERS),
        ],
    )
    def test_the_longest_matching_zone_counts(self, zone: str, expected: Provider) -> None:
        """
        The zone with the longest suffix of whole labels has the provider. Other zones have the default
        provider.
        """
        providers = Providers({"example.com": COM, "sub.example.com": SUB, ANY_ZONE: OTHERS})

        assert providers.serving(zone) is expected

    def test_a_zone_can_have_no_provider(self) -> None:
        """
        A zone without a match has no provider if none is the default.
        """
        assert Providers({"example.com": COM}).serving("example.net") is None

    def test_the_iteration_yields_each_provider(self) -> None:
        """
        The iteration yields each provider.
        """
        assert list(Providers({"example.com": COM})) == [COM]


class TestTxtRecord:
    def test_the_challenge_does_not_identify_the_record(self) -> None:
        """
        A record from the stored list equals the record of its challenge, although it has no key
        authorization.
        """
        challenged = TxtRecord(
            RECORD.fqdn, RECORD.value, RECORD.zone, name="example.com", token="t", key_authorization="t.key"
        )

        assert challenged == RECORD
        assert "t.key" not in repr(challenged)
