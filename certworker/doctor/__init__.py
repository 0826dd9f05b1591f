"""
What is wrong, and what to change: every room is asked how it is, cheap and local first, the CA last.

It runs without Redis, without a volume and without a CA: each missing thing is a finding, not a crash, and
only what depends on it is skipped.

The files, in the order in which they may import each other::

    findings         one line of the report
    configuration    what the environment says
    storage          the directories, the account's key, Traefik's files
    network          Redis, the CA, the clock, the proxy
    machine          all of that, in its order; also asked by the worker at its start
    engine           what Docker knows of Traefik, where the worker may ask it
    domains          one name: DNS, CAA, port 80, its certificate, the CA's limits
    rehearsal        a real order at the staging CA, which is never installed
    examination      ★ the whole report
    report           the same as a file, with settings and history, and without secrets
"""
