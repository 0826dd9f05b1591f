"""
The ACME client (RFC 8555, RFC 9773).

In import order (★ to read first)::

    http_pool           The connections to a CA, open for the life of the worker
    jws                 Signed requests: flattened JWS as in RFC 8555, section 6.2
    order_keys          The private keys of pending orders, which survive a crash
    polling             How long to wait between two requests: Retry-After, else short pauses
    problem             The problem document of a CA (RFC 7807)
    sharing             A request that many threads need at once, sent once
    transport           HTTP to the CA: requests, answers, URLs, links and transport failures
    account             The files of the account: its key, and its URL at the CA
    order_context       What an order needs: requests to the CA, time and randomness
    problem_mapping     From a problem of the CA to a failure of certworker
    resources           Directory, order, authorization and challenge (RFC 8555, section 7.1)
    chains              The choice among the chains of one certificate (RFC 8555, section 7.4.2)
    session             Signed requests to one CA: its directory, its nonces, its refusals
    validation_mapping  From the error of a validation to a failure of certworker
    order               One order, from the challenges to the certificate (RFC 8555, section 7.4)
    registration        The registration of the account (RFC 8555, section 7.3)
    renewal_info        When the CA suggests to renew a certificate (RFC 9773)
    account_admin       What a person does with the account: show, change the key, revoke, deactivate
    client              ★ A CA from which certificates are ordered
"""
