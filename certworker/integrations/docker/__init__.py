"""
Containers: certificates that labels request, and reloads after a change.

In import order (★ to read first)::

    container      A container in a list or an event of the engine
    client         The Docker API: lists, events and reloads
    reloader       The reloads of containers and of HAProxy after certificates have changed
    label_watcher  ★ The requests of containers by their labels
"""
