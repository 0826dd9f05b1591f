"""
DNS queries and their answers.

In import order::

    records   The DNS records of a name, as values
    udp       Many queries at once, one datagram each
    query     Queries to name servers, and their answers as values (RFC 1035)
    resolver  ★ The DNS records of a name, from the name servers of its domain and from public resolvers
"""
