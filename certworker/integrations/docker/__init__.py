"""
Containers: labels that request certificates, and reloads after a change.

In the order in which they may import each other::

    container      A container, as the engine lists it or tells of its start
    client         Docker, asked to tell containers to read their certificates again, and which …
    reloader       After certificates have changed, those who read them once are told: one reload for a …
    label_watcher  ★ A container that says by a label which domains it serves gets their certificates when …
"""
