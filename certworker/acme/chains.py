"""
The chains of one certificate: a CA may offer several (RFC 8555, section 7.4.2), told apart by their roots.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from cryptography import x509

from certworker.acme.transport import Reply
from certworker.certificates import UNREADABLE

logger = logging.getLogger(__name__)

#: Let's Encrypt has had two at a time; a CA that lists hundreds is not asked for all of them.
MOST_CHAINS = 10


def chain_from(
    root: str, default: Reply, ask: Callable[[str, dict[str, Any] | None], Reply], name: str
) -> bytes:
    """
    The chain whose topmost certificate was issued by *root* (a common name); the *default* if there is none.

    Args:
        default: The CA's answer with the certificate; it links to the others.
        ask: Gets an answer by its URL (POST-as-GET).
        name: A name of the certificate, for the log.
    """
    found = {_topmost_issuer(default.body): default.body}
    for url in default.links("alternate")[:MOST_CHAINS]:
        if root in found:
            break
        body = ask(url, None).body
        found.setdefault(_topmost_issuer(body), body)
    if root not in found:
        logger.warning(
            "the CA has no chain of %s, only of %s: its default is used; see CERTWORKER_PREFERRED_CHAIN",
            root,
            " and ".join(filter(None, found)) or "roots without a name",
            extra={"domain": name, "event": "finalize"},
        )
    return found.get(root, default.body)


def _topmost_issuer(fullchain: bytes) -> str:
    try:
        *_, topmost = x509.load_pem_x509_certificates(fullchain)
        names = topmost.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except UNREADABLE:
        # Whether the chain is good at all is judged where the certificate is.
        return ""
    return str(names[0].value) if names else ""
