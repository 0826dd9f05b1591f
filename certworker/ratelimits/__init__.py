"""
The rate limits of the CAs, shared by all workers.

In import order (★ to read first)::

    limits         The limits of each known CA, and those in the operator's file
    token_buckets  Token buckets in Redis: one atomic step takes a token from all buckets, or from none
    charges        The charges of an order, and their adjustment when the order ends
    budget         ★ The remaining orders under the limits, for all workers together
"""
