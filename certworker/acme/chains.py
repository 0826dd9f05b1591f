"""
The choice among the chains of one certificate, by the root (RFC 8555, section 7.4.2).
"""

from __future__ import annotations

import logging
from datetime import timedelta

from cryptography import x509

from certworker.acme.polling import OrderContext
from certworker.acme.transport import Reply
from certworker.certificates import UNREADABLE, chain_of
from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)

#: The maximum number of alternate chains; further ones are ignored. Let's Encrypt has offered two chains at a
#: time.
MAX_CHAINS = 10

#: After this time, certworker requests no further chain, so that the issued certificate does not wait.
TIMEOUT = timedelta(seconds=30)


def chain_from(root: str, default: Reply, context: OrderContext, name: str) -> bytes:
    """
    Return the chain whose topmost certificate was issued by *root* (a common name), else the default chain.

    An alternate chain is logged and ignored if it cannot be fetched or read, is incomplete, or is for another
    certificate.

    Args:
        default: The response with the default chain, which links to the other chains.
        context: Sends the requests to the CA.
        name: A name of the certificate, for the log.
    """
    found = {_topmost_issuer(default.body): default.body}
    deadline = context.clock() + TIMEOUT
    for url in default.links("alternate")[:MAX_CHAINS]:
        if root in found or context.clock() >= deadline:
            break
        try:
            body = context.request(url, None).body
        except CertworkerError as failure:
            _warn(name, "could not fetch the alternate chain at %s: %s", url, failure.message)
            continue
        if _is_alternate(body, default.body):
            found.setdefault(_topmost_issuer(body), body)
        else:
            _warn(
                name,
                "the alternate chain at %s is incomplete or unreadable, or is for another certificate",
                url,
            )
    if root not in found:
        _warn(
            name,
            "CERTWORKER_PREFERRED_CHAIN is %s, but the chains found lead to %s: using the CA's default chain",
            root,
            " and ".join(filter(None, found)) or "roots without a name",
        )
    return found.get(root, default.body)


def _is_alternate(fullchain: bytes, default: bytes) -> bool:
    """
    Return whether *fullchain* is a complete chain of the same leaf as *default*.
    """
    try:
        chain = chain_of(fullchain)
        return len(chain) > 1 and chain[0] == chain_of(default)[0]
    except UNREADABLE:
        return False


def _topmost_issuer(fullchain: bytes) -> str:
    try:
        *_, topmost = chain_of(fullchain)
        names = topmost.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except UNREADABLE:
        # A later check of the certificate rejects an invalid chain.
        return ""
    return str(names[0].value) if names else ""


def _warn(name: str, text: str, *values: object) -> None:
    logger.warning(text, *values, extra={"domain": name, "event": "finalize"})
