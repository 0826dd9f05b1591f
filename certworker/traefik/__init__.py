"""
The proxy: its configuration files, and whether it serves what they name.

In the order in which they may import each other::

    batching          Changes of the directory that Traefik watches, gathered into bursts
    tls_probe         Which certificate a name is served with: asked as a visitor asks, by a TLS handshake
    config            ★ The files that Traefik's file provider watches: one YAML per name, and its rename is
    deployment_check  Is it there, the padlock? After a certificate was published, Traefik is asked until …
"""
