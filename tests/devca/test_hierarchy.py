"""
The hierarchy of the CA and its certificates, as other libraries read them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from certworker.certificates import PrivateKey
from certworker.devca.hierarchy import KEYS_FILE, ROOT_FILE, Hierarchy, Signer, validity

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
        The verifier of cryptography checks RFC 5280 and the rules of the web.
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
        As in today's certificates, the names are in the SAN only.
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
        The CA computes renewal information from it, even after a restart.
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
    def test_another_serial_number_has_no_dates(self, serial: int) -> None:
        """
        Serial numbers of other CAs are random.
        """
        assert validity(serial) is None


class TestOpen:
    def test_it_is_made_once(self, tmp_path: Path) -> None:
        """
        Replicas that start together present one root, or a browser would have to trust each.
        """
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: Hierarchy.open(tmp_path / "state", NOW), range(8)))
        assert 1 == len({hierarchy.root.pem for hierarchy in made})
        assert 1 == len({hierarchy.intermediate.pem for hierarchy in made})

    def test_keys_are_for_the_owner(self, tmp_path: Path) -> None:
        """
        A reader of the key could imitate any site for a browser that trusts the root.
        """
        Hierarchy.open(tmp_path, NOW)
        assert 0o600 == (tmp_path / KEYS_FILE).stat().st_mode & 0o777

    def test_every_user_may_read_the_certificate(self, tmp_path: Path) -> None:
        """
        It is in a separate file, without a key.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        file = tmp_path / ROOT_FILE
        assert (hierarchy.root.pem, 0o644) == (file.read_bytes(), file.stat().st_mode & 0o777)

    def test_a_missing_certificate_is_written_again(self, tmp_path: Path) -> None:
        """
        The file of the keys contains it.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        (tmp_path / ROOT_FILE).unlink()
        Hierarchy.open(tmp_path, NOW)
        assert hierarchy.root.pem == (tmp_path / ROOT_FILE).read_bytes()
