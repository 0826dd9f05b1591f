"""
The provider of a zone.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from certworker.dns01.provider import ANY_ZONE, Provider, Providers, TxtRecord

RECORD = TxtRecord("_acme-challenge.example.com", "v" * 43, "example.com")


@dataclass(frozen=True)
class Named:
    """
    A provider that changes nothing.
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
    def test_the_closest_zone_counts(self, zone: str, expected: Provider) -> None:
        """
        The longest suffix of whole labels decides; the other zones have the provider without a zone.
        """
        providers = Providers({"example.com": COM, "sub.example.com": SUB, ANY_ZONE: OTHERS})

        assert providers.serving(zone) is expected

    def test_a_zone_without_a_provider(self) -> None:
        """
        Without a provider for all zones, other zones have none.
        """
        assert Providers({"example.com": COM}).serving("example.net") is None

    def test_each_provider_can_be_found(self) -> None:
        """
        A command searches for the one of its kind.
        """
        assert list(Providers({"example.com": COM})) == [COM]


class TestTxtRecord:
    def test_the_challenge_does_not_identify_the_record(self) -> None:
        """
        A record from the durable list, which has no key authorization, equals the record of the challenge.
        """
        challenged = TxtRecord(
            RECORD.fqdn, RECORD.value, RECORD.zone, name="example.com", token="t", key_authorization="t.key"
        )

        assert challenged == RECORD
        assert "t.key" not in repr(challenged)
