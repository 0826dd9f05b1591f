"""
The CA's side: ACME (RFC 8555) from the connection to the certificate.

    connections    kept open, with one TLS context for all
    references     the URLs that its answers name
    transport      requests and answers; what goes wrong below ACME
    waiting        how long: Retry-After, and our own pauses between two looks
    problem        what a CA says went wrong, as a value
    refusals       its refusals, as our failures
    resources      directory, order and authorization, as values
    validations    why a validation failed, as failures of certworker
    jws            messages, signed
    sharing        requests that threads need at the same time, sent once
    network        the conversation: requests, nonces, the directory
    account        the account's key and URL on the volume
    binding        the account on a CA's web site that ours is bound to
    registration   the account at the CA
    custody        what a person may do with the account, and with certificates
    profiles       which kind of certificate to order
    world          requests, time and randomness for an order
    chains         which of its chains to take
    order          one order: the answers, validation, the certificate
    order_keys     the keys of orders under way, on the volume
    renewal_info   when the CA suggests to renew a certificate
    authority      ★ a CA from which certificates can be ordered
"""
