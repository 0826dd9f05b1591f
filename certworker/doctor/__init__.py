"""
Checks of a running installation: each problem with its remedy.

In the order in which they may import each other::

    findings       One line of the report
    attachment     The file that `certworker doctor --report` writes, to be attached to a report of a bug
    domain         One name: what DNS says of it, whether a CA would find the answer, its certificate, …
    settings       What the environment says
    staging_order  A real order at the staging CA: what no check of our own can tell. Its certificate is …
    storage        The directories, the account's key, and the files that Traefik reads
    docker         Docker, where the worker may ask it: whether Traefik runs, is reached from outside, …
    network        Redis, the CA, the clock, and the proxy: whatever answers over a network
    machine        Whether this machine can do its work, in the order of the report
    report         ★ The whole report: settings, machine, then each name
"""
