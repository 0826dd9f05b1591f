"""
The checks of an installation. Each problem has a remedy.

In import order (★ to read first)::

    findings     A line of the report: what was checked, the result, and the remedy
    attachment   The file of `certworker doctor --report`, for bug reports
    domain       The checks of a name: DNS, port 80, certificate, limits, and an order from the staging CA
    records      The DNS records that the owner of a name must create, and which of them exist
    settings     The checks of the environment
    docker       The checks of Docker and of Traefik's container, if a setting needs Docker
    network      The checks of Redis, the CA, the clock, the proxy, and the notifications
    machine      The checks of this machine: directories, keys, Traefik's files, and the network
    replication  The checks of the replication to other hosts
    report       ★ The whole report: settings, machine, replication, Docker, and each name
"""
