"""
DNS queries and their answers.

In import order (★ to read first)::

    records   The DNS records of a name, as values
    udp       Concurrent queries, each in one datagram
    wire      DNS queries as bytes, and the check of whether a message responds to a query
    query     Queries to name servers, and their answers as values (RFC 1035)
    resolver  ★ The DNS records of a name, from the name servers of its domain and from resolvers
"""
