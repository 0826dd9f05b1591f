"""
The ACME client (RFC 8555, RFC 9773).

In import order (★ to read first)::

    reach               The addresses that a request may go to, and new connections to them
    direct_pool         Direct connections to a CA, without a proxy
    http_pool           The connections to a CA, directly or through a proxy
    order_keys          The private keys of pending orders, which survive a crash
    sharing             A request whose result many threads share
    transport           HTTP to the CA: requests, responses, URLs, links and transport failures
    polling             The short pauses between the requests of an order, and when a rate limit resets
    problems            The problem document of a CA (RFC 7807), and the corresponding failure
    resources           Directory, order, authorization and challenge (RFC 8555, section 7.1)
    request_kinds       The kinds of requests, for counting them
    chains              The choice among the chains of one certificate (RFC 8555, section 7.4.2)
    session             Signed requests (JWS) to one CA: its directory, nonces and refusals
    account             The files of the account: its key, and its URL at the CA
    validation_mapping  Maps the error of a validation to a failure of certworker
    order               One order, from the challenges to the certificate (RFC 8555, section 7.4)
    registration        The registration of the account (RFC 8555, section 7.3)
    renewal_info        When the CA suggests renewing a certificate (RFC 9773)
    account_admin       The operator's actions on the account: show, change the key, revoke, deactivate
    client              ★ The client of one CA, which orders certificates
"""
