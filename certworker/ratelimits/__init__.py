"""
The CA's rate limits, shared by all workers.

In import order::

    limits         The limits of each known CA, and those of the operator's file
    token_buckets  Token buckets in Redis: taken from all at once or from none, in one round trip
    charges        What an order costs at a CA, and what becomes of it when the order ends
    budget         ★ What may still be ordered now, by all workers together
"""
