"""
The connection to Redis and its health.

In import order (★ to read first)::

    codec         Writes and reads the values in Redis; the read values are bounded, typed and printable
    url           The address of Redis as a URL
    keys          The keys of certworker in Redis: the pattern, the type and the content of each
    failures      Translates errors of Redis into failures, each with a remedy
    shared_trips  Commands of a job that share a round trip to Redis
    guard         A client of Redis that tolerates the values of other programs
    impatient     A client that fails fast while Redis does not respond
    client        ★ The client of redis-py for an address: of Redis itself, or of a primary behind Sentinels
    health        Checks Redis, and logs its outages
"""
