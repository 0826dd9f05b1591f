"""
Where certificates live: the volume that every reader mounts, and the file that Traefik watches.

The files of this wing, each building on those above it::

    generation      one directory per issued certificate, and what is known of it
    pair            a certificate and its key, read back and checked
    links           how readers find it, and the rename that switches it
    unpublished     what is stored and not yet in service
    volume          the certificates in service, and how a new one takes the place of an old one
    inventory       what the volume has for each name, and the repair of links that lead nowhere
    publication     changes of the directory that Traefik watches, gathered into bursts
    traefik         the proxy's configuration, which names one generation per domain
    handshake       which certificate a name is shown with
    container       one container, as the engine shows it
    containers      those who read their certificates once, told to read them again; and who is there
"""
