"""
A small ACME CA and a Redis for laptops and tests.

In the order in which they may import each other::

    accounts       The accounts of the CA's clients, kept in the state directory
    policy         The rules of the CA that may differ from CA to CA; all may be changed while it runs
    problems       How the CA says no: problem documents (RFC 7807, RFC 8555 section 6.7)
    proxy          A stand-in for Traefik: a TLS server that follows the proxy's files at each handshake
    redis          A Redis for the demo, owned and ended by whoever starts it
    signer         A CA certificate with its key, and what is signed with it
    identifiers    Which names the CA certifies
    messages       What comes in and what goes out, without the network around it
    root           The CA's keys: they live as long as the state directory, so that a browser has to …
    validation     Is the domain theirs? HTTP-01, fetched as a public CA would (RFC 8555, section 8.3)
    protocol       Who signed this request? (RFC 8555, sections 6.2 to 6.5)
    resources      What the CA remembers of its clients' orders (RFC 8555, section 7.1)
    server         The HTTP side of the CA: connections, headers, threads
    certification  What becomes of a certificate: download, revocation, renewal (RFC 8555, section 7.6; …
    dispatch       The way every request takes through the CA, whatever it asks for
    registration   Accounts: registration, change, key change (RFC 8555, section 7.3)
    signing        From a signing request to a certificate (RFC 8555, section 7.4)
    ordering       Orders, authorizations and challenges (RFC 8555, sections 7.4 and 7.5)
    authority      ★ A small real ACME CA on the loopback interface: for a laptop, the demo and the tests
"""
