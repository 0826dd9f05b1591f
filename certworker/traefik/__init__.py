"""
Traefik: its configuration files, and the check that it serves the certificates in them.

In import order (★ to read first)::

    load              Counts the reloads of Traefik, and records its time until it serves a certificate
    shards            Shards: files with the certificates of about 250 names each
    shard_change      One change of several shards
    file_format       The content of the file of a name, and of the files of other programs
    reload_interval   The pause between two changes of the watched directory
    layout            Where the certificate of a name is: in a file of its own, or in a shard
    batching          Gathers changes to the watched directory into bursts
    tls_probe         Reads which certificate a server shows for a name, by a TLS handshake
    config            ★ The files of Traefik's file provider
    repair            The repair of the files of all names
    deployment_check  Checks after each publication that Traefik serves the new certificate
"""
