"""
The checks before an order. They do not count against the rate limits of the CA.

In import order (★ to read first)::

    result      The input and the result of a check
    caa         The CAA records of a name
    dns01       The zone and the DNS provider of a name that is validated by DNS-01
    machine     The checks of this machine: settings, clock, volumes
    resolution  The addresses of a name
    runner      All checks of a job, and the decision whether to order
    target      Whether a name points to the custom domain target of Appwrite
    port80      Whether the CA can fetch the response to a challenge over port 80
    moved       Whether a name in service still points to this server
    ownership   The proof that a tenant owns a name
    checkers    ★ The lists of all checks, and the checks of moved names and of ownership
"""
