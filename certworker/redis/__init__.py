"""
The connection to Redis, the keys and values of certworker, and the health of Redis.

In import order (★ to read first)::

    codec         Encodes and decodes the values in Redis; an invalid value counts as lost
    url           The address of Redis as a URL
    keys          The keys in Redis that certworker uses: the pattern, the type, and the content of each
    failures      Translates errors of Redis into failures, each with a remedy
    shared_trips  Commands of a job that share a round trip to Redis
    guard         A client of Redis that tolerates the values of other programs
    impatient     A client that fails fast while Redis does not respond
    client        ★ Returns a client of redis-py: for Redis itself, or for the primary behind Sentinels
    health        Checks Redis, and logs its outages
"""
