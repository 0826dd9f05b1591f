"""
Keys, signing requests and certificates. The classes of the development CA sign them.
"""

from __future__ import annotations

from base64 import encodebytes, urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from certworker.certificates import (
    CLOCK_TOLERANCE,
    KEY_TYPES,
    MAX_CERTIFICATES,
    Certificate,
    KeyType,
    PrivateKey,
    chain_of,
    issuers_in,
)
from certworker.devca.hierarchy import Signer
from certworker.errors.acme import BadCertificate

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = timedelta(days=90)
NAMES = ("shop.example.org", "www.shop.example.org")


@dataclass(frozen=True)
class Issued:
    """
    The certificates that a CA sends: a leaf, the intermediate that signed it, and its root.
    """

    key: PrivateKey
    leaf: bytes
    intermediate: bytes
    root: bytes


@pytest.fixture(scope="module")
def issued() -> Issued:
    """
    Return a certificate for NAMES, valid from NOW on.
    """
    return issue(PrivateKey.generate())


def issue(key: PrivateKey, names: tuple[str, ...] = NAMES) -> Issued:
    """
    Return a certificate of a new CA for *names*.
    """
    root = Signer.root("A root", NOW)
    intermediate = root.intermediate("An intermediate", NOW)
    leaf = intermediate.sign(key.key.public_key(), names, NOW, NOW + LIFE)
    return Issued(key, leaf.public_bytes(Encoding.PEM), intermediate.pem, root.pem)


def reason(fullchain: bytes, key: PrivateKey) -> str:
    """
    Return the reason for which certworker rejects *fullchain*.
    """
    with pytest.raises(BadCertificate) as caught:
        Certificate.from_pem(fullchain, key)
    return caught.value.message


