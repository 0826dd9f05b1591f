"""
Names that HTTP-01 can validate, and no others.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.devca.identifiers import requested_names
from certworker.devca.problems import Refused


def dns(*names: str) -> dict[str, object]:
    """
    The payload of an order for *names*.
    """
    return {"identifiers": [{"type": "dns", "value": name} for name in names]}


class TestRequestedNames:
    def test_each_name_comes_once(self) -> None:
        """
        Upper and lower case are one name, and the order stays.
        """
        assert ("b.localhost", "a.localhost") == requested_names(
            dns("b.localhost", "a.localhost", "B.localhost")
        )

    def test_addresses_are_names(self) -> None:
        """
        RFC 8738: an Appwrite on a bare address gets a certificate.
        """
        identifiers = [{"type": "ip", "value": value} for value in ("127.0.0.1", "0:0::1")]
        assert ("127.0.0.1", "::1") == requested_names({"identifiers": identifiers})

    @pytest.mark.parametrize(
        "name",
        ["", ".", "*.localhost", "a..b", "-a.localhost", "a_b.localhost", "a b", "127.0.0.1", "x" * 64],
    )
    def test_other_names_are_rejected(self, name: str) -> None:
        """
        A wildcard needs DNS-01, the rest is no host name.
        """
        with pytest.raises(Refused) as refused:
            requested_names(dns(name))
        assert "rejectedIdentifier" == refused.value.problem.kind

    @pytest.mark.parametrize(
        ("identifiers", "problem"),
        [
            (None, "malformed"),
            ([], "malformed"),
            (["shop.localhost"], "malformed"),
            ([{"type": "dns"}], "malformed"),
            ([{"type": "dns", "value": 3}], "malformed"),
            ([{"type": "email", "value": "a@b.example"}], "unsupportedIdentifier"),
            ([{"type": "ip", "value": "shop.localhost"}], "rejectedIdentifier"),
        ],
    )
    def test_other_payloads_are_refused(self, identifiers: object, problem: str) -> None:
        """
        Whatever stands there, the client hears what is wrong with it.
        """
        with pytest.raises(Refused) as refused:
            requested_names({"identifiers": identifiers})
        assert problem == refused.value.problem.kind

    @given(st.text())
    def test_any_text_is_a_name_or_rejected(self, text: str) -> None:
        """
        What comes through is a host name in ASCII.
        """
        try:
            (name,) = requested_names(dns(text))
        except Refused as refused:
            assert "rejectedIdentifier" == refused.problem.kind  # noqa: PT017 (both outcomes are right)
        else:
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
