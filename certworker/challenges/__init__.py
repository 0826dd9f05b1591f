"""
The responses to the CA's challenges, and where it finds them.

In the order in which they may import each other::

    challenge  The answer to one HTTP-01 challenge (RFC 8555, section 8.3), as a value
    responder  The answer over our own HTTP port: any replica answers for what any other one has …
    solver     ★ Answers to challenges, put where the CA looks while it looks
    tokens     The challenge tokens that any worker may answer, and for which account
    webroot    The answer as a file, for a web server that already serves the domain from a shared …
"""
