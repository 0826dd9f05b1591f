"""
The replication of certificates to the volumes of other hosts, through Redis.

In the order in which they may import each other::

    sealing    The encryption of bundles, and the keys of the operator
    bundle     ★ The bundles: a certificate in service, or the removal of a name
    stream     The stream in Redis on which bundles are published
    publisher  Publishes the certificates and the removals of this host
    follower   Follows the stream, and puts the certificates of other hosts into service
    upkeep     The maintenance of the volume of a mirror
"""
