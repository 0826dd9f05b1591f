"""
Containers: labels that request certificates, and reloads after a change.

In import order (★ to read first)::

    container      A container in a list or an event of the engine
    client         The Docker API: lists, events and reloads
    reloader       The reloads of containers after their certificates have changed
    label_watcher  ★ The requests of containers by their labels
"""
