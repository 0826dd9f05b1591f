"""
The certificates on the volume.

In the order in which they may import each other::

    durable            Files that survive a power cut: written, fsynced, renamed, and the directory fsynced,
    metadata           One issued certificate on the volume: an immutable directory, and the facts about it
    shared_directory   Directories in which several workers write at the same time, on one host or on twenty
    keypair            A certificate and its key as they lie in a directory, read back and checked against …
    links              The links by which readers find a certificate, and the one rename that switches it
    unpublished        Certificates that are stored, and not yet known to be in service: what a later …
    certificate_store  ★ The volume with the certificates in service
    inventory          What the volume has for each name, and the repair of links that lead nowhere
"""
