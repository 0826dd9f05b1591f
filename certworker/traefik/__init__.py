"""
Traefik: its configuration files, and the check that it serves what they name.

In import order::

    batching          Gathers changes of the watched directory into bursts
    tls_probe         Which certificate a server shows for a name, read by a TLS handshake
    config            ★ The files of Traefik's file provider: one YAML file per name
    deployment_check  Checks after each issuance that Traefik serves the new certificate
"""
