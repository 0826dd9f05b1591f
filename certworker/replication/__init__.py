"""
The replication of certificates to the volumes of other hosts, through Redis.

In import order (★ to read first)::

    sealing     The encryption with the keys of the operator
    bundle      ★ The bundles: certificates in service, removals of names, and accounts
    responses   The responses to HTTP-01 challenges on hosts without the account key
    stream      The streams in Redis that carry bundles
    publisher   Publishes the certificates and the removals of this host
    follower    Follows the stream, and puts the certificates of other hosts into service
    comparison  Compares the names of this host with those of another host
    answers     The answers of a worker to comparisons
    accounts    The accounts at the CAs, shared by the workers of all hosts
    nodes       The reports of all hosts
    membership  The loops of one node
    upkeep      The maintenance of the volume of a mirror
"""
