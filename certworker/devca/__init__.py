"""
A small ACME CA, a name server, a TLS server and a Redis server, for the demo and the tests.

In import order (★ to read first)::

    accounts       The accounts of the CA's clients, stored in the state directory
    policy         The rules of the CA that a test or the demo may change while the CA is running
    name_server    A name server for one zone that accepts signed updates (RFC 2136, RFC 8945)
    proxy          A replacement for Traefik: a TLS server that reads the proxy's files at each handshake
    redis          A Redis server for the demo, which ends with the program that starts it
    hierarchy      The root and the intermediate with their keys, which sign the certificates
    messages       Requests, replies and problem documents, without the network around them
    validation     Validation by HTTP-01 and DNS-01, as a public CA performs it (RFC 8555, section 8)
    protocol       The signatures and nonces of requests (RFC 8555, sections 6.2 to 6.5)
    resources      The orders, authorizations, and certificates in memory (RFC 8555, section 7.1)
    server         The HTTP server of the CA: connections, headers, threads
    certification  Certificates: signing, download, revocation, renewal information (RFC 8555, RFC 9773)
    dispatch       The steps of each request: its resource, signature and nonce, reply, and entry in the list
    registration   Accounts: registration, change, key change (RFC 8555, section 7.3)
    ordering       Orders, authorizations and challenges (RFC 8555, sections 7.4 and 7.5)
    authority      ★ A small, complete ACME CA on the loopback interface, for the demo and the tests
"""
