"""
The ACME client (RFC 8555, RFC 9773).

In import order (★ to read first)::

    http_pool           The connections to a CA, open for the life of the worker
    order_keys          The private keys of pending orders, which survive a crash
    sharing             A request that many threads need at once, sent once
    transport           HTTP to the CA: requests, answers, URLs, links and transport failures
    polling             The pauses between two requests of an order: Retry-After, else short ones
    problems            The problem document of a CA (RFC 7807), and the failure that it is
    resources           Directory, order, authorization and challenge (RFC 8555, section 7.1)
    chains              The choice among the chains of one certificate (RFC 8555, section 7.4.2)
    session             Signed requests (JWS) to one CA: its directory, its nonces, its refusals
    account             The files of the account: its key, and its URL at the CA
    validation_mapping  Maps the error of a validation to a failure of certworker
    order               One order, from the challenges to the certificate (RFC 8555, section 7.4)
    registration        The registration of the account (RFC 8555, section 7.3)
    renewal_info        When the CA suggests to renew a certificate (RFC 9773)
    account_admin       What a person does with the account: show, change the key, revoke, deactivate
    client              ★ A CA from which certificates are ordered
"""
