"""
Checks before the CA is asked. They cost none of its rate limits.

In import order::

    result      The input and the result of a check
    caa         The CAA records of a name
    dns01       The zone and the DNS provider of a name that is proved by DNS-01
    machine     The checks of this machine: settings, clock, volumes
    resolution  The addresses of a name
    runner      All checks of a job, and the decision whether the CA is asked
    target      The custom domain target of Appwrite
    port80      Whether the response to a challenge can be fetched over port 80
    checkers    ★ The list of all checks, cheapest first
"""
