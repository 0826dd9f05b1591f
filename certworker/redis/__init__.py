"""
The connection to Redis and its health.

In the order in which they may import each other::

    codec       How values are written in Redis, and the one place that reads them back
    url         Where Redis is, as a URL says it
    keys        The keys of certworker in Redis: the pattern, the type and the content of each
    failures    What an error of Redis means for an operator, and where that Redis is
    guard       A client of Redis that survives what other programs write there
    client      ★ The client of redis-py for an address: Redis itself, or whichever is the primary by …
    health      A Redis that fails: what is said of it, once, and how long to wait before the next try
    connection  The connection to Redis that the settings describe
"""
