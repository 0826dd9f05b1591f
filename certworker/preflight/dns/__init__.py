"""
DNS queries and their answers.

In the order in which they may import each other::

    records   What DNS says of a name, as values: nothing here asks anybody
    udp       Many questions at once: one datagram each, and whatever comes back until it is enough
    query     Questions to name servers, and their answers as values (RFC 1035)
    views     What was heard from name servers, server by server, as values that checks can judge
    resolver  ★ What DNS says of a name, as a CA hears it: from the servers of its domain, with a …
"""
