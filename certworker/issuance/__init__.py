"""
The flow for one certificate, from the request to the served certificate.

In import order (★ to read first)::

    attempts         Records each attempt: its start, its outcome and the time of the next attempt
    coverage         Names that need no certificate, because a wildcard in service covers them
    moved_names      Names that point to another server: no orders until they are back
    ownership        The proof of ownership before the first order for a name of a tenant
    pending_orders   Orders that have no certificate yet: stored in Redis, resumed by a later attempt
    forced_requests  Records the forced requests, so that every retry is forced until one succeeds
    known_state      What Redis knows about the names of a request when they are locked
    importing        Stores the certificate of an operator, which a job then puts into service
    removal          Removes a name from the proxy, then from the volume, then from Redis
    issuer           One configured CA with its account, limits and challenge solvers
    failover         The order in which the issuers are tried
    unpublished      Certificates that are stored, but not in service or not recorded yet
    issuer_factory   Builds the issuers from the settings
    service          ★ The issuance of one certificate, step by step
"""
