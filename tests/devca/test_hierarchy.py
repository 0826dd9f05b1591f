"""
Tests of the hierarchy of the CA and its certificates with other libraries.
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
LIFETIME = timedelta(days=45)


@pytest.fixture
def root() -> Signer:
    """
    Return a new root.
    """
    return Signer.root("a root", NOW)


class TestSign:
    def test_a_strict_verifier_accepts_the_chain(self, root: Signer) -> None:
        """
        The verifier of cryptography accepts the chain, which it checks against RFC 5280 and the rules
        of browsers.
        """
        intermediate = root.intermediate("an intermediate", NOW)
        key = PrivateKey.generate().key.public_key()
        leaf = intermediate.sign(key, ("shop.localhost",), NOW, NOW + LIFETIME)
        verifier = PolicyBuilder().store(Store([root.certificate])).time(NOW + LIFETIME / 2)
        chain = verifier.build_server_verifier(x509.DNSName("shop.localhost")).verify(
            leaf, [intermediate.certificate]
        )
        assert [leaf, intermediate.certificate, root.certificate] == chain

    def test_a_certificate_has_no_common_name(self, root: Signer) -> None:
        """
        A certificate has its names only in the subjectAltName extension.
        """
        key = PrivateKey.generate().key.public_key()
        leaf = root.sign(key, ("shop.localhost", "127.0.0.1"), NOW, NOW + LIFETIME)
        assert x509.Name([]) == leaf.subject
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.critical
        assert ["shop.localhost"] == names.value.get_values_for_type(x509.DNSName)
        assert ["127.0.0.1"] == [str(each) for each in names.value.get_values_for_type(x509.IPAddress)]


class TestValidity:
    @pytest.mark.parametrize("lifetime", [timedelta(seconds=2), LIFETIME, timedelta(days=3650)])
    def test_the_serial_number_contains_the_dates(self, root: Signer, lifetime: timedelta) -> None:
        """
        The serial number contains the validity, so a restarted CA can compute renewal information.
        """
        leaf = root.sign(PrivateKey.generate().key.public_key(), ("a.localhost",), NOW, NOW + lifetime)
        assert (NOW, NOW + lifetime) == validity(leaf.serial_number)
        assert leaf.serial_number.bit_length() < 160

    def test_two_certificates_differ(self, root: Signer) -> None:
        """
        Certificates with the same key, names and second have different serial numbers.
        """
        key = PrivateKey.generate().key.public_key()
        serials = {root.sign(key, ("a.localhost",), NOW, NOW + LIFETIME).serial_number for _ in range(9)}
        assert 9 == len(serials)

    @pytest.mark.parametrize("serial", [0, 1, 1 << 159, 1 << 300])
    def test_another_serial_number_has_no_dates(self, serial: int) -> None:
        """
        A random serial number of another CA contains no validity.
        """
        assert validity(serial) is None


class TestOpen:
    def test_the_hierarchy_is_created_once(self, tmp_path: Path) -> None:
        """
        Replicas that start together have one root. A browser would otherwise have to trust each root.
        """
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: Hierarchy.open(tmp_path / "state", NOW), range(8)))
        assert 1 == len({hierarchy.root.pem for hierarchy in made})
        assert 1 == len({hierarchy.intermediate.pem for hierarchy in made})

    def test_only_the_owner_can_read_the_keys(self, tmp_path: Path) -> None:
        """
        Only the owner can read the keys. With them, a reader can imitate any site.
        """
        Hierarchy.open(tmp_path, NOW)
        assert 0o600 == (tmp_path / KEYS_FILE).stat().st_mode & 0o777

    def test_each_user_can_read_the_certificate(self, tmp_path: Path) -> None:
        """
        The root certificate has its own file, which each user can read.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        file = tmp_path / ROOT_FILE
        assert (hierarchy.root.pem, 0o644) == (file.read_bytes(), file.stat().st_mode & 0o777)

    def test_a_missing_certificate_is_written_again(self, tmp_path: Path) -> None:
        """
        The certificate is restored from the file of the keys.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        (tmp_path / ROOT_FILE).unlink()
        Hierarchy.open(tmp_path, NOW)
        assert hierarchy.root.pem == (tmp_path / ROOT_FILE).read_bytes()
