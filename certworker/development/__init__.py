"""
A CA and a Redis for a laptop and for the tests; only `work`, `demo` and the tests start them.

In the order in which they may import each other::

    proxy           a stand-in for Traefik
    redis           a Redis for the demo
    problems        how the CA says no
    policy          the rules that differ from CA to CA
    identifiers     which names it certifies
    misbehaviour    the accidents it can play
    signer          a CA certificate with its key
    root            the CA's keys on disk
    accounts        its clients
    resources       what it remembers of their orders
    messages        what comes in and what goes out
    protocol        who signed a request
    registration    accounts are made and changed
    signing         from a signing request to a certificate
    certification   what becomes of a certificate
    validation      is the domain theirs?
    ordering        orders, authorizations and challenges
    front           the way of every request
    server          connections, headers, threads
    authority       ★ the CA
"""
