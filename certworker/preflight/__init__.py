"""
Checks before the CA is asked; they cost none of its rate limits.

In the order in which they may import each other::

    addresses    The addresses of names, and which of them a public CA connects to
    eligibility  What a public CA wants before anything else: production, and a contact that is read
    persistence  Whether what the worker keeps outlives the container that it runs in
    settling     The first moments of a worker, in which port 80 may not lead to it yet
    ttl_cache    What was found a moment ago, so that it is not asked for again
    dns          dns
    result       What a check is asked, and what it may answer
    caa          Do the CAA records of a name allow this CA? (RFC 8659, RFC 8657; Boulder's `va/caa.go`.)
    machine      What this machine is asked before an order: the time, the volumes, the targets that …
    resolution   Does the name lead somewhere a CA can go? DNS has been asked; here its answers are …
    runner       All checks of a job, those of its names at the same time, before the CA is asked
    target       Does a custom domain point to this Appwrite, as `_APP_DOMAIN_TARGET…` wants it?
    port80       port80
    checkers     ★ Which questions of our own are asked before a CA is: the list of all checks, cheapest …
"""
