"""
The routes for proxies: certificates with their private keys, and the names that a proxy may serve.

Only a token with the role `proxy` gets a key. Neither a session nor the header of a trusted proxy gives
access, and a request that another proxy has forwarded is refused.

In import order (★ to read first)::

    callers      Who calls: the token, its rate limit, and the audit lines of its calls
    certificate  The certificate and the key for a server name
    traefik      The dynamic configuration for Traefik's HTTP provider
    platform     Asks the platform whether it allows a name
    permission   Whether a proxy may serve a name
    blueprint    ★ The routes
"""

from certworker.web.api.proxy_calls import PREFIX
from certworker.web.proxies.blueprint import blueprint

__all__ = ["PREFIX", "blueprint"]
