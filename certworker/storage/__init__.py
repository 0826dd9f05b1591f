"""
The certificates on the volume.

In import order (★ to read first)::

    concurrent_sync     Syncs several files and directories to the disk at the same time
    durable             Writes files that survive a power cut: write, fsync, rename, fsync of the directory
    remembered_listing  Remembers the entries of a directory until it changes
    metadata            One certificate on the volume: an immutable directory with its metadata
    metadata_index      The most important metadata of all certificates in one file
    shared_directory    Directories in which several workers write at the same time
    keypair             Reads a certificate and its key from a directory, and checks that they match
    removed_names       The names that were removed, for the replication to other hosts
    links               The links by which readers find a certificate
    unpublished_links   The links to certificates that are stored, but not yet known to be in service
    covered_names       Names without a certificate of their own, because a wildcard covers them
    certificate_store   ★ The certificates in service
    adoption            Adopts the certificates and keys of other programs, many at a time
    inventory           Lists the certificate of each name on the volume, and repairs dangling links
    replica             Puts certificates of other hosts into service, and applies their removals
"""
