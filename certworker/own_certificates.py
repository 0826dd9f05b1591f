"""
Certificates that an operator imports: their PEM files, and the checks before the import.

A file from a CA, a panel or another program may have its certificates in any order, some of them twice, and
the line endings of any system. The key identifies the leaf, and the signatures identify the chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from certworker.certificates import (
    CLOCK_TOLERANCE,
    MAX_CERTIFICATES,
    UNREADABLE,
    Certificate,
    PrivateKey,
    chain_of,
)
from certworker.domains import covering_wildcard
from certworker.errors import printable
from certworker.errors.acme import BadCertificate
from certworker.errors.imports import (
    ChainUnusable,
    ImportExpired,
    ImportNotYetValid,
    KeyEncrypted,
    KeyMismatch,
    NotForServers,
    PemUnreadable,
    TooWeak,
    WrongNames,
)
from certworker.minutes import not_before

#: The maximum size of a file. A key and a chain of 20 large certificates are smaller. Three files in JSON fit
#: into a request of 256 KiB.
LARGEST_PEM_BYTES = 80 * 1024

#: The accepted sizes of RSA keys, in bits. Browsers require the smallest size, and a handshake with a key
#: above the largest size takes too long.
RSA_BITS = range(2048, 8192 + 1)
#: The curves that all browsers accept.
CURVES = (ec.SECP256R1, ec.SECP384R1)
WEAK_HASHES = (hashes.MD5, hashes.SHA1, hashes.SHA224)

_CERTIFICATE = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_ENCRYPTED = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type:.*ENCRYPTED", re.MULTILINE)

#: The reasons why a file has no certificate or key in PEM, each after a pattern for the content of the file.
_OTHER_FORMATS = (
    (re.compile(rb"\s*\Z"), "it is empty"),
    (re.compile(rb"0[\x80-\x84]"), "it is in DER or PKCS #12, and not in PEM"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "it is in UTF-16"),
    (re.compile(rb".*-----BEGIN PKCS7", re.DOTALL), "it is in PKCS #7"),
    (re.compile(rb".*-----BEGIN (NEW )?CERTIFICATE REQUEST", re.DOTALL), "it has a signing request"),
)


@dataclass(frozen=True)
class Pem:
    """
    The content of the files of an import.
    """

    #: The certificate, optionally with its chain. A key in it is ignored.
    certificate: bytes
    #: The key. Certificates in it are ignored.
    key: bytes = field(repr=False)
    #: The certificates of the CA; empty if *certificate* has them, or if there are none.
    chain: bytes = b""


@dataclass(frozen=True)
class OwnCertificate:
    """
    A certificate that passed the checks.
    """

    certificate: Certificate
    #: The possible problems of the certificate, as sentences.
    warnings: tuple[str, ...]


def read_own_certificate(pem: Pem, name: str, now: datetime) -> OwnCertificate:
    """
    Return the certificate in *pem* with its key and its chain, if a proxy can serve it for *name* at *now*.

    Raises:
        ImportFailure: A check failed; the code and the message have the reason.
    """
    key = _read_key(pem.key, name)
    given = _read_certificates(pem, name)
    try:
        leaf = _leaf(given, key, name)
        _check_usage(leaf, name)
        chain, unused = _chain(leaf, given)
        certificate = Certificate.from_pem(_join(chain), key)
        _check_names(certificate, name)
        _check_dates(certificate, name, now)
        _check_strength(chain, key, name)
        _check_chain(chain, unused, name, now)
    except (*UNREADABLE, BadCertificate) as error:
        detail = error.reason if isinstance(error, BadCertificate) else error
        raise PemUnreadable(part="certificate", name=name, reason=f"it is damaged ({detail})") from error
    return OwnCertificate(certificate, tuple(_warnings(chain, unused)))


def _read_key(content: bytes, name: str) -> PrivateKey:
    content = _bounded(content, "key", name)
    found = list(dict.fromkeys(block[0] for block in _KEY.finditer(content)))
    if not found:
        reason = _other_format(content) or "it has no private key"
        raise PemUnreadable(part="key", name=name, reason=reason)
    if len(found) > 1:
        raise PemUnreadable(part="key", name=name, reason=f"it has {len(found)} different keys")
    if _ENCRYPTED.search(found[0]):
        raise KeyEncrypted(name=name)
    try:
        return PrivateKey.from_pem(found[0] + b"\n")
    except ValueError:
        # The message of the error is not shown, because it may describe the content of a key.
        reason = "it is damaged, or neither an RSA nor an elliptic-curve key"
        raise PemUnreadable(part="key", name=name, reason=reason) from None


def _read_certificates(pem: Pem, name: str) -> list[x509.Certificate]:
    """
    Return the distinct certificates in *pem*, in their order.

    Raises:
        PemUnreadable: A part is too large, has no certificate or a damaged one, or there are too many.
    """
    found: dict[x509.Certificate, None] = {}
    for part, content in (("certificate", pem.certificate), ("chain", pem.chain)):
        content = _bounded(content, part, name)
        blocks = [block[0] for block in _CERTIFICATE.finditer(content)]
        if not blocks and (content or part == "certificate"):
            reason = _other_format(content) or "it has no certificate"
            raise PemUnreadable(part=part, name=name, reason=reason)
        for number, block in enumerate(blocks, 1):
            try:
                found[x509.load_pem_x509_certificate(block + b"\n")] = None
            except UNREADABLE as error:
                reason = f"certificate {number} in it is damaged ({error})"
                raise PemUnreadable(part=part, name=name, reason=reason) from error
    if len(found) > MAX_CERTIFICATES:
        reason = f"it has {len(found)} certificates, and {MAX_CERTIFICATES} is the limit"
        raise PemUnreadable(part="chain", name=name, reason=reason)
    return list(found)


def _bounded(content: bytes, part: str, name: str) -> bytes:
    if len(content) > LARGEST_PEM_BYTES:
        reason = f"it has more than {LARGEST_PEM_BYTES // 1024} KiB"
        raise PemUnreadable(part=part, name=name, reason=reason)
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _other_format(content: bytes) -> str | None:
    return next((reason for pattern, reason in _OTHER_FORMATS if pattern.match(content)), None)


def _leaf(given: Sequence[x509.Certificate], key: PrivateKey, name: str) -> x509.Certificate:
    fitting = [each for each in given if _fits(key, each)]
    if not fitting:
        raise KeyMismatch(name=name, names=_shown(_names_of(given[0])))
    if len(fitting) > 1:
        reason = f"it has {len(fitting)} certificates for this key"
        raise PemUnreadable(part="certificate", name=name, reason=reason)
    return fitting[0]


def _fits(key: PrivateKey, certificate: x509.Certificate) -> bool:
    try:
        return key.fits(certificate)
    except UNREADABLE:
        return False  # the library cannot read keys of some types, for example in a CA certificate


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _check_usage(leaf: x509.Certificate, name: str) -> None:
    if _is_ca(leaf):
        raise NotForServers(name=name, reason="it is the certificate of a CA (CA:TRUE)")
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    accepted = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if not any(usage in usages for usage in accepted):
        raise NotForServers(name=name, reason="its extended key usage has no serverAuth")


def _is_ca(certificate: x509.Certificate) -> bool | None:
    """
    Return whether *certificate* belongs to a CA; None if it has no basic constraints.
    """
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return None


def _chain(
    leaf: x509.Certificate, given: Sequence[x509.Certificate]
) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """
    Return the chain of *leaf*, and the *given* certificates that are not in it.
    """
    chain = chain_of(_join([leaf, *(each for each in given if each != leaf)]))
    return chain, [each for each in given if each not in chain]


def _check_names(certificate: Certificate, name: str) -> None:
    names = {each.removesuffix(".") for each in certificate.names}
    if name not in names and covering_wildcard(name) not in names:
        raise WrongNames(name=name, names=_shown(certificate.names))


def _check_dates(certificate: Certificate, name: str, now: datetime) -> None:
    if now >= certificate.not_after:
        raise ImportExpired(name=name, moment=_moment(certificate.not_after))
    if certificate.not_before - now > CLOCK_TOLERANCE:
        raise ImportNotYetValid(name=name, moment=not_before(certificate.not_before))


def _check_strength(chain: Sequence[x509.Certificate], key: PrivateKey, name: str) -> None:
    if reason := _weakness_of(key.key):
        raise TooWeak(name=name, reason=reason)
    for each in chain:
        # Nothing depends on the signature of a self-signed root.
        is_root = each.issuer == each.subject and each is not chain[0]
        if not is_root and isinstance(each.signature_hash_algorithm, WEAK_HASHES):
            used = each.signature_hash_algorithm.name.upper()
            raise TooWeak(name=name, reason=f"{_issuer_of(each)} signed a certificate with {used}")


def _weakness_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str | None:
    if isinstance(key, rsa.RSAPrivateKey):
        return None if key.key_size in RSA_BITS else f"its RSA key has {key.key_size} bits"
    return None if isinstance(key.curve, CURVES) else f"its key is on the curve {key.curve.name}"


def _check_chain(
    chain: Sequence[x509.Certificate], unused: Sequence[x509.Certificate], name: str, now: datetime
) -> None:
    leaf, *issuers = chain
    if unused and not issuers and leaf.issuer != leaf.subject:
        reason = f"none of the other certificates signed it; its issuer is {_issuer_of(leaf)}"
        raise ChainUnusable(name=name, reason=reason)
    for each in issuers:
        subject = printable(each.subject.rfc4514_string(), 100)
        # The root of a very old CA has no extensions.
        if not _is_ca(each) and not (_is_ca(each) is None and each.issuer == each.subject):
            raise ChainUnusable(name=name, reason=f"{subject} is not a CA")
        if now >= each.not_valid_after_utc:
            raise ChainUnusable(name=name, reason=f"{subject} expired at {_moment(each.not_valid_after_utc)}")


def _warnings(chain: Sequence[x509.Certificate], unused: Sequence[x509.Certificate]) -> Iterator[str]:
    leaf, *issuers = chain
    if leaf.issuer == leaf.subject:
        yield "It is self-signed: only clients that trust it accept it."
    elif not issuers:
        yield f"It has no chain: only clients that know its issuer accept it ({_issuer_of(leaf)})."
    if unused and (issuers or leaf.issuer == leaf.subject):
        yield f"Given certificates that are not in its chain are left out: {len(unused)}."


def _issuer_of(certificate: x509.Certificate) -> str:
    return printable(certificate.issuer.rfc4514_string(), 100)


def _join(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def _shown(names: Sequence[str]) -> str:
    return printable(", ".join(names), 200) or "no name"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
