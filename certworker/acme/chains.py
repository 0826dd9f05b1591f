"""
The chains of one certificate: a CA may offer several (RFC 8555, section 7.4.2), told apart by their roots.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from cryptography import x509

from certworker.acme.order_context import OrderContext
from certworker.acme.transport import Reply
from certworker.certificates import UNREADABLE, chain_of
from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)

#: Let's Encrypt has had two at a time; a CA that lists hundreds is not asked for all of them.
MOST_CHAINS = 10

#: The certificate is issued already: no further chain is requested after this time.
PATIENCE = timedelta(seconds=30)


def chain_from(root: str, default: Reply, world: OrderContext, name: str) -> bytes:
    """
    Return the chain whose topmost certificate was issued by *root* (a common name), else the *default*.

    A chain that cannot be fetched or does not fit the certificate is logged and left out.

    Args:
        default: The CA's answer with the certificate; it links to the others.
        world: Requests to the CA.
        name: A name of the certificate, for the log.
    """
    found = {_topmost_issuer(default.body): default.body}
    deadline = world.clock() + PATIENCE
    for url in default.links("alternate")[:MOST_CHAINS]:
        if root in found or world.clock() >= deadline:
            break
        try:
            body = world.ask(url, None).body
        except CertworkerError as failure:
            _warn(name, "the alternate chain at %s could not be fetched: %s", url, failure.message)
            continue
        if _is_alternate(body, default.body):
            found.setdefault(_topmost_issuer(body), body)
        else:
            _warn(name, "the alternate chain at %s does not fit the certificate", url)
    if root not in found:
        _warn(
            name,
            "the CA has no chain of %s, only of %s: its default is used; see CERTWORKER_PREFERRED_CHAIN",
            root,
            " and ".join(filter(None, found)) or "roots without a name",
        )
    return found.get(root, default.body)


def _is_alternate(fullchain: bytes, default: bytes) -> bool:
    """
    Return whether *fullchain* is a whole chain for the same leaf as *default*.
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
        # Whether the chain is good at all is judged where the certificate is.
        return ""
    return str(names[0].value) if names else ""


def _warn(name: str, text: str, *values: object) -> None:
    logger.warning(text, *values, extra={"domain": name, "event": "finalize"})