class TestPrivateKey:
    @pytest.mark.parametrize("kind", KEY_TYPES)
    def test_each_kind_is_read_from_its_file(self, kind: KeyType) -> None:
        """
        certworker reads a key of each type from its PEM file.
        """
        key = PrivateKey.generate(kind)
        size = kind.removeprefix("ec").removeprefix("rsa")

        again = PrivateKey.from_pem(key.pem)

        assert again.pem == key.pem
        assert key.key.key_size == int(size)

    def test_the_default_key_is_an_elliptic_curve_key(self) -> None:
        """
        The default type is ECDSA. certworker generates such a key in microseconds, and all browsers accept
        it.
        """
        assert isinstance(PrivateKey.generate().key, ec.EllipticCurvePrivateKey)

    def test_each_key_is_different(self) -> None:
        """
        Each certificate has its own key, so a stolen key affects only one certificate.
        """
        assert PrivateKey.generate().pem != PrivateKey.generate().pem

    def test_its_representation_has_no_key(self) -> None:
        """
        A key is not printed in a traceback.
        """
        key = PrivateKey.generate()

        assert repr(key) == "PrivateKey()"

    def test_an_invalid_key_raises_value_error(self) -> None:
        """
        Each damaged, encrypted or unsupported key raises the same type of exception.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        foreign = ed25519.Ed25519PrivateKey.generate()
        damaged = [
            b"",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            PrivateKey.generate().pem[:-40],
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
            foreign.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ]

        for pem in damaged:
            with pytest.raises(ValueError, match=r".+"):
                PrivateKey.from_pem(pem)

    @pytest.mark.parametrize("kind", ["ec256", "rsa2048"])
    def test_a_signing_request_contains_only_the_ordered_names(self, kind: KeyType) -> None:
        """
        A signing request has the ordered names and no common name, which allows only 64 characters.
        """
        key = PrivateKey.generate(kind)

        request = x509.load_der_x509_csr(key.sign_request(NAMES))

        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
        assert request.subject == x509.Name([])
        assert request.is_signature_valid
        assert len(request.extensions) == 1

    def test_an_ip_address_is_requested_as_an_ip_address(self) -> None:
        """
        A signing request contains an IP address as such, because a CA rejects it as a DNS name (RFC 8738).
        """
        request = x509.load_der_x509_csr(PrivateKey.generate().sign_request(("203.0.113.7", "2001:db8::1")))

        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [ip_address("203.0.113.7"), ip_address("2001:db8::1")]
        assert names.get_values_for_type(x509.IPAddress) == addresses
        assert names.get_values_for_type(x509.DNSName) == []


class TestFromPem:
    def test_a_good_chain_is_read(self, issued: Issued) -> None:
        """
        The certificate has the names, times, issuer and PEM texts of the chain.
        """
        certificate = Certificate.from_pem(issued.leaf + issued.intermediate, issued.key)

        assert certificate.names == NAMES
        assert (certificate.not_before, certificate.not_after) == (NOW, NOW + LIFE)
        assert certificate.issuer == "An intermediate"
        assert certificate.cert_pem == issued.leaf
        assert certificate.chain_pem == issued.intermediate
        assert certificate.fullchain_pem == issued.leaf + issued.intermediate

    def test_a_chain_with_a_root_is_read(self, issued: Issued) -> None:
        """
        The chain contains the root if the CA sends it.
        """
        fullchain = issued.leaf + issued.intermediate + issued.root

        assert Certificate.from_pem(fullchain, issued.key).fullchain_pem == fullchain

    def test_text_around_the_certificates_is_ignored(self, issued: Issued) -> None:
        """
        certworker ignores text between certificates, which some CAs send although RFC 8555, section 9.1
        forbids it.
        """
        fullchain = (
            b"subject: shop\r\n"
            + issued.leaf.replace(b"\n", b"\r\n")
            + b"\nissuer: An\n"
            + issued.intermediate
        )

        certificate = Certificate.from_pem(fullchain, issued.key)

        assert certificate.fullchain_pem == issued.leaf + issued.intermediate

    def test_the_serial_number_is_written_as_openssl_writes_it(self, issued: Issued) -> None:
        """
        The serial number has two hexadecimal digits for each byte, as on crt.sh.
        """
        leaf = x509.load_pem_x509_certificate(issued.leaf)

        serial = Certificate.from_pem(issued.leaf + issued.intermediate, issued.key).serial

        assert int(serial, 16) == leaf.serial_number
        assert len(serial) % 2 == 0

    @pytest.mark.parametrize("key", range(4))
    def test_its_renewal_id_is_that_of_rfc_9773(self, key: int) -> None:
        """
        The id contains the authority key identifier and the DER serial number, in base64url without padding.
        """
        made = issue(PrivateKey.generate())
        leaf = x509.load_pem_x509_certificate(made.leaf)
        identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier

        authority, _, serial = Certificate.from_pem(
            made.leaf + made.intermediate, made.key
        ).renewal_id.partition(".")

        assert identifier == urlsafe_b64decode(authority + "=" * (-len(authority) % 4))
        der = urlsafe_b64decode(serial + "=" * (-len(serial) % 4))
        assert leaf.serial_number == int.from_bytes(der, "big", signed=True)
        assert "=" not in authority + serial

    def test_an_ip_address_is_a_name(self) -> None:
        """
        An IP address in a certificate is one of its names.
        """
        address = issue(PrivateKey.generate(), ("203.0.113.7",))

        certificate = Certificate.from_pem(address.leaf + address.intermediate, address.key)

        assert certificate.names == ("203.0.113.7",)

    def test_a_chain_for_another_key_is_rejected(self, issued: Issued) -> None:
        """
        certworker rejects the chain. With this pair, Traefik would serve its default certificate.
        """
        assert "another key" in reason(issued.leaf + issued.intermediate, PrivateKey.generate())

    def test_a_leaf_alone_is_accepted_from_private_cas_only(self, issued: Issued) -> None:
        """
        certworker accepts a certificate without a chain from a private CA only.
        """
        certificate = Certificate.from_pem(issued.leaf, issued.key)

        certificate.check(NAMES, NOW, private=True)
        with pytest.raises(BadCertificate, match="the CA sent no chain"):
            certificate.check(NAMES, NOW)

    def test_repeated_unrelated_and_unreadable_certificates_are_omitted(self, issued: Issued) -> None:
        """
        The chain is in the order of TLS, without repeated, unrelated and unreadable certificates.
        """
        good, other = issued.leaf + issued.intermediate, issue(PrivateKey.generate())
        damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for fullchain, expected in [
            (issued.leaf + good, good),
            (good + issued.intermediate, good),
            (good + other.intermediate + other.root, good),
            (issued.leaf + other.intermediate + issued.intermediate, good),
            (issued.leaf + damaged + issued.intermediate + damaged, good),
            (good + issued.key.pem, good),
            (issued.leaf + issued.root + issued.intermediate, good + issued.root),
            (good + issued.root + other.root, good + issued.root),
        ]:
            assert expected == Certificate.from_pem(fullchain, issued.key).fullchain_pem

    def test_certificates_above_the_limit_are_not_read(self, issued: Issued) -> None:
        """
        certworker reads a limited number of certificates, so thousands of them do not block a slot.
        """
        others = b"".join(issue(issued.key).intermediate for _ in range(MAX_CERTIFICATES))

        assert "incomplete" in reason(issued.leaf + others + issued.intermediate, issued.key)

    def test_a_chain_of_another_certificate_is_rejected(self, issued: Issued) -> None:
        """
        certworker verifies the signature, so it rejects another intermediate with the same name.
        """
        other = issue(PrivateKey.generate())

        assert "incomplete" in reason(issued.leaf + other.intermediate, issued.key)

    def test_names_are_in_lower_case_and_unique(self) -> None:
        """
        The names of a certificate are in lower case and unique, because a CA may use any case (RFC 4343).
        """
        shouted = issue(
            PrivateKey.generate(), ("Shop.Example.ORG", "shop.example.org", "www.shop.example.org")
        )

        certificate = Certificate.from_pem(shouted.leaf + shouted.intermediate, shouted.key)

        assert certificate.names == NAMES
        certificate.check(NAMES, NOW)

    @pytest.mark.parametrize("text", [b"", b"<html>502 Bad Gateway</html>", b"\xff\xfe\x00"])
    def test_text_without_a_certificate_is_rejected(self, issued: Issued, text: bytes) -> None:
        """
        certworker rejects a response without a certificate, such as the error page of a proxy.
        """
        assert "cannot be read" in reason(text, issued.key)

    def test_a_damaged_certificate_is_rejected(self, issued: Issued) -> None:
        """
        Each damage leads to the same message, and not to another exception.
        """
        good = x509.load_pem_x509_certificate(issued.leaf).public_bytes(Encoding.DER)
        messages = []

        for position in range(0, len(good), 3):
            der = good[:position] + bytes([good[position] ^ 0x15]) + good[position + 1 :]
            messages.append(reason(as_pem(der) + issued.intermediate, issued.key))

        assert all(message.startswith("The certificate for ") for message in messages)

    def test_neither_key_nor_certificate_is_shown(self, issued: Issued) -> None:
        """
        A key is not printed in a traceback.
        """
        assert "BEGIN" not in repr(Certificate.from_pem(issued.leaf + issued.intermediate, issued.key))


class TestChainOf:
    def test_the_chain_ends_at_a_root(self, issued: Issued) -> None:
        """
        The chain has no certificates after a root.
        """
        root, elder = Signer.root("A root", NOW), Signer.root("An elder root", NOW)
        cross = elder.cross_sign(root, NOW)

        assert 1 == len(chain_of(root.pem + cross + elder.pem))
        assert 2 == len(chain_of(cross + elder.pem))
        assert 1 == len(set(issuers_in(cross + elder.pem)))

    def test_a_text_without_certificates_is_rejected(self) -> None:
        """
        A text without certificates raises `ValueError`.
        """
        with pytest.raises(ValueError, match="no certificate"):
            chain_of(b"<html>")


class TestCheck:
    @pytest.fixture
    def certificate(self, issued: Issued) -> Certificate:
        """
        Return a certificate for NAMES, valid from NOW on.
        """
        return Certificate.from_pem(issued.leaf + issued.intermediate, issued.key)

    @pytest.mark.parametrize("now", [NOW, NOW - CLOCK_TOLERANCE, NOW + LIFE - timedelta(seconds=1)])
    def test_the_ordered_certificate_is_accepted(self, certificate: Certificate, now: datetime) -> None:
        """
        The check accepts a small difference of the clocks and any order of the names.
        """
        certificate.check(NAMES, now)
        certificate.check(NAMES[::-1], now)

    @pytest.mark.parametrize("names", [NAMES[:1], (*NAMES, "more.example.org"), ("other.example.org",)])
    def test_a_certificate_for_other_names_is_rejected(
        self, certificate: Certificate, names: tuple[str, ...]
    ) -> None:
        """
        The check rejects a certificate without an ordered name, or with an additional name.
        """
        with pytest.raises(BadCertificate, match="was issued for"):
            certificate.check(names, NOW)

    def test_an_expired_certificate_is_rejected(self, certificate: Certificate) -> None:
        """
        The check rejects an expired certificate, and the message contains the time of its expiry.
        """
        with pytest.raises(BadCertificate, match="expired at 2027-02-21 12:00 UTC"):
            certificate.check(NAMES, NOW + LIFE)

    def test_a_certificate_that_is_not_valid_yet_is_rejected(self, certificate: Certificate) -> None:
        """
        The check rejects a certificate that begins later than the tolerated clock difference.
        """
        with pytest.raises(BadCertificate, match="is not valid before 2026-11-23 12:00 UTC"):
            certificate.check(NAMES, NOW - CLOCK_TOLERANCE - timedelta(seconds=1))


def as_pem(der: bytes) -> bytes:
    """
    Return *der* as a PEM block.
    """
    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
