"""
Reads which certificate a server shows for a name, by a TLS handshake like that of a browser.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from certworker.deadline import Deadline
from certworker.domains import base_name, is_wildcard
from certworker.errors import CertworkerError
from certworker.errors.proxy import ProxyDefaultCert, ProxyNoCert, ProxyOldCert, ProxyOtherTerminator
from certworker.settings import HttpAddress

#: The time limit for a connection and its handshake. Traefik is usually in the same network.
TIMEOUT_SECONDS = 3.0

#: The label that replaces `*` when a wildcard is probed. No site uses this label.
PROBED_LABEL = "certworker-check"

#: The common name of the certificate that Traefik shows for unknown names.
DEFAULT = b"TRAEFIK DEFAULT CERT"


def check_proxy(name: str, leaf: bytes, proxy: HttpAddress, config_dir: Path) -> CertworkerError | None:
    """
    Return the reason why *proxy* does not show *leaf* (DER) for *name*; None: it shows *leaf*.

    Args:
        config_dir: The directory with the files of Traefik, for the remedy.

    Raises:
        OSError: The proxy has no address, does not respond, or closes the connection.
    """
    values: dict[str, Any] = {"name": name, "proxy": proxy, "directory": config_dir}
    try:
        seen = served_certificate(host_of(name), proxy)
    except ssl.SSLError as error:
        return ProxyNoCert(reason=error.reason or "no TLS", **values)
    if seen == leaf:
        return None
    return ProxyDefaultCert(**values) if DEFAULT in seen else ProxyOldCert(**values)


def check_address(
    name: str, leaf: bytes, address: str, port: int, config_dir: Path
) -> CertworkerError | None:
    """
    Return the reason why a client does not see *leaf* (DER) for *name* at *address*; None: the client sees
    it.

    The server at *address* may be another proxy in front of Traefik, with its own certificate.

    Args:
        config_dir: The directory with the files of Traefik, for the remedy.

    Raises:
        OSError: No server responds at *address*, or it closes the connection.
    """
    server, host = HttpAddress(address, port), host_of(name)
    failure = check_proxy(name, leaf, server, config_dir)
    if failure is not None and (issuer := _trusted_issuer(host, server)):
        return ProxyOtherTerminator(name=host, address=address, issuer=issuer)
    return failure


def host_of(name: str) -> str:
    """
    Return a host for which a client gets the certificate of *name*; for a wildcard, a host that it covers.
    """
    return f"{PROBED_LABEL}.{base_name(name)}" if is_wildcard(name) else name


def served_certificate(name: str, server: HttpAddress) -> bytes:
    """
    Return the certificate (DER) that *server* shows for *name* (SNI, RFC 6066, section 3), without verifying
    it.

    Raises:
        ssl.SSLError: The server shows no certificate for *name*, or does not speak TLS.
        OSError: *server* has no address or does not respond, or it closes the connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    deadline = Deadline(TIMEOUT_SECONDS)
    with (
        deadline.connect_to(server.host, server.port) as connection,
        deadline.secure(connection, context, None if _is_address(name) else name) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def leaf_of(cert_pem: bytes) -> bytes:
    """
    Return the first certificate of *cert_pem* as DER.
    """
    pem = cert_pem.decode("ascii")
    return ssl.PEM_cert_to_DER_cert(
        pem[pem.index(ssl.PEM_HEADER) : pem.index(ssl.PEM_FOOTER)] + ssl.PEM_FOOTER
    )


def _trusted_issuer(name: str, server: HttpAddress) -> str | None:
    context, deadline = ssl.create_default_context(), Deadline(TIMEOUT_SECONDS)
    try:
        with (
            deadline.connect_to(server.host, server.port) as connection,
            deadline.secure(connection, context, name) as secured,
        ):
            certificate: dict[str, Any] = secured.getpeercert() or {}
    except OSError:
        return None
    issuer = {key: value for ((key, value), *_) in certificate.get("issuer", ())}
    return str(issuer.get("organizationName") or issuer.get("commonName") or "an unnamed CA")


def _is_address(name: str) -> bool:
    # A client that connects to an IP address sends no SNI (RFC 6066, section 3).
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
