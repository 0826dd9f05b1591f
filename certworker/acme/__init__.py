"""
The ACME client (RFC 8555, RFC 9773).

In the order in which they may import each other::

    http_pool           The connections to a CA, kept for the life of the worker
    jws                 Signed messages to a CA: flattened JWS (RFC 7515, section 7.2.2) as RFC 8555, section
    order_keys          The private keys of orders under way, so that a crash after the signing request loses
    polling             How long to wait: as long as the CA says, else our own short pauses
    problem             What a CA says went wrong: a problem document (RFC 7807), as a value
    profiles            Which kind of certificate to order, where a CA has several (draft-ietf-acme-profiles)
    references          The URLs that a CA's answers name: absolute or relative (RFC 3986), in JSON, Location
    sharing             Requests that many threads need at the same time: one of them sends it, and all share
    account             The account on the volume: its key, and its URL at the CA, shared by all workers
    eab                 The account on a CA's web site that ours is bound to (external account binding, RFC …
    transport           The way to the CA and back: requests, answers, and what goes wrong below ACME
    order_context       What an order needs from outside: requests to the CA, time, and randomness
    problem_mapping     The CA's refusals, as our failures
    resources           What a CA answers with, as values: directory, order, authorization (RFC 8555, section
    chains              The chains of one certificate: a CA may offer several (RFC 8555, section 7.4.2), told
    session             Signed requests to one CA: its directory, its nonces, and its refusals raised as …
    validation_mapping  Why a validation failed, as failures of certworker
    order               One order, from the challenges to the certificate (RFC 8555, section 7.4)
    registration        The account at the CA (RFC 8555, section 7.3): found by its key, registered, kept up
    renewal_info        When the CA suggests to renew a certificate (ACME Renewal Information, RFC 9773)
    account_admin       What a person may do with the account, and with its certificates: look, change the …
    client              ★ A CA from which certificates can be ordered. Start reading the room here
"""
