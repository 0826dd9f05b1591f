"""
What the CA signs, as other libraries read it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from certworker.certificates import PrivateKey
from certworker.devca.signer import Signer, validity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = timedelta(days=45)


@pytest.fixture
def root() -> Signer:
    """
    A new root.
    """
    return Signer.root("a root", NOW)


class TestSign:
    def test_a_strict_reader_accepts_the_chain(self, root: Signer) -> None:
        """
        RFC 5280 and the rules of the web, checked by cryptography's own verifier.
        """
        intermediate = root.intermediate("an intermediate", NOW)
        key = PrivateKey.generate().key.public_key()
        leaf = intermediate.sign(key, ("shop.localhost",), NOW, NOW + LIFE)
        verifier = PolicyBuilder().store(Store([root.certificate])).time(NOW + LIFE / 2)
        chain = verifier.build_server_verifier(x509.DNSName("shop.localhost")).verify(
            leaf, [intermediate.certificate]
        )
        assert [leaf, intermediate.certificate, root.certificate] == chain

    def test_it_has_no_common_name(self, root: Signer) -> None:
        """
        As certificates of today: identity is in the SAN alone.
        """
        key = PrivateKey.generate().key.public_key()
        leaf = root.sign(key, ("shop.localhost", "127.0.0.1"), NOW, NOW + LIFE)
        assert x509.Name([]) == leaf.subject
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.critical
        assert ["shop.localhost"] == names.value.get_values_for_type(x509.DNSName)
        assert ["127.0.0.1"] == [str(each) for each in names.value.get_values_for_type(x509.IPAddress)]


class TestValidity:
    @pytest.mark.parametrize("life", [timedelta(seconds=2), LIFE, timedelta(days=3650)])
    def test_the_serial_number_has_the_dates(self, root: Signer, life: timedelta) -> None:
        """
        Renewal information is computed from it, also after a restart.
        """
        leaf = root.sign(PrivateKey.generate().key.public_key(), ("a.localhost",), NOW, NOW + life)
        assert (NOW, NOW + life) == validity(leaf.serial_number)
        assert leaf.serial_number.bit_length() < 160

    def test_two_certificates_differ(self, root: Signer) -> None:
        """
        The same key, names and second still give two serial numbers.
        """
        key = PrivateKey.generate().key.public_key()
        serials = {root.sign(key, ("a.localhost",), NOW, NOW + LIFE).serial_number for _ in range(9)}
        assert 9 == len(serials)

    @pytest.mark.parametrize("serial", [0, 1, 1 << 159, 1 << 300])
    def test_another_number_has_none(self, serial: int) -> None:
        """
        Serial numbers of other CAs are random.
        """
        assert validity(serial) is None
