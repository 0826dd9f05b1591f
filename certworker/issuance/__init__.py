"""
The flow for one certificate, from the request to the served certificate.

In the order in which they may import each other::

    attempts        The attempts to issue, in the ledger: that one began, how it ended, and when the next …
    pending_orders  Pending orders at one CA: stored before they are finalized, resumed after a crash
    removal         The end of a name: out of the proxy first, then off the volume, then forgotten
    issuer          The desk of one CA: its client, its budget, its answers to challenges, its orders …
    failover        Which desk is asked, and when the next one is
    issuer_factory  Opens the desks that the settings ask for. Nothing is asked of a CA yet
    service         ★ The issuance of one certificate, from the request to the padlock
"""
