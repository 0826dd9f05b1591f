"""
Traefik: its configuration files, and the check that it serves the certificates in them.

In import order::

    load              Counts the reloads of Traefik, and measures how long it takes to serve a certificate
    batching          Gathers changes to the watched directory into bursts
    tls_probe         Reads which certificate a server shows for a name, by a TLS handshake
    config            ★ The files of Traefik's file provider: one YAML file per name
    deployment_check  Checks after each issuance that Traefik serves the new certificate
"""
